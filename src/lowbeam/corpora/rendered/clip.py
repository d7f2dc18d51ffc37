"""The shipped clip: a rendered person who talks, nods and blinks, and shows joy, surprise, sadness, anger and rest,
with the true valence and arousal of every frame.

Made by ``python -m lowbeam.corpora.rendered.clip FACE_MODEL OUT`` (the `render` extra).
"""

import csv
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from lowbeam.corpora.ferplus import CIRCUMPLEX, EMOTIONS
from lowbeam.corpora.rendered.expressions import both_sides
from lowbeam.corpora.rendered.face_model import load_face_model
from lowbeam.corpora.rendered.looks import Looks
from lowbeam.corpora.rendered.person import Person, Pose
from lowbeam.media import Rgb, VideoSink

FPS = 25
DURATION_S = 24.0
SIZE = (640, 360)  # pixels
SEED = 11

# Keyframes (time in seconds, intensity in [0, 1]) of each emotion, with cosine interpolation between them.
FEELINGS: dict[str, list[tuple[float, float]]] = {
    "happiness": [(2.0, 0), (3.2, 0.9), (5.5, 0.6), (6.6, 0.9), (7.8, 0), (22.3, 0), (23.4, 0.5), (24, 0.5)],
    "surprise": [(8.6, 0), (9.1, 1), (10.4, 0.8), (11.4, 0)],
    "sadness": [(11.8, 0), (13.2, 0.9), (15.2, 0.6), (16.0, 0.8), (16.8, 0)],
    "anger": [(17.4, 0), (18.4, 1), (20.0, 0.7), (20.8, 0.9), (22.0, 0)],
}
TALKING_S = [(0.6, 2.0), (4.0, 6.0), (13.6, 15.4), (18.8, 20.4)]
NODS_S = [(3.4, 4.8), (22.4, 23.8)]
BLINKS_S = [0.5, 2.6, 5.2, 7.7, 8.4, 11.6, 12.6, 15.0, 17.1, 19.6, 22.1]

# The action units of each emotion (Ekman & Friesen 1983, EMFACS-7) as blendshapes; a name without a side means both.
EXPRESSIONS: dict[str, dict[str, float]] = {
    "happiness": {  # 6 + 12 + 25
        "cheekSquint": 0.7, "cheekRaiser": 0.7, "eyeSquint": 0.3, "mouthSmile": 1.0, "mouthUpperUp": 0.3, "jawOpen": 0.1
    },
    "surprise": {"browInnerUp": 0.9, "browOuterUp": 0.9, "eyeWide": 0.9, "jawOpen": 0.45},  # 1 + 2 + 5 + 26
    "sadness": {  # 1 + 4 + 15 + 17, lids and gaze lowered
        "browInnerUp": 1.0, "browDown": 0.4, "mouthFrown": 1.0, "mouthShrugLower": 0.7, "eyeSquint": 0.4,
        "eyeLookDown": 0.4,
    },
    "anger": {  # 4 + 5 + 7 + 10 + 23 + 25
        "browDown": 1.0, "eyeWide": 0.3, "eyeSquint": 0.5, "noseSneer": 0.7, "mouthUpperUp": 0.5, "mouthLowerDown": 0.7,
        "mouthStretch": 0.3, "jawOpen": 0.12,
    },
}  # fmt: skip
VISEMES: list[dict[str, float]] = [
    {"jawOpen": 0.30}, {"jawOpen": 0.12, "mouthStretch": 0.3}, {"jawOpen": 0.10, "mouthFunnel": 0.5},
    {"mouthPucker": 0.5, "jawOpen": 0.06}, {"mouthClose": 0.05, "mouthPress": 0.3},
]  # fmt: skip
SYLLABLES_PER_S = 4.5


def intensity(feeling: str, time_s: NDArray[np.float64]) -> NDArray[np.float64]:
    """Intensity of the emotion `feeling` at `time_s` (n,), in [0, 1]: (n,)."""
    times, values = np.array(FEELINGS[feeling]).T
    index = np.clip(np.searchsorted(times, time_s, side="right") - 1, 0, len(times) - 2)
    share = np.clip((time_s - times[index]) / (times[index + 1] - times[index]), 0, 1)
    found: NDArray[np.float64] = values[index] + (values[index + 1] - values[index]) * (1 - np.cos(np.pi * share)) / 2
    return found


def truth(time_s: NDArray[np.float64]) -> NDArray[np.float64]:
    """Valence and arousal at `time_s` (n,): each emotion's place on the circumplex times its intensity, (n, 2)."""
    affect: NDArray[np.float64] = sum(intensity(f, time_s)[:, None] * CIRCUMPLEX[EMOTIONS.index(f)] for f in FEELINGS)
    return affect


