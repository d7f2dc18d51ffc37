"""The network of the shipped restoration model. Its receptive field is the whole face; SR-FCN's is 17×17 pixels."""

import torch
from torch import Tensor, nn

from lowbeam.models.normalised import RestorationNetwork
from lowbeam.models.one_for_all import Residual

CELL = 4  # pixels: side of the patches that become channels; this saves most of the cost


class RestorationUNet(RestorationNetwork):
    """A U-Net (Ronneberger et al. 2015) of residual blocks on grids of 24, 12 and 6. It computes the detail that is
    added to the interpolated face, by sub-pixel convolution (Shi et al. 2016)."""

    def __init__(self, channels: tuple[int, int, int] = (48, 96, 128)) -> None:
        super().__init__()
        fine, middle, coarse = channels
        self.enter = nn.Sequential(
            nn.PixelUnshuffle(CELL), nn.Conv2d(CELL**2, fine, 3, 1, 1), nn.ReLU(), Residual(fine), Residual(fine)
        )
        self.to_middle = nn.Sequential(nn.Conv2d(fine, middle, 3, 2, 1), nn.ReLU(), Residual(middle))
        self.to_coarse = nn.Sequential(
            nn.Conv2d(middle, coarse, 3, 2, 1), nn.ReLU(), Residual(coarse), Residual(coarse)
        )
        self.from_coarse = nn.Sequential(nn.Conv2d(coarse, 4 * middle, 1), nn.PixelShuffle(2))
        self.at_middle = Residual(middle)
        self.from_middle = nn.Sequential(nn.Conv2d(middle, 4 * fine, 1), nn.PixelShuffle(2))
        self.at_fine = nn.Sequential(Residual(fine), Residual(fine))
        self.paint = nn.Conv2d(fine, CELL**2, 3, 1, 1)
        self.leave = nn.PixelShuffle(CELL)
        with torch.no_grad():
            self.paint.weight /= 10  # before training, the output is close to the interpolated face

    def forward(self, faces: Tensor) -> Tensor:
        """Normalized faces (n, 1, 96, 96) to restored ones of the same shape."""
        fine = self.enter(faces)
        middle = self.to_middle(fine)
        x = self.from_coarse(self.to_coarse(middle))
        x = self.from_middle(self.at_middle(x + middle))
        return faces + self.leave(self.paint(self.at_fine(x + fine)))
