"""A larger network that computes what a smaller one does, to be trained on (Net2Net: Chen et al. 2016, ICLR,
arXiv 1511.05641).

Channels are copied, and what reads a channel with copies gives each its share; further residual blocks add nothing at
first. A little noise on the weights lets the copies become different.
"""

from itertools import count

import torch
from torch import Tensor, nn

from lowbeam.models.one_for_all import OneForAll, Residual, Size, Trunk

NOISE = 0.05  # share of a weight


def can_widen(size: Size, to: Size) -> bool:
    """Whether a network of `size` can become one of size `to`: of the same patches and stages, and none smaller."""
    return (
        size.patch == to.patch
        and len(size.stages) == len(to.stages)
        and all(o <= n for old, new in zip(size.stages, to.stages, strict=True) for o, n in zip(old, new, strict=True))
    )


@torch.no_grad()
def widened(network: OneForAll, size: Size, seed: int, noise: float = NOISE) -> OneForAll:
    """A network of `size`, for which `can_widen` holds, with the outputs of `network`, but for `noise`."""
    generator = torch.Generator().manual_seed(seed)
    wide = OneForAll(Trunk(size), network.dropout.p)
    origin = torch.arange(size.patch**2)  # of each input channel: its channel in `network`
    old_stages, new_stages = _stages(network), _stages(wide)
    for (channels, _), (wider, _), old, new in zip(
        network.trunk.size.stages, size.stages, old_stages, new_stages, strict=True
    ):
        more = torch.randint(channels, (wider - channels,), generator=generator)
        place = torch.cat([torch.arange(channels), more])
        _copy(old[0], new[0], origin, place, noise, generator)
        for number, block in zip(count(1), new[1:]):
            assert isinstance(block, Residual)
            if number < len(old):
                for part in ("first", "second"):
                    _copy(getattr(old[number], part), getattr(block, part), place, place, noise, generator)
            else:
                block.second.load_state_dict({"1.weight": torch.zeros(wider)}, strict=False)
        origin = place
    columns = (4 * origin[:, None] + torch.arange(4)).flatten()  # of the readout: four quarters of each channel
    wide.readout.weight.copy_(network.readout.weight[:, columns] / _copies(origin).repeat_interleave(4))
    wide.readout.bias.copy_(network.readout.bias)
    return wide


def _stages(network: OneForAll) -> list[list[nn.Module]]:
    """The layers of each stage: a convolution, and residual blocks."""
    stages: list[list[nn.Module]] = []
    for layer in list(network.trunk)[1:]:
        if isinstance(layer, Residual):
            stages[-1].append(layer)
        else:
            stages.append([layer])
    return stages


def _copies(origin: Tensor) -> Tensor:
    """How often the origin of each channel occurs."""
    return torch.bincount(origin)[origin].float()


def _copy(
    old: nn.Module, new: nn.Module, origin: Tensor, place: Tensor, noise: float, generator: torch.Generator
) -> None:
    """Give a convolution and its normalization the weights of `old`; `origin` and `place` tell where each channel of
    the input and of the output comes from."""
    assert isinstance(old, nn.Sequential)
    assert isinstance(new, nn.Sequential)
    found = old.state_dict()
    weight = found.pop("0.weight")[place][:, origin] / _copies(origin)[:, None, None]
    weight = weight * (1 + noise * torch.randn(weight.shape, generator=generator))
    normalization = {name: value if value.ndim == 0 else value[place] for name, value in found.items()}
    new.load_state_dict({"0.weight": weight, **normalization})
