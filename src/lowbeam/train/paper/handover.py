"""Transfer of convolutions from SR-FCN to the recognizer: the standard deviations of their features, and scaling them
to those of new weights. The features of SR-FCN's first layer are weaker than those of Xavier's weights, those of its
third layer stronger, and a recognizer that starts so learns slowly (docs/replication.md has the figures)."""

import torch
from torch import Tensor

from lowbeam.models.paper import CnnD


def deviations(network: CnnD, faces: Tensor) -> tuple[float, ...]:
    """Standard deviation of the output of each of the three convolutions on normalized `faces` (n, 1, 96, 96)."""
    found: list[float] = []
    hooks = [layer.register_forward_hook(lambda _, __, output: found.append(float(output.std())))
             for layer in network.convolutions.layers]  # fmt: skip
    with torch.no_grad():
        network.features(faces)
    for hook in hooks:
        hook.remove()
    return tuple(found)


def scale_as(network: CnnD, fresh: CnnD, faces: Tensor) -> None:
    """Scale `network`'s convolutions, by one factor for each layer, so that the features of `faces` have the standard
    deviations of those of `fresh`. The function of the layers stays the same up to scale: pooling and ReLU commute with
    a positive factor, and each layer divides by the factor before it."""
    before = 1.0
    measured = zip(deviations(network, faces), deviations(fresh, faces), strict=True)
    for layer, (ours, theirs) in zip(network.convolutions.layers, measured, strict=True):
        factor = theirs / ours
        layer.weight.data *= factor / before
        layer.bias.data *= factor  # type: ignore[union-attr]  # it has one
        before = factor
