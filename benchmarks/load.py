"""Speed under load: how many live streams a core keeps up with, and how long a face waits for its reading.

A stream is what a small device sends: a face 25 times a second at 12 px by HEVC. The far side decodes it and reads it
in the light of what it remembers of that person, one face at a time as it arrives, one process a core.
"""

import multiprocessing
import time
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.cores import cores, keep_to
from lowbeam import Recognizer
from lowbeam.codec import CodedFace, OperatingPoint, open_decoder
from lowbeam.codec.trip import CodedRun, code
from lowbeam.demo import ASSETS
from lowbeam.faces import FaceTracker, YunetDetector
from lowbeam.media import VideoSource
from lowbeam.pipeline.sources import find_faces
from lowbeam.scale import shrink

FPS = 25
POINT = OperatingPoint("hevc", 8, 32, FPS)
SECONDS = 8.0  # that a load is kept up
LIMIT_S = 1 / FPS  # a core keeps up with its streams where 99 % of faces are read before the next one comes
LESS = 0.95  # of the streams, where it does not


def coded_clip() -> CodedRun:
    """The first faces of the clip that ships, as the stream of one person."""
    with VideoSource(ASSETS / "clip.mp4") as video:
        tracker = FaceTracker(YunetDetector())
        faces = [face.pixels for frame in video for face in find_faces(frame, tracker, "primary").faces]
    lr = shrink(np.stack(faces[: int(SECONDS * FPS)]), POINT.scale)
    return code(POINT, lr, [round(1000 * i / FPS) for i in range(len(lr))])


class _Person:
    """The far side of one stream."""

    def __init__(self, run: CodedRun, recognizer: Recognizer) -> None:
        self._decoder = open_decoder(run.header)
        self._recognizer, self._memory = recognizer, None

    def receive(self, coded: CodedFace) -> None:
        for sample in self._decoder.decode(coded):
            pixels, time_s = sample.pixels[None], sample.time_ms / 1000
            _, self._memory = self._recognizer.follow(pixels, [time_s], self._memory)


def _serve(core: int, run: CodedRun, streams: int, live: bool, model: str) -> NDArray[np.float64]:
    """Serve `streams` people on one core; seconds from a face's arrival to its reading, of each. Where not `live`, all
    have arrived at the start."""
    keep_to(core)
    recognizer = Recognizer(model)
    people = [_Person(run, recognizer) for _ in range(streams)]
    warm = _Person(run, recognizer)
    for face in run.faces[:20]:
        warm.receive(face)
    arrivals = sorted(
        (frame / FPS + number / streams / FPS, number, frame)
        for frame in range(len(run.faces)) for number in range(streams)
    )  # fmt: skip
    begun, waited = time.perf_counter(), []
    for due, number, frame in arrivals:
        if live:
            _wait_until(begun + due)
        people[number].receive(run.faces[frame])
        waited.append(time.perf_counter() - begun - (due if live else 0))
    return np.array(waited)


def _wait_until(moment: float) -> None:
    while (left := moment - time.perf_counter()) > 0:
        if left > 0.0005:
            time.sleep(left - 0.0003)


def _on(chosen: list[int], run: CodedRun, streams: int, live: bool, model: str) -> list[NDArray[np.float64]]:
    """`_serve` on each of the `chosen` cores at once, with `streams` on each."""
    jobs = [(core, run, streams, live, model) for core in chosen]
    with multiprocessing.get_context("spawn").Pool(len(chosen)) as pool:
        return pool.starmap(_serve, jobs)


def load(model: str) -> dict[str, Any]:
    """For one core and for all: streams kept up with, and milliseconds that a face waits at half and at full load."""
    run, found = coded_clip(), {}
    there = cores()
    for used in dict.fromkeys((1, len(there))):
        chosen = there[:used]
        flat_out = _on(chosen, run, 40, False, model)
        faces_per_s = sum(len(waits) / waits[-1] for waits in flat_out)
        streams, waits = int(faces_per_s / used / FPS), np.empty(0)
        while streams:
            waits = np.concatenate(_on(chosen, run, streams, True, model))
            if np.quantile(waits, 0.99) <= LIMIT_S:
                break
            streams = int(streams * LESS)
        half = np.concatenate(_on(chosen, run, max(1, streams // 2), True, model))
        found[f"{used} core{'s' if used > 1 else ''}"] = {
            "flat_out_faces_per_s": faces_per_s, "streams": streams * used,
            "half_load_ms": _quantiles(half), "full_load_ms": _quantiles(waits),
        }  # fmt: skip
    return {"stream": f"{POINT}, decoded and read with memory", "model": model, "seconds": SECONDS} | found


def _quantiles(waits: NDArray[np.float64]) -> dict[str, float]:
    return {f"p{q}": 1000 * float(np.percentile(waits, q)) for q in (50, 95, 99)}
