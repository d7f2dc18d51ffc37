"""What blinks do to a trace, and what a running median over a moment repairs: on rendered people, whose truth is known.

The window was chosen on people of split valid; test people are others.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import lowbeam
from lowbeam.corpora.labelled import Affect
from lowbeam.corpora.rendered.face_model import load_face_model
from lowbeam.corpora.rendered.talker import Talker, needed_expressions
from lowbeam.errors import SourceError
from lowbeam.faces import crop
from lowbeam.metrics import AFFECT_NAMES, ccc, coverage
from lowbeam.progress import Progress
from lowbeam.recognize import Estimates, Recognizer
from lowbeam.scale import Faces, shrink
from lowbeam.trace import running_median

SEEDS = {"valid": 991, "test": 992}  # of nobody in a rendered corpus
SIZE, FPS, SECONDS = 192, 25.0, 12.0
WINDOWS_S = (0.0, 0.2, 0.36, 0.6, 1.0)  # 0: no median
CLOSED, OPEN = 0.5, 0.05  # of a blink; between them a frame is neither
VIDEOS = (".mp4", ".mov", ".mkv")
NEAR_S = 0.5  # open eyes that closed ones are compared with


@dataclass(frozen=True)
class Shown:
    """One person: `faces` uint8 (n, 96, 96) at `time_s` (n,), what they show, (n, 2), and how far a blink closes
    the eyes, (n,)."""

    faces: Faces
    time_s: NDArray[np.float64]
    affect: Affect
    blinks: NDArray[np.float64]


def measure_blinks(
    face_model: Path, models: list[str], scales: tuple[int, ...], *, split: str = "test", people: int = 40,
    real: Path | None = None, progress: Progress | None = None,
) -> dict[str, Any]:  # fmt: skip
    """Estimates of `people` of a split at several scales, of each face by itself and with memory, and their running
    medians over `WINDOWS_S`; and of the videos of real people in the folder `real`, which have no truth.

    Returns ``{"split", "people", "blink_frames", "seconds", "fps", "rows", "real"}``; a row has model, scale, memory,
    window_s and, for valence and arousal, the CCC with the truth, the share of truths within one standard deviation,
    the dent of blinks (`dent`), and the jitter: the root mean square of the change from one frame to the next. ``real``
    has, by model and window, the jitter of valence and arousal in `lowbeam.read`, the mean over videos. Raises
    `CorpusError`, `SourceError` or `ModelError`.
    """
    videos = [] if real is None else _videos(real)
    recognizers = {model: Recognizer(model) for model in models}
    head = load_face_model(face_model, needed_expressions())
    shown = []
    for index in range(people):
        shown.append(_show(Talker(head, SEEDS[split], index, round(SECONDS * FPS), FPS, SIZE)))
        if progress is not None:
            progress(index + 1, people)
    rows = []
    for model, recognizer in recognizers.items():
        for scale in scales:
            both = [recognizer.follow_both(shrink(one.faces, scale), one.time_s) for one in shown]
            for memory in (False, True):
                estimates = [steady if memory else each for steady, each in both]
                for window_s in WINDOWS_S:
                    about = {"model": model, "scale": scale, "memory": memory, "window_s": window_s}
                    rows.append(about | _scores(estimates, shown, window_s))
    blink_frames = sum(int((one.blinks > CLOSED).sum()) for one in shown)
    return {
        "split": split, "people": people, "blink_frames": blink_frames, "seconds": SECONDS, "fps": FPS, "rows": rows,
        "real": None if real is None else {model: _real_jitter(videos, model) for model in models},
    }  # fmt: skip


def _videos(folder: Path) -> list[Path]:
    found = [path for path in sorted(folder.glob("*")) if path.suffix.lower() in VIDEOS]
    if not found:
        raise SourceError(f"{folder} has no video: {', '.join(VIDEOS)}")
    return found


def _real_jitter(videos: list[Path], model: str) -> dict[str, dict[str, float]]:
    """By window: the jitter of valence and arousal, the mean over the `videos`."""
    reader = lowbeam.Reader(model)
    traces = [trace for trace in map(reader.read, videos) if len(trace) > 1]
    found = {}
    for window_s in WINDOWS_S:
        revised = [trace.median(window_s) if window_s else trace for trace in traces]
        found[f"{window_s:g}"] = {
            name: float(np.mean([_jitter([trace[name]]) for trace in revised])) for name in AFFECT_NAMES
        }
    return found


def _jitter(series: list[NDArray[np.float64]]) -> float:
    return float(np.sqrt(np.mean([np.square(np.diff(values)).mean() for values in series])))


def _show(talker: Talker) -> Shown:
    faces = np.stack([crop(shot.picture, shot.box) for shot in talker.shots()])
    return Shown(faces, np.arange(len(faces)) / FPS, talker.affect.astype(np.float32), talker.blinks)


def _scores(estimates: list[Estimates], shown: list[Shown], window_s: float) -> dict[str, Any]:
    found = {}
    for column, name in enumerate(AFFECT_NAMES):
        read = [np.asarray(getattr(one, name), np.float64) for one in estimates]
        if window_s:
            read = [running_median(one.time_s, values, window_s) for one, values in zip(shown, read, strict=True)]
        errors = [values - one.affect[:, column] for one, values in zip(shown, read, strict=True)]
        dents = np.concatenate([dent(error, one) for error, one in zip(errors, shown, strict=True)])
        every, truth = np.concatenate(read), np.concatenate([one.affect[:, column] for one in shown])
        std = np.concatenate([getattr(one, f"{name}_std") for one in estimates])
        found[name] = {
            "ccc": ccc(every, truth), "within_1_std": coverage(every, std, truth, 1),
            "dent_mean": float(dents.mean()), "dent_rms": float(np.sqrt(np.square(dents).mean())),
            "jitter": _jitter(read),
        }  # fmt: skip
    return found


def dent(error: NDArray[np.float64], shown: Shown) -> NDArray[np.float64]:
    """For each frame in a blink, how much its error differs from the mean error of the frames without one within
    `NEAR_S`."""
    is_open = shown.blinks < OPEN
    found = []
    for frame in np.flatnonzero(shown.blinks > CLOSED):
        near = is_open & (np.abs(shown.time_s - shown.time_s[frame]) <= NEAR_S)
        if near.any():
            found.append(error[frame] - error[near].mean())
    return np.array(found)
