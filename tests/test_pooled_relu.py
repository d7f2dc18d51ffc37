"""The compiled ReLU of max-pooling, beside PyTorch's."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

torch = pytest.importorskip("torch", reason="PyTorch comes with the train extra")

import torch.nn.functional as F  # noqa: E402

from lowbeam.models.pooled_relu import pooled_relu  # noqa: E402

sides = st.integers(2, 9)


@given(
    n=st.integers(1, 3), channels=st.sampled_from([1, 3, 16, 40]), h=sides, w=sides,
    levels=st.sampled_from([1, 8, 1e4]),
)  # fmt: skip
def test_it_is_that_of_pytorch_with_its_gradient_also_among_equal_values(
    n: int, channels: int, h: int, w: int, levels: float
) -> None:
    generator = torch.Generator().manual_seed(n + 10 * h + 100 * w)
    x = (torch.randn((n, channels, h, w), generator=generator) * levels).round().bfloat16()
    weights = torch.randn((n, channels, h // 2, w // 2), generator=generator).bfloat16()
    ours, theirs = x.clone().requires_grad_(), x.clone().requires_grad_()
    pooled, expected = pooled_relu(ours), F.relu(F.max_pool2d(theirs, 2))
    assert torch.equal(pooled, expected)
    (pooled * weights).sum().backward()
    (expected * weights).sum().backward()
    assert torch.equal(ours.grad, theirs.grad)


def test_other_precisions_are_left_to_pytorch(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lowbeam.models.pooled_relu._PooledRelu.apply", None)
    x = torch.randn(2, 3, 6, 6)
    assert torch.equal(pooled_relu(x), F.relu(F.max_pool2d(x, 2)))
