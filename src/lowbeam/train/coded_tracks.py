"""Codec-in-the-loop training data from recordings: each track coded whole at operating points drawn at random, decoded,
and cached on disk. Half of them are mirrored."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lowbeam.codec import OperatingPoint
from lowbeam.codec.trip import sent_rows, trip
from lowbeam.corpora.labelled import Affect, Track
from lowbeam.files import whole_file
from lowbeam.pool import shared
from lowbeam.progress import Progress
from lowbeam.scale import SCALES, Faces, shrink
from lowbeam.train.coded_stills import CODECS, QPS, digest, keep_current, read_part

FPS = (25.0, 12.5, 5.0, 2.5, 1.0)
PLAIN = "plain"  # downsampled, not coded


@dataclass(frozen=True)
class CodedTrack:
    """A decoded track: `pixels` uint8 (n, d, d) at `time_s` (n,) seconds, with labels `affect` (n, 2). `codec` is one
    of `CODECS`, or `PLAIN`."""

    person: int
    codec: str
    scale: int
    qp: int
    fps: float
    time_s: NDArray[np.float64]
    pixels: Faces
    affect: Affect


@dataclass(frozen=True)
class _Job:
    track: Track
    person: int
    draws: int
    seed: tuple[int, ...]
    out: Path


def coded_tracks(
    tracks: list[Track], folder: Path, draws: int, seed: int, processes: int,
    progress: Progress | None = None,
) -> list[CodedTrack]:  # fmt: skip
    """Code each track `draws` times at every scale, and downsample it once without coding, at frame rates of `FPS`; or
    load what is cached in `folder`. The same seed gives the same faces."""
    digests = [digest(track.pixels, track.time_s, track.affect) for track in tracks]
    keep_current(folder, [seed, draws, digests, QPS, FPS])
    jobs = [
        _Job(track, person, draws, (seed, person), folder / f"part-{person}.npz") for person, track in enumerate(tracks)
    ]
    waiting = [job for job in jobs if not job.out.exists()]
    for done, _ in enumerate(shared(_code, waiting, processes), 1):
        if progress is not None:
            progress(done, len(waiting))
    return [coded for job in jobs for coded in _load(job)]


def _code(job: _Job) -> None:
    rng = np.random.default_rng(job.seed)
    arrays: dict[str, Any] = {}
    points: list[tuple[str, int, int, float]] = []
    hr = np.asarray(job.track.pixels)
    for scale in SCALES:
        for draw in range(job.draws + 1):
            codec = CODECS[rng.integers(len(CODECS))] if draw else PLAIN
            low, high = QPS.get(codec, (0, 0))
            qp, fps, mirrored = int(rng.integers(low, high + 1)), float(rng.choice(FPS)), bool(rng.integers(2))
            rows = sent_rows(job.track.time_s, fps)
            faces = hr[:, :, ::-1] if mirrored else hr
            if len(job.track) > 1:
                fps = min(fps, round(1 / float(np.median(np.diff(job.track.time_s))), 3))
            if codec == PLAIN:
                lr = shrink(faces[rows], scale)
            else:
                lr = trip(OperatingPoint(codec, scale, qp, fps), faces, job.track.time_s, rows=rows).faces
            name = f"{len(points)}"
            arrays[f"pixels_{name}"], arrays[f"rows_{name}"] = lr, rows
            points.append((codec, scale, qp, fps))
    with whole_file(job.out) as beside:
        np.savez(beside, points=np.array(points, dtype=str), **arrays)


def _load(job: _Job) -> list[CodedTrack]:
    with read_part(job.out) as arrays:
        found = []
        for index, (codec, scale, qp, fps) in enumerate(arrays["points"].tolist()):
            rows = arrays[f"rows_{index}"]
            found.append(
                CodedTrack(
                    job.person, codec, int(scale), int(qp), float(fps), job.track.time_s[rows],
                    arrays[f"pixels_{index}"], job.track.affect[rows],
                )
            )  # fmt: skip
        return found
