"""The One-for-All recognizer, and the network that pre-trains its trunk by super-resolution.

Cheng et al. 2017 (arXiv 1709.03126) put a super-resolution network (SR-FCN) and a recognizer (CNN+D) on the same three
convolutions at 96×96. Here the trunk works at 48×48: FER+ faces have 48 px natively and LR faces fewer, so that a face
of any side is resampled to 48×48 and cut into 2×2 patches, one channel for each pixel of a patch.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from lowbeam.models.normalised import normalise

GRID = 48  # pixels: the side to which faces are resampled before the first convolution
OUT_SIDE = 6  # side of the feature map that a trunk computes
EMOTION_CLASSES = 8  # FER+ emotions, an auxiliary task


def to_grid(faces: Tensor, matrix: Tensor) -> Tensor:
    """Resample grey `faces` (n, d, d), 0..255, to the network's input: (n, 1, GRID, GRID), each face normalized to zero
    mean and about unit standard deviation. `matrix` (GRID, d) is `lowbeam.scale.resample_matrix`."""
    return normalise(torch.matmul(matrix, torch.matmul(faces.float(), matrix.T)))[0]


def to_patches(faces: Tensor, matrix: Tensor, patch: int) -> Tensor:
    """`to_grid` followed by `torch.nn.PixelUnshuffle`: (n, patch², GRID / patch, GRID / patch). Each pixel is computed
    where it belongs, because moving it there takes longer than the resampling."""
    rows = matrix.unflatten(0, (GRID // patch, patch)).transpose(0, 1)  # (patch, GRID / patch, d)
    across = torch.matmul(faces.float().unsqueeze(1), rows.transpose(1, 2))  # (n, patch, d, GRID / patch)
    patches = torch.matmul(rows.unsqueeze(1), across.unsqueeze(1)).flatten(1, 2)
    return normalise(patches.flatten(2))[0].view_as(patches)


def _convolution(channels_in: int, channels: int, stride: int = 1) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(channels_in, channels, 3, stride, 1, bias=False), nn.BatchNorm2d(channels), nn.ReLU(inplace=True)
    )


class Residual(nn.Module):
    """Two 3×3 convolutions with a skip connection (He et al. 2016)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.first = _convolution(channels, channels)
        self.second = nn.Sequential(nn.Conv2d(channels, channels, 3, 1, 1, bias=False), nn.BatchNorm2d(channels))

    def forward(self, x: Tensor) -> Tensor:
        return torch.relu(x + self.second(self.first(x)))


@dataclass(frozen=True)
class Size:
    """Size of a trunk: side of the input patches in pixels of the grid, and for each stage its channels and number of
    residual blocks. Each stage works at half the resolution of the one before."""

    patch: int
    stages: tuple[tuple[int, int], ...]

    @property
    def channels(self) -> int:
        """Channels of the output features."""
        return self.stages[-1][0]

    @property
    def multiply_adds(self) -> int:
        """Multiply-adds of all convolutions, for one face."""
        side, channels_in, total = GRID // self.patch, self.patch**2, 0
        for number, (channels, blocks) in enumerate(self.stages):
            side //= 2 if number else 1
            total += 9 * side**2 * (channels_in * channels + 2 * blocks * channels**2)
            channels_in = channels
        return total


SIZES = {
    "best": Size(2, ((48, 1), (96, 2), (256, 2))),
    "accurate": Size(2, ((32, 1), (64, 1), (160, 1))),
    "fast": Size(2, ((16, 0), (32, 2), (96, 1))),
}


class Trunk(nn.Sequential):
    """Normalized grid (n, 1, 48, 48) to features (n, size.channels, 6, 6)."""

    def __init__(self, size: Size = SIZES["accurate"]) -> None:
        layers: list[nn.Module] = [nn.PixelUnshuffle(size.patch)]
        channels_in = size.patch**2
        for number, (channels, blocks) in enumerate(size.stages):
            layers.append(_convolution(channels_in, channels, stride=2 if number else 1))
            layers += [Residual(channels) for _ in range(blocks)]
            channels_in = channels
        super().__init__(*layers)
        self.size = size


class TrunkPretraining(nn.Module):
    """A trunk with a sub-pixel convolution (Shi et al. 2016) that adds the missing detail to a normalized grid."""

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
        self.width = 4 * trunk.size.channels  # number of features
        self.trunk = trunk
        self.pool = nn.AvgPool2d(OUT_SIDE // 2)
        self.dropout = nn.Dropout(dropout)
        self.readout = nn.Linear(self.width, 2 + 2 + EMOTION_CLASSES)

    def forward(self, grid: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Grid (n, 1, 48, 48) to valence and arousal (n, 2), the logarithms of their variances (n, 2), and emotion
        logits (n, 8)."""
        return self.read(self.dropout(self.features(grid)))

    def features(self, grid: Tensor) -> Tensor:
        """Grid (n, 1, 48, 48) to features (n, width), from which `read` computes the estimates."""
        return self.pool(self.trunk(grid)).flatten(1)

    def features_of_patches(self, patches: Tensor) -> Tensor:
        """`features` of what `to_patches` gives: the first layer of the trunk cuts the grid into patches."""
        for layer in list(self.trunk)[1:]:
            patches = layer(patches)
        return self.pool(patches).flatten(1)

    def read(self, features: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Features (n, width) to the outputs of `forward`."""
        affect, log_variance, emotion = self.readout(features).split([2, 2, EMOTION_CLASSES], dim=1)
        return affect, log_variance, emotion
