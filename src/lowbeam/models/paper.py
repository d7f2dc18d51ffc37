"""The two networks of Cheng et al. 2017 (arXiv 1709.03126, Sec. III): the recognizer CNN+D, and SR-FCN, which restores.

Both read a grey face of 96×96 through the same three unpadded convolutions of 5×5, so that what SR-FCN learns can be
handed to the recognizer. Pooling stands before each ReLU: the two commute, and it leaves the ReLU a quarter of the
work.
"""

from typing import Literal

import torch.nn.functional as F
from torch import Tensor, nn

from lowbeam.models.normalised import RestoringNetwork

Channels = tuple[int, int, int]
Pooling = Literal["quadrant", "stride4"]

PAPER_CHANNELS: Channels = (64, 128, 256)
KERNEL = 5
BORDER = 8  # pixels: what four unpadded 5×5 convolutions take off each side of a face
HIDDEN = 300
OUTPUTS = 2  # valence and arousal; the paper's networks give one


class Convolutions(nn.Module):
    """The three convolutions that both networks have."""

    def __init__(self, channels: Channels) -> None:
        super().__init__()
        first, second, third = channels
        self.first = nn.Conv2d(1, first, KERNEL)
        self.second = nn.Conv2d(first, second, KERNEL)
        self.third = nn.Conv2d(second, third, KERNEL)

    @property
    def layers(self) -> tuple[nn.Conv2d, nn.Conv2d, nn.Conv2d]:
        """In the order in which a face meets them."""
        return self.first, self.second, self.third


class CnnD(nn.Module):
    """CNN+D: three convolutions with max-pooling, a hidden layer with dropout, and a linear readout.

    ``quadrant`` keeps the largest value of each channel in each quarter of the face (the paper): 4 × 256 values go
    into the hidden layer. ``stride4`` pools 4×4 with stride 4 (the authors' released network): 25 × 256 values, which
    is 21 × 256 × 300 = 1,612,800 parameters more.
    """

    def __init__(
        self, channels: Channels = PAPER_CHANNELS, pooling: Pooling = "quadrant", dropout: float = 0.5
    ) -> None:
        super().__init__()
        self.convolutions = Convolutions(channels)
        self.pooling = pooling
        cells = 4 if pooling == "quadrant" else 25
        self.hidden = nn.Linear(cells * channels[2], HIDDEN)
        self.dropout = nn.Dropout(dropout)
        self.readout = nn.Linear(HIDDEN, OUTPUTS)

    def features(self, faces: Tensor) -> Tensor:
        """Normalised faces (n, 1, 96, 96) to what the convolutions see in them, (n, cells × channels)."""
        convolutions = self.convolutions
        x = F.relu(F.max_pool2d(convolutions.first(faces), 2))
        x = F.relu(F.max_pool2d(convolutions.second(x), 2))
        x = convolutions.third(x)
        if self.pooling == "quadrant":
            side = x.shape[-1]  # where it is odd, the quarters share the middle
            return F.relu(F.max_pool2d(x, (side + 1) // 2, side // 2)).flatten(1)
        return F.relu(F.max_pool2d(x, 4, ceil_mode=True)).flatten(1)

    def read(self, features: Tensor) -> Tensor:
        """Features to valence and arousal, (n, 2)."""
        return self.readout(self.dropout(F.relu(self.hidden(features))))

    def forward(self, faces: Tensor) -> Tensor:
        """Normalised faces (n, 1, 96, 96) to valence and arousal, (n, 2)."""
        return self.read(self.features(faces))


class SrFcn(RestoringNetwork):
    """SR-FCN: the three convolutions without pooling, and a fourth that paints what the face lacks.

    It gives what is to be added to the interpolated face (Kim et al. 2016, Accurate image super-resolution, Sec. 3);
    with ``learns="face"`` the face itself, as published.
    """

    border = BORDER

    def __init__(self, channels: Channels = PAPER_CHANNELS, learns: Literal["detail", "face"] = "detail") -> None:
        super().__init__()
        self.convolutions = Convolutions(channels)
        self.paint = nn.Conv2d(channels[2], 1, KERNEL)
        self.learns = learns

    def forward(self, faces: Tensor) -> Tensor:
        """Normalised faces or parts of them, (n, 1, h, w), to their restored inner part (n, 1, h - 16, w - 16)."""
        x = F.relu(self.convolutions.first(faces))
        x = F.relu(self.convolutions.second(x))
        x = self.paint(F.relu(self.convolutions.third(x)))
        return x if self.learns == "face" else x + self.inner(faces)


def cnn_d_of(weights: dict[str, Tensor]) -> CnnD:
    """The CNN+D that `weights` are of, with them. Raises `KeyError` or `RuntimeError` where they are of another."""
    first, second, third = (weights[f"convolutions.{name}.weight"].shape[0] for name in ("first", "second", "third"))
    cells = weights["hidden.weight"].shape[1] // third
    network = CnnD((first, second, third), "quadrant" if cells == 4 else "stride4")
    network.load_state_dict(weights)
    return network.eval()


def parameter_count(network: nn.Module) -> int:
    """How many numbers training may change."""
    return sum(parameter.numel() for parameter in network.parameters())
