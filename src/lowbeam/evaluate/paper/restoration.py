"""The quality of restored faces: PSNR and SSIM against the HR face, also for bicubic interpolation."""

import torch
from torch import Tensor
from torchmetrics.functional.image import peak_signal_noise_ratio, structural_similarity_index_measure

from lowbeam.models.normalised import RestorationNetwork
from lowbeam.train.degrade import native_to_hr
from lowbeam.train.paper.networks import CHUNK, interpolated, restored
from lowbeam.train.paper.recipe import Experiment

MOST_FACES = 1200  # of the test faces, evenly chosen: PSNR needs no more
Measured = dict[str, dict[str, float]]  # by scale


def measure_restoration(
    network: RestorationNetwork, experiment: Experiment, pixels: Tensor, scales: tuple[int, ...]
) -> Measured:
    """PSNR (dB) and SSIM of the whole restored faces, and of the interpolated ones, each the mean over faces. `pixels`
    are native faces, uint8 (n, d, d), of which at most `MOST_FACES` are used."""
    pixels = pixels[:: -(-len(pixels) // MOST_FACES)]
    hr = native_to_hr(pixels)
    measured = {}
    for scale in scales:
        bicubic = torch.cat([interpolated(part, scale) for part in pixels.split(CHUNK)])
        after = restored(network, experiment, pixels, scale).float()
        measured[str(scale)] = {
            "faces": len(pixels),
            "psnr_db": _psnr(after, hr), "ssim": _ssim(after, hr),
            "bicubic_psnr_db": _psnr(bicubic, hr), "bicubic_ssim": _ssim(bicubic, hr),
        }  # fmt: skip
    return measured


def _psnr(faces: Tensor, hr: Tensor) -> float:
    each = peak_signal_noise_ratio(faces[:, None], hr[:, None], data_range=255.0, dim=(1, 2, 3), reduction="none")
    return round(float(each.clamp(max=100).mean()), 4)  # a face without any error would give infinity


def _ssim(faces: Tensor, hr: Tensor) -> float:
    each = [
        structural_similarity_index_measure(f[:, None], h[:, None], data_range=255.0)
        for f, h in zip(faces.split(CHUNK), hr.split(CHUNK), strict=True)
    ]
    sizes = torch.tensor([len(f) for f in faces.split(CHUNK)], dtype=torch.float32)
    return round(float((torch.stack(each).cpu() * sizes).sum() / sizes.sum()), 5)
