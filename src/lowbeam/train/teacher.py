"""Distillation: a finished network estimates HR faces, and its student learns these targets from the degraded faces.

The teacher averages its outputs over each face and its mirror image, which costs the student nothing at run time
(Hinton et al. 2015, arXiv 1503.02531; from the same view as the student, and for long: Beyer et al. 2022, arXiv
2106.05237).
"""

from typing import NamedTuple

import torch
from torch import Tensor

from lowbeam.models.one_for_all import OneForAll


class Targets(NamedTuple):
    """A teacher's outputs for n faces: affect (n, 2), emotion probabilities (n, 8), features (n, width)."""

    affect: Tensor
    emotion: Tensor
    features: Tensor


class Teacher:
    """Computes targets with `network`, which is frozen."""

    def __init__(self, network: OneForAll) -> None:
        self.network = network.eval().requires_grad_(False)

    @property
    def width(self) -> int:
        """Number of features."""
        return self.network.width

    @torch.no_grad()
    def __call__(self, grid: Tensor) -> Targets:
        """Targets of faces (n, 1, 48, 48), each averaged with those of its mirror image."""
        features, mirrored = self.network.features(torch.cat([grid, grid.flip(3)])).float().chunk(2)
        outputs = [self.network.read(part) for part in (features, mirrored)]
        unmirrored = mirrored.unflatten(1, (-1, 2, 2)).flip(3).flatten(1)  # features of the quarters, left and right
        return Targets(
            (outputs[0][0] + outputs[1][0]).float() / 2,
            (outputs[0][2].float().softmax(1) + outputs[1][2].float().softmax(1)) / 2,
            (features + unmirrored) / 2,
        )
