"""Faces as the networks at 96×96 read them, and restored faces back in grey levels."""

import torch.nn.functional as F
from torch import Tensor, nn

CONTRAST_FLOOR = 8.0  # grey levels added to a face's deviation, so that a flat face is not blown up into noise


def normalise(faces: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Subtract each face's mean and divide by its contrast. Grey `faces` (n, 96, 96), 0..255, become the networks'
    input (n, 1, 96, 96); with it each face's mean and contrast, (n, 1, 1, 1), to go back by."""
    faces = faces.float().unsqueeze(1)
    mean = faces.mean(dim=(2, 3), keepdim=True)
    contrast = (faces - mean).square().mean(dim=(2, 3), keepdim=True).sqrt() + CONTRAST_FLOOR
    return (faces - mean) / contrast, mean, contrast


class RestoringNetwork(nn.Module):
    """A network from normalised interpolated faces to restored ones, which loses `border` pixels on each side."""

    border = 0

    def inner(self, faces: Tensor) -> Tensor:
        """The part of `faces`, (n, 1, h, w), that the network leaves."""
        return faces[:, :, self.border : faces.shape[2] - self.border, self.border : faces.shape[3] - self.border]

    def restore(self, faces: Tensor) -> Tensor:
        """Grey interpolated faces (n, 96, 96), 0..255, to restored ones of the same size and range, not rounded. Each
        is continued over its border by its edge pixels, so that it comes out whole."""
        normalised, mean, contrast = normalise(faces)
        if self.border:
            normalised = F.pad(normalised, (self.border,) * 4, mode="replicate")
        return (self(normalised) * contrast + mean).clamp(0, 255).squeeze(1)
