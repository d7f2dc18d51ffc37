"""The One-for-All recognizer, and the restorer that shares its trunk.

Cheng et al. 2017 (arXiv 1709.03126) put a super-resolution net (SR-FCN) and a recognizer (CNN+D) on the same three
convolutions at 96×96. Here the trunk works on the grid that holds the information: FER+ faces are 48 px natively, and
LR faces less, so a face of any side is resampled to 48×48 and cut into 2×2 patches, one channel each.
"""

import torch
from torch import Tensor, nn

GRID = 48  # pixels: the side to which faces are resampled before the first convolution
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


class Trunk(nn.Sequential):
    """Normalised grid (n, 1, 48, 48) to features (n, CHANNELS, 6, 6)."""

    CHANNELS = 160

    def __init__(self) -> None:
        super().__init__(
            nn.PixelUnshuffle(2),
            _convolution(4, 32),
            Residual(32),
            _convolution(32, 64, stride=2),
            Residual(64),
            _convolution(64, self.CHANNELS, stride=2),
            Residual(self.CHANNELS),
        )


class Restorer(nn.Module):
    """Trunk and a sub-pixel convolution (Shi et al. 2016) that adds the missing detail to a normalised grid."""

    def __init__(self, trunk: Trunk) -> None:
        super().__init__()
        self.trunk = trunk
        self.detail = nn.Sequential(nn.Conv2d(Trunk.CHANNELS, 64, 1), nn.PixelShuffle(8))

    def forward(self, grid: Tensor) -> Tensor:
        """(n, 1, 48, 48) to (n, 1, 48, 48)."""
        return grid + self.detail(self.trunk(grid))


class OneForAll(nn.Module):
    """Trunk, average over each quarter of the face, and one linear layer."""

    FEATURES = 4 * Trunk.CHANNELS

    def __init__(self, trunk: Trunk, dropout: float = 0.5) -> None:
        super().__init__()
        self.trunk = trunk
        self.pool = nn.AvgPool2d(3)
        self.dropout = nn.Dropout(dropout)
        self.readout = nn.Linear(self.FEATURES, 2 + 2 + EMOTION_CLASSES)

    def forward(self, grid: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Grid (n, 1, 48, 48) to valence and arousal (n, 2), the logarithms of their variances (n, 2), and emotion
        logits (n, 8)."""
        return self.read(self.dropout(self.features(grid)))

    def features(self, grid: Tensor) -> Tensor:
        """Grid (n, 1, 48, 48) to what the readings are made from, (n, FEATURES)."""
        return self.pool(self.trunk(grid)).flatten(1)

    def read(self, features: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """The readings that `forward` returns, of `features`."""
        affect, log_variance, emotion = self.readout(features).split([2, 2, EMOTION_CLASSES], dim=1)
        return affect, log_variance, emotion
