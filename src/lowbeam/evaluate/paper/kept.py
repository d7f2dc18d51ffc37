"""Archived results of a network: its scores, its estimates for the test faces, and its losses while it was trained, in
one small file beside the results. A network with such a file is not trained again, even if its folder is gone."""

import base64
import csv
import json
import zlib
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lowbeam.errors import UsageError
from lowbeam.files import make_folder, whole_file
from lowbeam.train.checkpoint import NETWORK
from lowbeam.train.loop import LOG
from lowbeam.train.paper.jobs import Job

LOGGED = ("train_loss", "valid_loss", "learning_rate")  # of each epoch
STEP = 0.01  # of the readings kept, which end at ±1.27: a thousandth of the faces' noise, and a quarter of the bytes


def keep(job: Job, folder: Path, kept: Path) -> None:
    """Write ``kept/JOB.json`` for a finished job in `folder`, unless it exists. The results in `folder` are replaced by
    the archived ones, whose estimates are rounded, so that both give the same scores. Raises `UsageError` if a file
    is damaged."""
    place, path = folder / job.name, kept / f"{job.name}.json"
    if not path.exists():
        _pack(job, place, path)
    _unpack(job, folder, path)


def _pack(job: Job, place: Path, path: Path) -> None:
    found: dict[str, Any] = {"result": json.loads((place / "result.json").read_text())}
    if job.system.learns_to == "recognize":
        readings = np.load(place / "predictions.npy").astype(np.float32)
        steps = (readings / STEP).round().clip(-127, 127).astype(np.int8)
        text = base64.b64encode(zlib.compress(steps.tobytes(), 9)).decode()
        found["readings"] = {"shape": list(steps.shape), "step": STEP, "int8_zlib_base64": text}
    if (place / LOG).exists():
        found["log"] = _losses(place / LOG)
    with whole_file(path) as beside:
        beside.write_text(json.dumps(found, indent=1) + "\n")


def _losses(path: Path) -> dict[str, list[float]]:
    try:
        with path.open(newline="") as file:
            rows = list(csv.DictReader(file))
        return {name: [float(row[name]) for row in rows] for name in LOGGED}
    except (ValueError, KeyError, TypeError, csv.Error) as error:
        raise UsageError(f"{path} is damaged; delete it, and the network is archived without its losses") from error


def bring_back(every: Iterable[Job], chosen: Iterable[Job], folder: Path, kept: Path) -> None:
    """Restore the archived results of `every` job to `folder`, and archive finished jobs that are not. An SR-FCN
    without weights is marked unfinished if an unfinished job among the `chosen` needs it.

    Raises `UsageError` if a file is damaged.
    """
    for job in every:
        if (kept / f"{job.name}.json").exists() or (folder / job.name / "result.json").exists():
            keep(job, folder, kept)
    for job in chosen:
        if job.needs is not None and not (folder / job.name / "result.json").exists():
            place = folder / job.needs
            if not (place / NETWORK).exists():
                (place / "result.json").unlink(missing_ok=True)


def _unpack(job: Job, folder: Path, path: Path) -> None:
    place = make_folder(folder / job.name)
    try:
        found = json.loads(path.read_text())
        if job.system.learns_to == "recognize":
            np.save(place / "predictions.npy", _readings(**found["readings"]))
        if "log" in found and not (place / LOG).exists():
            with whole_file(place / LOG) as beside, beside.open("w", newline="") as file:
                csv.writer(file).writerows([LOGGED, *zip(*(found["log"][name] for name in LOGGED), strict=True)])
        with whole_file(place / "result.json") as beside:
            beside.write_text(json.dumps(found["result"], indent=1) + "\n")
    except (ValueError, KeyError, TypeError, zlib.error) as error:
        raise UsageError(f"{path} is damaged; bring it back from the repository, or delete it") from error


def _readings(shape: list[int], step: float, int8_zlib_base64: str) -> NDArray[np.float16]:
    steps = np.frombuffer(zlib.decompress(base64.b64decode(int8_zlib_base64)), np.int8)
    return (steps.reshape(shape) * step).astype(np.float16)
