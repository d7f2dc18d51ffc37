"""Contrast normalization of faces, and the base class of the networks that restore them."""

import torch.nn.functional as F
from torch import Tensor, nn

CONTRAST_FLOOR = 8.0  # grey levels added to a face's standard deviation, so that a flat face is not amplified to noise


def normalise(faces: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Subtract each face's mean and divide by its contrast.

    Grey `faces` (n, d, d), 0..255, become a network's input (n, 1, d, d). Also returns each face's mean and contrast,
    (n, 1, 1, 1), which invert the normalization.
    """
    faces = faces.float().unsqueeze(1)
    mean = faces.mean(dim=(2, 3), keepdim=True)
    contrast = (faces - mean).square().mean(dim=(2, 3), keepdim=True).sqrt() + CONTRAST_FLOOR
    return (faces - mean) / contrast, mean, contrast


class RestorationNetwork(nn.Module):
    """A network from normalized interpolated faces to restored ones; its output lacks `border` pixels on each side."""

    border = 0

    def inner(self, faces: Tensor) -> Tensor:
        """The part of `faces`, (n, 1, h, w), that the network's output covers."""
        return faces[:, :, self.border : faces.shape[2] - self.border, self.border : faces.shape[3] - self.border]

    def restore(self, faces: Tensor) -> Tensor:
        """Restore grey interpolated faces (n, 96, 96), 0..255; returns faces of the same shape and range, not rounded.

        Each face is padded with its edge pixels first, so that the output covers the whole face.
        """
        normalised, mean, contrast = normalise(faces)
        if self.border:
            normalised = F.pad(normalised, (self.border,) * 4, mode="replicate")
        return (self(normalised) * contrast + mean).clamp(0, 255).squeeze(1)