def _within(time_s: float, spans: list[tuple[float, float]]) -> float:
    """1 within any of `spans`, with a fall to 0 over 0.15 s at its ends."""
    return max(float(np.clip(min(time_s - a, b - time_s) / 0.15, 0, 1)) for a, b in spans)


def pose_at(time_s: float, syllables: NDArray[np.int64]) -> Pose:
    """Expression and head pose at `time_s`; `syllables` are the visemes of the speech, as indices of `VISEMES`."""
    weights: dict[str, float] = {"eyeWide": 0.12}

    def add(shapes: dict[str, float], amount: float) -> None:
        for name, weight in shapes.items():
            weights[name] = weights.get(name, 0.0) + amount * weight

    for feeling, shapes in EXPRESSIONS.items():
        add(shapes, float(intensity(feeling, np.array([time_s]))[0]))
    beat = time_s * SYLLABLES_PER_S
    add(VISEMES[syllables[int(beat)]], _within(time_s, TALKING_S) * np.sin(np.pi * (beat % 1)) ** 2)
    blink = max(np.exp(-(((time_s - b) / 0.07) ** 2)) for b in BLINKS_S)
    weights["eyeBlink"] = weights.get("eyeBlink", 0.0) + blink
    nod = _within(time_s, NODS_S) * 7 * np.sin(2 * np.pi * 1.8 * time_s)
    return Pose(
        expression={name: min(weight, 1.0) for name, weight in both_sides(weights)},
        yaw_deg=9 * np.sin(0.55 * time_s + 0.4) + 3 * np.sin(1.7 * time_s),
        pitch_deg=2 * np.sin(0.9 * time_s) + nod + 7 * float(intensity("sadness", np.array([time_s]))[0]),
        roll_deg=3 * np.sin(0.7 * time_s + 1.0),
        shift=(1.5 * np.sin(0.4 * time_s), 0.3 * np.sin(1.1 * time_s), 2.0 * np.sin(0.33 * time_s)),
        light=(-0.5 + 0.15 * np.sin(0.3 * time_s), 0.6, 0.8),
    )


def _room(rng: np.random.Generator) -> NDArray[np.float32]:
    """A wall lit from the left, with soft patches: float32 (h, w, 3) linear RGB."""
    width, height = SIZE
    y, x = np.mgrid[0:height, 0:width] / width
    wall = 0.28 - 0.22 * x
    for _ in range(14):
        cx, cy, r = rng.uniform(0, 1), rng.uniform(0, 0.56), rng.uniform(0.05, 0.2)
        wall = wall + rng.uniform(-0.07, 0.07) * np.exp(-((x - cx) ** 2 + (y - cy) ** 2) / r**2)
    lit: NDArray[np.float32] = (np.clip(wall, 0.01, 1)[..., None] * np.array([1.0, 0.95, 0.85])).astype(np.float32)
    return lit


def frames(face_model: str | Path) -> Iterator[Rgb]:
    """Every frame of the clip, uint8 (360, 640, 3)."""
    rng = np.random.default_rng(SEED)
    person = Person(load_face_model(face_model), Looks(rng.normal(0, 0.7, 60).astype(np.float32)))
    room = _room(rng)
    syllables = rng.integers(0, len(VISEMES), int(DURATION_S * SYLLABLES_PER_S) + 1)
    for index in range(round(DURATION_S * FPS)):
        pose = pose_at(index / FPS, syllables)
        pose.shift = (pose.shift[0], pose.shift[1] + 2.5, pose.shift[2])
        yield person.draw(pose, room, pixels_per_cm=11.5)


def write_clip(face_model: str | Path, out: str | Path) -> None:
    """Write ``clip.mp4`` and its ground truth, ``clip.csv``, into the folder `out`."""
    folder = Path(out)
    folder.mkdir(parents=True, exist_ok=True)
    with VideoSink(folder / "clip.mp4", FPS) as sink:
        for index, frame in enumerate(frames(face_model)):
            sink.write(frame, index / FPS)
    time_s = np.arange(round(DURATION_S * FPS)) / FPS
    with (folder / "clip.csv").open("w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["time_s", "valence", "arousal"])
        writer.writerows([f"{v:.4f}" for v in row] for row in np.column_stack([time_s, truth(time_s)]))


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit("usage: python -m lowbeam.corpora.rendered.clip FACE_MODEL OUT")
    write_clip(*sys.argv[1:])
