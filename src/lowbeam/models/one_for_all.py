"""The One-for-All recognizer, and the restorer that shares its trunk.

Cheng et al. 2017 (arXiv 1709.03126) put a super-resolution net (SR-FCN) and a recognizer (CNN+D) on the same three
convolutions at 96×96. Here the trunk works on the grid that holds the information: FER+ faces are 48 px natively, and
LR faces less, so a face of any side is resampled to 48×48 and cut into 2×2 patches, one channel each.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

GRID = 48  # pixels: the side to which faces are resampled before the first convolution
OUT_SIDE = 6  # of the features that a trunk makes of it
EMOTION_CLASSES = 8  # FER+ emotions, the helper task
CONTRAST_FLOOR = 8.0  # grey levels added to a face's deviation, so that a flat face is not blown up into noise


def to_grid(faces: Tensor, matrix: Tensor) -> Tensor:
    """Grey `faces` (n, d, d), 0..255, to (n, 1, GRID, GRID) of zero mean and about unit deviation, each by its own
    statistics. `matrix` (GRID, d) is `lowbeam.scale.resample_matrix`."""
    grid = torch.matmul(matrix, torch.matmul(faces.float(), matrix.T))
    grid = grid - grid.mean(dim=(1, 2), keepdim=True)
    deviation = grid.square().mean(dim=(1, 2), keepdim=True).sqrt()
    return (grid / (deviation + CONTRAST_FLOOR)).unsqueeze(1)


def _convolution(channels_in: int, channels: int, stride: int = 1) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(channels_in, channels, 3, stride, 1, bias=False), nn.BatchNorm2d(channels), nn.ReLU(inplace=True)
    )


class Residual(nn.Module):
    """Two 3×3 convolutions around which the input is added (He et al. 2016)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.first = _convolution(channels, channels)
        self.second = nn.Sequential(nn.Conv2d(channels, channels, 3, 1, 1, bias=False), nn.BatchNorm2d(channels))

    def forward(self, x: Tensor) -> Tensor:
        return torch.relu(x + self.second(self.first(x)))


@dataclass(frozen=True)
class Size:
    """How large a trunk is: the side of the patches that it begins with, in pixels of the grid, and of each stage the
    channels and the number of residual blocks. Each stage works at half the resolution of the one before."""

    patch: int
    stages: tuple[tuple[int, int], ...]

    @property
    def channels(self) -> int:
        """Of the features that come out."""
        return self.stages[-1][0]

    @property
    def multiply_adds(self) -> int:
        """Of all convolutions, for one face."""
        side, channels_in, total = GRID // self.patch, self.patch**2, 0
        for number, (channels, blocks) in enumerate(self.stages):
            side //= 2 if number else 1
            total += 9 * side**2 * (channels_in * channels + 2 * blocks * channels**2)
            channels_in = channels
        return total


SIZES = {
    "accurate": Size(2, ((32, 1), (64, 1), (160, 1))),
    "fast": Size(2, ((16, 0), (32, 2), (96, 1))),
}


class Trunk(nn.Sequential):
    """Normalised grid (n, 1, 48, 48) to features (n, size.channels, 6, 6)."""

    def __init__(self, size: Size = SIZES["accurate"]) -> None:
        layers: list[nn.Module] = [nn.PixelUnshuffle(size.patch)]
        channels_in = size.patch**2
        for number, (channels, blocks) in enumerate(size.stages):
            layers.append(_convolution(channels_in, channels, stride=2 if number else 1))
            layers += [Residual(channels) for _ in range(blocks)]
            channels_in = channels
        super().__init__(*layers)
        self.size = size


class Restorer(nn.Module):
    """Trunk and a sub-pixel convolution (Shi et al. 2016) that adds the missing detail to a normalised grid."""

    def __init__(self, trunk: Trunk) -> None:
        super().__init__()
        self.trunk = trunk
        self.detail = nn.Sequential(nn.Conv2d(trunk.size.channels, 64, 1), nn.PixelShuffle(8))

    def forward(self, grid: Tensor) -> Tensor:
        """(n, 1, 48, 48) to (n, 1, 48, 48)."""
        return grid + self.detail(self.trunk(grid))


class OneForAll(nn.Module):
    """Trunk, average over each quarter of the face, and one linear layer."""

    def __init__(self, trunk: Trunk, dropout: float = 0.5) -> None:
        super().__init__()
        self.width = 4 * trunk.size.channels  # of the features
        self.trunk = trunk
        self.pool = nn.AvgPool2d(OUT_SIDE // 2)
        self.dropout = nn.Dropout(dropout)
        self.readout = nn.Linear(self.width, 2 + 2 + EMOTION_CLASSES)

    def forward(self, grid: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Grid (n, 1, 48, 48) to valence and arousal (n, 2), the logarithms of their variances (n, 2), and emotion
        logits (n, 8)."""
        return self.read(self.dropout(self.features(grid)))

    def features(self, grid: Tensor) -> Tensor:
        """Grid (n, 1, 48, 48) to what the readings are made from, (n, width)."""
        return self.pool(self.trunk(grid)).flatten(1)

    def read(self, features: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """The readings that `forward` returns, of `features`."""
        affect, log_variance, emotion = self.readout(features).split([2, 2, EMOTION_CLASSES], dim=1)
        return affect, log_variance, emotion
