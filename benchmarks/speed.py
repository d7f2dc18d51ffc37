"""Speed of the recognizer beside its peer, and of `pack` and `read` with the share of each stage, on one core."""

import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

import lowbeam
from lowbeam import Recognizer
from lowbeam.codec import OperatingPoint
from lowbeam.codec.face_stream import FaceStreamReader
from lowbeam.demo import ASSETS
from lowbeam.errors import LowbeamError
from lowbeam.evaluate.fer_peer import FerPeer
from lowbeam.faces import FaceTracker, make_detector
from lowbeam.media import VideoSource
from lowbeam.pipeline import video_sights
from lowbeam.scale import Faces

CLIP = ASSETS / "clip.mp4"  # 640×360, 25 fps, 24 s
SIDE = 12  # pixels: of the faces that the recognizer is timed on
ROUNDS = 5
DEFAULT = OperatingPoint()


def _seconds(work: Callable[[], object]) -> float:
    begun = time.perf_counter()
    work()
    return time.perf_counter() - begun


def _in_turn(works: dict[str, Callable[[], object]], rounds: int) -> dict[str, float]:
    """Median seconds of each, measured in turn so that a machine that slows down slows all."""
    for work in works.values():
        work()
    times: dict[str, list[float]] = {name: [] for name in works}
    for _ in range(rounds):
        for name, work in works.items():
            times[name].append(_seconds(work))
    return {name: statistics.median(seconds) for name, seconds in times.items()}


def recognizer_speed() -> dict[str, Any]:
    """Faces a second on one core, in batches of 1 and 32, of the shipped model and of fer."""
    faces: Faces = np.random.default_rng(0).integers(0, 256, (256, SIDE, SIDE), np.uint8)
    recognizer = Recognizer()

    def batches(read: Callable[[Faces], object], size: int) -> Callable[[], None]:
        return lambda: [read(faces[i : i + size]) for i in range(0, len(faces), size)] and None

    works = {f"lowbeam, batch {size}": batches(recognizer, size) for size in (1, 32)}
    try:
        works["fer, batch 1"] = batches(FerPeer(), 1)
    except LowbeamError as error:
        print(f"without the peer: {error}")
    seconds = _in_turn(works, rounds=4 * ROUNDS)
    return {name: len(faces) / value for name, value in seconds.items()}


def street_speed() -> dict[str, Any]:
    """Frames a second of `pack` and `read` at the default operating point, how many times real time that is, and the
    share of each stage, from runs that go one stage further each."""
    with tempfile.TemporaryDirectory() as folder:
        stream = Path(folder) / "face.mkv"

        def decode() -> int:
            with VideoSource(CLIP) as video:
                return sum(1 for _ in video)

        def track() -> int:
            with VideoSource(CLIP) as video:
                return sum(1 for _ in video_sights(video, FaceTracker(make_detector()), "primary", DEFAULT.fps))

        def pack() -> object:
            return lowbeam.pack(CLIP, stream)

        def receive() -> int:
            with FaceStreamReader(stream) as reader:
                return sum(1 for _ in reader)

        def read_video() -> object:
            return lowbeam.read(CLIP)

        frames, sent = decode(), lowbeam.pack(CLIP, stream).coded
        works = {
            "decode": decode,
            "track": track,
            "pack": pack,
            "receive": receive,
            "read": lambda: lowbeam.read(stream),
        }
        seconds = _in_turn(works | {"read_video": read_video}, ROUNDS)
    duration_s = frames / 25
    return {
        "clip": f"640×360, {frames} frames, {duration_s:g} s; default operating point: {DEFAULT}",
        "pack": {
            "frames_per_s": frames / seconds["pack"],
            "times_real_time": duration_s / seconds["pack"],
            "shares": {
                "decode the video": seconds["decode"] / seconds["pack"],
                "find, follow and cut the face": (seconds["track"] - seconds["decode"]) / seconds["pack"],
                "shrink, encode and write": (seconds["pack"] - seconds["track"]) / seconds["pack"],
            },
        },
        "read a face stream": {
            "frames_per_s": sent / seconds["read"],
            "times_real_time": duration_s / seconds["read"],
            "shares": {
                "decode the face stream": seconds["receive"] / seconds["read"],
                "load the model and recognize": 1 - seconds["receive"] / seconds["read"],
            },
        },
        "read a video": {
            "frames_per_s": frames / seconds["read_video"],
            "times_real_time": duration_s / seconds["read_video"],
        },
    }
