"""Augmentation and downsampling of training faces, on the device that they are on."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from lowbeam.models.one_for_all import GRID, to_grid
from lowbeam.scale import FACE_SIDE, resample_matrix, side_of
from lowbeam.train.recipe import Augmentation

GAINS = 0.1, 3.0  # range of the light
MAX_NOISE = 6.0  # grey levels


def _matrix(side_in: int, side_out: int, like: Tensor) -> Tensor:
    return torch.from_numpy(resample_matrix(side_in, side_out).copy()).to(like.device)


def resample(faces: Tensor, side: int) -> Tensor:
    """`lowbeam.scale.resample` on a tensor of grey levels (n, d, d): float, but whole numbers in 0..255."""
    if faces.shape[1] == side:
        return faces
    matrix = _matrix(faces.shape[1], side, faces)
    return torch.matmul(matrix, torch.matmul(faces, matrix.T)).round().clamp(0, 255)


def augment(pixels: Tensor, bounds: Augmentation) -> Tensor:
    """Native faces uint8 (n, d, d) to HR faces float32 (n, 96, 96), each at random mirrored, rotated, zoomed, shifted,
    changed in gamma and light, and partly covered. One bicubic interpolation does all that moves."""
    n, device = len(pixels), pixels.device

    def within(bound: float) -> Tensor:
        return (torch.rand(n, device=device) * 2 - 1) * bound

    angle, zoom = within(math.radians(bounds.rotation_deg)), 1 + within(bounds.zoom)
    mirror = torch.randint(0, 2, (n,), device=device) * 2.0 - 1
    cos, sin = angle.cos() * zoom, angle.sin() * zoom
    rows = [torch.stack([cos * mirror, -sin, within(2 * bounds.shift)], 1)]
    rows += [torch.stack([sin * mirror, cos, within(2 * bounds.shift)], 1)]
    theta = torch.stack(rows, 1)
    sampling = F.affine_grid(theta, [n, 1, FACE_SIDE, FACE_SIDE], align_corners=False)
    faces = F.grid_sample(
        pixels[:, None].float(), sampling, mode="bicubic", padding_mode="border", align_corners=False
    )[:, 0]
    faces = (faces.clamp(0, 255) / 255) ** (1 + within(bounds.gamma))[:, None, None] * 255
    faces = _erase(faces, bounds.erase)
    return (faces if bounds.light == 0 else _lit(faces, bounds.light)).round()


def _lit(faces: Tensor, share: float) -> Tensor:
    """A `share` of faces in `GAINS` times the light, drawn evenly on a logarithmic scale, with noise that stays as the
    light fades, and clipped."""
    n, device = len(faces), faces.device
    chosen = torch.rand(n, 1, 1, device=device) < share
    low, high = (math.log(gain) for gain in GAINS)
    gain = torch.exp(low + (high - low) * torch.rand(n, 1, 1, device=device))
    noise = torch.randn_like(faces) * MAX_NOISE * torch.rand(n, 1, 1, device=device)
    return torch.where(chosen, (faces * gain + noise).clamp(0, 255), faces)


def _erase(faces: Tensor, share: float) -> Tensor:
    """Cover a rectangle of random place, 10 to 50 % of the side each way, with a random grey in a `share` of faces."""
    n, device = len(faces), faces.device
    axis = torch.arange(FACE_SIDE, device=device)

    def stripe() -> Tensor:
        length = (0.1 + 0.4 * torch.rand(n, 1, device=device)) * FACE_SIDE
        start = torch.rand(n, 1, device=device) * (FACE_SIDE - length)
        return (axis >= start) & (axis < start + length)

    chosen = torch.rand(n, device=device) < share
    mask = stripe()[:, :, None] & stripe()[:, None, :] & chosen[:, None, None]
    grey = torch.rand(n, 1, 1, device=device) * 255
    return torch.where(mask, grey, faces)


def received(hr: Tensor, scale: int) -> Tensor:
    """HR faces of whole grey levels (n, 96, 96) to the network's input (n, 1, 48, 48), downsampled by `scale`."""
    return on_grid(resample(hr, side_of(scale)))


def on_grid(lr: Tensor) -> Tensor:
    """LR faces of grey levels (n, d, d) as the network's input (n, 1, 48, 48)."""
    return to_grid(lr, _matrix(lr.shape[1], GRID, lr))


def native_to_hr(pixels: Tensor) -> Tensor:
    """Native faces uint8 (n, d, d) to HR faces (n, 96, 96) of whole grey levels, without augmentation."""
    return resample(pixels.float(), FACE_SIDE)
