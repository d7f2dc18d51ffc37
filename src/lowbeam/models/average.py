"""Averages of the weights of two networks of which one began as the other.

Training on new data costs something on the old; the weights between those before and those after lose little of either
(Wortsman et al. 2022, Robust fine-tuning of zero-shot models, CVPR, arXiv 2109.01903).
"""

import torch
from torch import Tensor, nn

from lowbeam.models.one_for_all import OneForAll


def norm_of(modules: dict[str, nn.Module], convolution: str) -> nn.BatchNorm2d:
    """The batch normalization that follows a convolution, by its name: the next module of the same sequence."""
    stem, _, index = convolution.rpartition(".")
    norm = modules[f"{stem}.{int(index) + 1}"]
    assert isinstance(norm, nn.BatchNorm2d)
    return norm


@torch.no_grad()
def as_identity(norm: nn.BatchNorm2d, bias: Tensor) -> None:
    """Let a batch normalization, in evaluation mode, do no more than add a `bias`."""
    assert norm.running_mean is not None
    assert norm.running_var is not None
    norm.running_mean.zero_()
    norm.running_var.fill_(1 - norm.eps)
    norm.weight.fill_(1)
    norm.bias.copy_(bias)


@torch.no_grad()
def fold_statistics(network: OneForAll) -> None:
    """Move what the batch normalizations of `network` do, but for their biases, into the convolutions before them. In
    evaluation mode it computes the same as before."""
    modules = dict(network.named_modules())
    for name, convolution in modules.items():
        if not isinstance(convolution, nn.Conv2d):
            continue
        norm = norm_of(modules, name)
        assert norm.running_mean is not None
        assert norm.running_var is not None
        gain = norm.weight / (norm.running_var + norm.eps).sqrt()
        convolution.weight.mul_(gain[:, None, None, None])
        as_identity(norm, norm.bias - norm.running_mean * gain)


@torch.no_grad()
def average_with(network: OneForAll, other: OneForAll, share: float) -> None:
    """Give `network` the weights of `other` to a `share` from 0 to 1, and the rest its own. The statistics of both are
    folded, since statistics of networks do not average."""
    fold_statistics(network)
    fold_statistics(other)
    weights = other.state_dict()
    network.load_state_dict({
        name: torch.lerp(own, weights[name], share) if own.is_floating_point() else own
        for name, own in network.state_dict().items()
    })  # fmt: skip
