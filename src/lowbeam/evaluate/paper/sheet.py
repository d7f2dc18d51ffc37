"""A sheet to look at: eight faces, HR, received, interpolated and restored, at every scale."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from lowbeam.evaluate.paper.plots import plot_faces
from lowbeam.evaluate.paper.run import load_network
from lowbeam.models.normalised import RestorationNetwork
from lowbeam.scale import side_of
from lowbeam.train.checkpoint import NETWORK
from lowbeam.train.degrade import native_to_hr, resample
from lowbeam.train.paper.jobs import Job, jobs_of
from lowbeam.train.paper.networks import interpolated, restored
from lowbeam.train.paper.recipe import LR_SCALES, Experiment

FACES = 8
FEW = (6, 8, 12)  # scales of the short sheet


def write_sheet(experiment: Experiment, folder: Path, pixels: Tensor, path: Path) -> None:
    """Draw it from evenly chosen native faces, uint8 (n, d, d), by the restoring networks in `folder`: at each scale by
    the one for all scales where there is one, else by that scale's. Nothing is drawn where a scale has none. Of a
    network for all scales there is a short sheet too, ``-few``."""
    restorers = [
        job for job in jobs_of(experiment)
        if job.system.learns_to == "restore" and (folder / job.name / NETWORK).exists()
    ]  # fmt: skip
    if not all(any(scale in job.mixture for job in restorers) for scale in LR_SCALES):
        return
    chosen = pixels[:: max(1, len(pixels) // FACES)][:FACES].cpu()
    rows = [("HR", _grey(native_to_hr(chosen)))]
    few = rows[:]
    for scale in LR_SCALES:
        job = max((job for job in restorers if scale in job.mixture), key=lambda job: len(job.mixture))
        received = (f"S={scale}\n{side_of(scale)} px", _grey(resample(native_to_hr(chosen), side_of(scale))))
        bicubic = ("bicubic", _grey(interpolated(chosen, scale)))
        back = ("restored", _grey(_restored(job, experiment, folder, chosen, scale)))
        rows += [received, bicubic, back]
        few += [received, back] if scale in FEW else []
    plot_faces(path, rows)
    if any(set(job.mixture) >= set(LR_SCALES) for job in restorers):
        plot_faces(path.with_stem(f"{path.stem}-few"), few)


def _restored(job: Job, experiment: Experiment, folder: Path, pixels: Tensor, scale: int) -> Tensor:
    network = load_network(job, experiment, folder)
    assert isinstance(network, RestorationNetwork)
    return restored(network, experiment, pixels, scale)


def _grey(faces: Tensor) -> list[NDArray[np.uint8]]:
    return list(faces.numpy().astype(np.uint8))
