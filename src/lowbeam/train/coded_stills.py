"""Codec-in-the-loop training data from stills: augmented, downsampled, coded, decoded, and cached on disk.

Each still is coded by itself (intra), once at every scale in each round, at a codec and QP drawn at random.
"""

import hashlib
import json
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import av
import numpy as np
import torch
from numpy.typing import NDArray

from lowbeam.codec.trip import code_stills
from lowbeam.corpora.labelled import LabelledFaces
from lowbeam.errors import OutputError
from lowbeam.files import make_folder, whole_file
from lowbeam.models.one_for_all import GRID
from lowbeam.pool import shared
from lowbeam.progress import Progress
from lowbeam.scale import FACE_SIDE, SCALES, Faces, resample, shrink
from lowbeam.train.degrade import augment
from lowbeam.train.recipe import Augmentation

CODED_VERSION = 2  # of the cached files
PART = 512  # faces that a process codes at a time, one cached file
GROUP = 32  # faces in a row that share codec and QP
QPS = {"hevc": (18, 48), "avc": (18, 48), "av1": (20, 62), "vp9": (20, 62)}  # first and last QP that is drawn
CODECS = tuple(QPS)


@dataclass(frozen=True)
class CodedStills:
    """One round of coded stills in the corpus's order. `uncoded` uint8 (n, 48, 48) are the augmented faces at the
    network's input size; `pixels` maps each scale to the decoded faces, uint8 (n, 96/s, 96/s); `point` maps it to uint8
    (n, 2): index into `CODECS`, QP."""

    uncoded: Faces
    pixels: dict[int, Faces]
    point: dict[int, NDArray[np.uint8]]


@dataclass(frozen=True)
class _Part:
    faces: Faces  # native
    bounds: Augmentation | None
    seed: tuple[int, int, int]
    out: Path


def coded_stills(
    stills: LabelledFaces, folder: Path, rounds: int, seed: int, bounds: Augmentation | None, processes: int,
    progress: Progress | None = None,
) -> list[CodedStills]:  # fmt: skip
    """Code `stills` in `rounds` rounds, each face augmented within `bounds` anew (None: not at all), or load what is
    cached in `folder`. The same seed gives the same faces."""
    moved = None if bounds is None else bounds.model_dump()
    keep_current(folder, [seed, digest(stills.pixels), PART, GROUP, QPS, moved])
    starts = range(0, len(stills), PART)
    names = [folder / f"part-{r}-{start}.npz" for r in range(rounds) for start in starts]
    parts = [
        _Part(np.asarray(stills.pixels[start : start + PART]), bounds, (seed, r, start), name)
        for name, (r, start) in zip(names, ((r, s) for r in range(rounds) for s in starts), strict=True)
        if not name.exists()
    ]
    for done, _ in enumerate(shared(_code_part, parts, processes), 1):
        if progress is not None:
            progress(done, len(parts))
    return [_load(names[r * len(starts) : (r + 1) * len(starts)]) for r in range(rounds)]


def digest(*arrays: NDArray) -> str:
    """SHA-256 of the content of `arrays`."""
    found = hashlib.sha256()
    for array in arrays:
        found.update(np.ascontiguousarray(array).data)
    return found.hexdigest()


def keep_current(folder: Path, about: list[Any]) -> None:
    """Make the folder, and delete its parts where they were made from other data or settings than `about`, or by other
    versions of the codecs."""
    text, kept = (
        json.dumps([CODED_VERSION, sorted(av.library_versions.items()), *about]),
        make_folder(folder) / "about.json",
    )
    if kept.exists() and kept.read_text() == text:
        return
    for old in folder.glob("part-*.npz"):
        old.unlink()
    with whole_file(kept) as beside:
        beside.write_text(text)


def _code_part(part: _Part) -> None:
    torch.set_num_threads(1)
    rng = np.random.default_rng(part.seed)
    torch.manual_seed(int(rng.integers(2**31)))
    hr = _moved(part.faces, part.bounds)
    arrays: dict[str, Any] = {"uncoded": resample(hr, GRID)}
    for scale in SCALES:
        lr = shrink(hr, scale)
        pixels, points = [], []
        for start in range(0, len(lr), GROUP):
            group = lr[start : start + GROUP]
            index = int(rng.integers(len(CODECS)))
            low, high = QPS[CODECS[index]]
            qp = int(rng.integers(low, high + 1))
            pixels.append(code_stills(CODECS[index], scale, qp, group))
            points.append(np.tile(np.array([[index, qp]], np.uint8), (len(group), 1)))
        arrays[f"pixels_{scale}"], arrays[f"point_{scale}"] = np.concatenate(pixels), np.concatenate(points)
    with whole_file(part.out) as beside:
        np.savez(beside, **arrays)


def _moved(faces: Faces, bounds: Augmentation | None) -> Faces:
    if bounds is None:
        return resample(faces, FACE_SIDE)
    return augment(torch.from_numpy(faces), bounds).numpy().astype(np.uint8)


@contextmanager
def read_part(path: Path) -> Iterator[Mapping[str, NDArray[Any]]]:
    """The arrays of a cached file. Raises `OutputError` where it is damaged."""
    try:
        with np.load(path) as arrays:
            yield arrays
    except (OSError, EOFError, ValueError, KeyError, zipfile.BadZipFile, zlib.error) as error:
        raise OutputError(f"{path} is damaged; delete it, and it is coded anew") from error


def _load(paths: list[Path]) -> CodedStills:
    pixels: dict[int, list[Faces]] = {scale: [] for scale in SCALES}
    points: dict[int, list[NDArray[np.uint8]]] = {scale: [] for scale in SCALES}
    uncoded = []
    for path in paths:
        with read_part(path) as arrays:
            uncoded.append(arrays["uncoded"])
            for scale in SCALES:
                pixels[scale].append(arrays[f"pixels_{scale}"])
                points[scale].append(arrays[f"point_{scale}"])
    return CodedStills(
        np.concatenate(uncoded),
        {scale: np.concatenate(parts) for scale, parts in pixels.items()},
        {scale: np.concatenate(parts) for scale, parts in points.items()},
    )
