"""The two networks of Cheng et al. 2017 (arXiv 1709.03126, Sec. III): the recognizer CNN+D, and SR-FCN, which restores.

Both start with the same three unpadded 5×5 convolutions on a grey 96×96 face, so that the weights that SR-FCN learns
can be transferred to the recognizer. Pooling comes before each ReLU: the two commute, and the ReLU then has a quarter
of the work.
"""

from typing import Literal

import torch.nn.functional as F
from torch import Tensor, nn

from lowbeam.models.normalised import RestorationNetwork
from lowbeam.models.pooled_relu import pooled_relu

Channels = tuple[int, int, int]
Pooling = Literal["quadrant", "stride4"]

PAPER_CHANNELS: Channels = (64, 128, 256)
KERNEL = 5
BORDER = 8  # pixels that four unpadded 5×5 convolutions remove on each side of a face
HIDDEN = 300
OUTPUTS = 2  # valence and arousal; the paper trains one network for each


class Convolutions(nn.Module):
    """The three convolutions that both networks share."""

    def __init__(self, channels: Channels) -> None:
        super().__init__()
        first, second, third = channels
        self.first = nn.Conv2d(1, first, KERNEL)
        self.second = nn.Conv2d(first, second, KERNEL)
        self.third = nn.Conv2d(second, third, KERNEL)

    @property
    def layers(self) -> tuple[nn.Conv2d, nn.Conv2d, nn.Conv2d]:
        """In the order of the forward pass."""
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
        """Normalized faces (n, 1, 96, 96) to features (n, cells × channels)."""
        convolutions = self.convolutions
        x = pooled_relu(convolutions.first(faces))
        x = pooled_relu(convolutions.second(x))
        x = convolutions.third(x)
        if self.pooling == "quadrant":
            side = x.shape[-1]  # where it is odd, the quarters overlap in the middle
            return F.relu(F.max_pool2d(x, (side + 1) // 2, side // 2)).flatten(1)
        return F.relu(F.max_pool2d(x, 4, ceil_mode=True)).flatten(1)

    def read(self, features: Tensor) -> Tensor:
        """Features to valence and arousal, (n, 2)."""
        return self.readout(self.dropout(F.relu(self.hidden(features))))

    def forward(self, faces: Tensor) -> Tensor:
        """Normalized faces (n, 1, 96, 96) to valence and arousal, (n, 2)."""
        return self.read(self.features(faces))


class SrFcn(RestorationNetwork):
    """SR-FCN: the three convolutions without pooling, and a fourth that computes the restored pixels.

    With ``learns="detail"`` its output is added to the interpolated face (Kim et al. 2016, Accurate image
    super-resolution, Sec. 3); with ``learns="face"`` it is the face itself, as published.
    """

    border = BORDER

    def __init__(self, channels: Channels = PAPER_CHANNELS, learns: Literal["detail", "face"] = "detail") -> None:
        super().__init__()
        self.convolutions = Convolutions(channels)
        self.paint = nn.Conv2d(channels[2], 1, KERNEL)
        self.learns = learns

    def forward(self, faces: Tensor) -> Tensor:
        """Normalized faces or parts of them, (n, 1, h, w), to their restored inner part (n, 1, h - 16, w - 16)."""
        x = F.relu(self.convolutions.first(faces))
        x = F.relu(self.convolutions.second(x))
        x = self.paint(F.relu(self.convolutions.third(x)))
        return x if self.learns == "face" else x + self.inner(faces)


def cnn_d_of(weights: dict[str, Tensor]) -> CnnD:
    """A CNN+D with `weights`, its size taken from their shapes. Raises `KeyError` or `RuntimeError` where they are not
    those of a CNN+D."""
    first, second, third = (weights[f"convolutions.{name}.weight"].shape[0] for name in ("first", "second", "third"))
    cells = weights["hidden.weight"].shape[1] // third
    network = CnnD((first, second, third), "quadrant" if cells == 4 else "stride4")
    network.load_state_dict(weights)
    return network.eval()


def parameter_count(network: nn.Module) -> int:
    """Number of trainable parameters."""
    return sum(parameter.numel() for parameter in network.parameters())
