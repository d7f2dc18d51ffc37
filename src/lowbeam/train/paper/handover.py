"""Convolutions on their way from SR-FCN to the recognizer: how strong their features are, and made as strong as fresh
ones. Those of SR-FCN's first layer are weaker than Xavier's weights make them, those of its third stronger, and a
recognizer that starts so learns slowly (docs/replication.md has the figures)."""

import torch
from torch import Tensor

from lowbeam.models.paper import CnnD


def deviations(network: CnnD, faces: Tensor) -> tuple[float, ...]:
    """Standard deviation of what each of the three convolutions gives of normalised `faces` (n, 1, 96, 96)."""
    found: list[float] = []
    hooks = [layer.register_forward_hook(lambda _, __, given: found.append(float(given.std())))
             for layer in network.convolutions.layers]  # fmt: skip
    with torch.no_grad():
        network.features(faces)
    for hook in hooks:
        hook.remove()
    return tuple(found)


def scale_as(network: CnnD, fresh: CnnD, faces: Tensor) -> None:
    """Scale `network`'s convolutions, one number a layer, so that each layer's features of `faces` deviate as those of
    `fresh`. What they see stays the same: pooling and ReLU let a positive factor through, and each layer takes the
    factor before it back."""
    before = 1.0
    measured = zip(deviations(network, faces), deviations(fresh, faces), strict=True)
    for layer, (ours, theirs) in zip(network.convolutions.layers, measured, strict=True):
        factor = theirs / ours
        layer.weight.data *= factor / before
        layer.bias.data *= factor  # type: ignore[union-attr]  # it has one
        before = factor
