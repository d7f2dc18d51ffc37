"""A picture with eight faces, HR, received, interpolated and restored, at every scale."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from lowbeam.evaluate.paper.run import load_network
from lowbeam.files import whole_file
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
    """Draw the sheet to `path` (PNG) from native faces, uint8 (n, d, d), at even intervals, with the restorers in
    `folder`: at each scale the one for all scales if there is one, else the one for that scale. Nothing is drawn if a
    scale has none. For a restorer of all scales, a shorter sheet is drawn too, with ``-few`` after its name."""
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
    _draw(path, rows)
    if any(set(job.mixture) >= set(LR_SCALES) for job in restorers):
        _draw(path.with_stem(f"{path.stem}-few"), few)


def _restored(job: Job, experiment: Experiment, folder: Path, pixels: Tensor, scale: int) -> Tensor:
    network = load_network(job, experiment, folder)
    assert isinstance(network, RestorationNetwork)
    return restored(network, experiment, pixels, scale)


def _grey(faces: Tensor) -> list[NDArray[np.uint8]]:
    return list(faces.numpy().astype(np.uint8))


def _draw(path: Path, rows: list[tuple[str, list[NDArray[np.uint8]]]]) -> None:
    """Draw a sheet (PNG): each row a name and the same number of faces, uint8 (d, d), all shown at one size."""
    from matplotlib.figure import Figure

    columns = len(rows[0][1])
    figure = Figure(figsize=(0.95 * columns + 1.1, 0.95 * len(rows)))
    for axes, (name, faces) in zip(figure.subplots(len(rows), columns), rows, strict=True):
        for column, face in enumerate(faces):
            axes[column].imshow(face, cmap="gray", vmin=0, vmax=255, interpolation="nearest")
            axes[column].set_xticks([])
            axes[column].set_yticks([])
        axes[0].set_ylabel(name, rotation=0, ha="right", va="center", fontsize=8)
    figure.subplots_adjust(
        left=0.9 / (0.95 * columns + 1.1), right=0.998, bottom=0.002, top=0.998, wspace=0.03, hspace=0.03
    )
    with whole_file(path) as beside:
        figure.savefig(beside, dpi=110, metadata={"Software": None})
