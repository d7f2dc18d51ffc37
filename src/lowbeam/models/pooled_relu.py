"""The ReLU of 2×2 max-pooling, which takes half of the time of a training step of CNN+D where PyTorch computes it.

In bfloat16 on a CPU it is compiled by Numba: after a ReLU only values above 0 count, and those are ordered like the
integers that have their bits, which processors compare 32 at a time.
"""

from collections.abc import Callable
from functools import cache
from typing import Any

import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

Kernel = Callable[..., None]


def pooled_relu(x: Tensor) -> Tensor:
    """``relu(max_pool2d(x, 2))`` of (n, c, h, w), with the same gradient: of equal values the first has it.
    Compiled, a NaN whose sign is set, as x86 makes them, counts as 0."""
    if x.dtype == torch.bfloat16 and x.device.type == "cpu":
        pooled: Tensor = _PooledRelu.apply(x)
        return pooled
    return F.relu(F.max_pool2d(x, 2))


class _PooledRelu(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        n, c, h, w = x.shape
        x = x.contiguous(memory_format=torch.channels_last)
        out = torch.empty((n, c, h // 2, w // 2), dtype=x.dtype, memory_format=torch.channels_last)
        _kernels(c)[0](_bits(x), _bits(out))
        ctx.save_for_backward(x, out)
        return out

    @staticmethod
    def backward(ctx: Any, *gradients: Any) -> Tensor:
        x, out = ctx.saved_tensors
        gradient = gradients[0].contiguous(memory_format=torch.channels_last)
        is_covered = x.shape[2] % 2 == x.shape[3] % 2 == 0
        found = (torch.empty_like if is_covered else torch.zeros_like)(x, memory_format=torch.channels_last)
        _kernels(x.shape[1])[1](_bits(x), _bits(out), _bits(gradient), _bits(found))
        return found


def _bits(x: Tensor) -> NDArray[Any]:
    """The memory of a tensor in channels-last order as integers, (n, h, w, c)."""
    return x.detach().permute(0, 2, 3, 1).view(torch.int16).numpy()


@cache
def _kernels(channels: int) -> tuple[Kernel, Kernel]:
    """The forward and the backward pass for so many channels: a constant, so that the inner loops are unrolled."""
    import numba  # it comes with the extra of training, and takes a second to load
    import numpy as np

    zero = np.int16(0)

    @numba.njit
    def forward(x, out):  # type: ignore[no-untyped-def]  # pragma: no cover
        for i in range(out.shape[0]):
            for y in range(out.shape[1]):
                for z in range(out.shape[2]):
                    for k in range(channels):
                        upper = max(x[i, 2 * y, 2 * z, k], x[i, 2 * y, 2 * z + 1, k])
                        lower = max(x[i, 2 * y + 1, 2 * z, k], x[i, 2 * y + 1, 2 * z + 1, k])
                        out[i, y, z, k] = max(upper, lower, zero)

    @numba.njit
    def backward(x, out, gradient, found):  # type: ignore[no-untyped-def]  # pragma: no cover
        for i in range(out.shape[0]):
            for y in range(out.shape[1]):
                upper, lower = x[i, 2 * y], x[i, 2 * y + 1]
                to_upper, to_lower = found[i, 2 * y], found[i, 2 * y + 1]
                for z in range(out.shape[2]):
                    for k in range(channels):
                        largest = out[i, y, z, k]
                        left = gradient[i, y, z, k] if largest > zero else zero
                        is_it = upper[2 * z, k] == largest
                        to_upper[2 * z, k] = left if is_it else zero
                        left = zero if is_it else left
                        is_it = upper[2 * z + 1, k] == largest
                        to_upper[2 * z + 1, k] = left if is_it else zero
                        left = zero if is_it else left
                        is_it = lower[2 * z, k] == largest
                        to_lower[2 * z, k] = left if is_it else zero
                        to_lower[2 * z + 1, k] = zero if is_it else left

    return forward, backward
