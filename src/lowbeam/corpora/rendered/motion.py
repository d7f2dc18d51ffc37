"""Motion and changes of the picture that are unrelated to emotion: speech, blinks, gaze, head pose, light and hands."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lowbeam.corpora.rendered.expressions import Weights, both_sides
from lowbeam.corpora.rendered.feelings import events, hump, wandering

Series = NDArray[np.float64]  # (n,), or (n, k)

MAX_YAW_DEG, MAX_PITCH_DEG, MAX_ROLL_DEG = 30.0, 14.0, 10.0
TALK_S, PAUSE_S = (1.5, 7.0), (1.0, 8.0)
BLINK_S = 0.07  # half width of a blink
VISEMES: tuple[dict[str, float], ...] = (
    {"jawOpen": 0.32}, {"jawOpen": 0.14, "mouthStretch": 0.3}, {"jawOpen": 0.12, "mouthFunnel": 0.5},
    {"mouthPucker": 0.55, "jawOpen": 0.06}, {"mouthClose": 0.05, "mouthPress": 0.35},
    {"jawOpen": 0.2, "mouthLowerDown": 0.3}, {"jawOpen": 0.1, "mouthUpperUp": 0.25},
    {"mouthRollLower": 0.4, "jawOpen": 0.05},
)  # fmt: skip

LIDS_AND_GAZE = dict.fromkeys(("eyeWide", "eyeBlink", "eyeLookIn", "eyeLookOut", "eyeLookUp", "eyeLookDown"), 1.0)


def add(weights: Weights, shapes: dict[str, float], amount: Series) -> None:
    """Add `shapes` times `amount` (n,) to the weights, in place, limited to 1."""
    for name, weight in both_sides(shapes):
        weights[name] = np.minimum(weights.get(name, np.zeros(len(amount))) + weight * amount, 1.0)


def talk(weights: Weights, count: int, fps: float, rng: np.random.Generator) -> None:
    """Add speech with pauses, one viseme per syllable: the mouth opens without a smile."""
    time_s = np.arange(count) / fps
    loudness, rate, clock_s = rng.uniform(0.6, 1.3), rng.uniform(3.5, 5.5), rng.uniform(0, 5)
    talking = np.zeros(count)
    while clock_s < time_s[-1]:
        spell_s = rng.uniform(*TALK_S)
        talking += hump(time_s, clock_s, 0.2, spell_s, 0.2)
        clock_s += spell_s + rng.uniform(*PAUSE_S)
    beat = np.cumsum(rate * (1 + 0.2 * wandering(count, 1 / fps, 0.6, rng)).clip(0.4) / fps)
    said = rng.integers(len(VISEMES), size=int(beat[-1]) + 2)
    opening = loudness * talking * np.sin(np.pi * (beat % 1)) ** 2
    for index, shapes in enumerate(VISEMES):
        add(weights, shapes, opening * (said[beat.astype(int)] == index))


def blink_and_look(weights: Weights, count: int, fps: float, rng: np.random.Generator) -> Series:
    """Add random blinks, and a gaze that jumps and rests. Returns how far blinks close the eyes, from 0 to 1, (n,)."""
    time_s = np.arange(count) / fps
    add(weights, {"eyeWide": 1.0}, np.full(count, rng.uniform(0.0, 0.15)))  # lids differ
    blinks = np.zeros(count)
    for at_s in events(time_s[-1], rng.uniform(2.0, 6.0), rng):
        blinks += np.exp(-np.square((time_s - at_s) / BLINK_S))
    blinks = np.clip(blinks, 0, 1)
    add(weights, {"eyeBlink": 1.0}, blinks)
    across, up = _jumps(time_s, 1.8, rng), _jumps(time_s, 2.5, rng)
    for share, left, right in ((across, "In", "Out"), (-across, "Out", "In")):
        add(weights, {f"eyeLook{left}_L": 0.5, f"eyeLook{right}_R": 0.5}, np.clip(share, 0, 1))
    add(weights, {"eyeLookUp": 0.4}, np.clip(up, 0, 1))
    add(weights, {"eyeLookDown": 0.4}, np.clip(-up, 0, 1))
    return blinks


def _jumps(time_s: Series, every_s: float, rng: np.random.Generator) -> Series:
    at = events(time_s[-1], every_s, rng)
    return np.clip(rng.normal(0, 0.4, len(at) + 1), -1, 1)[np.searchsorted(at, time_s)]


@dataclass(frozen=True)
class HeadMotion:
    """The head pose of each frame: `angles_deg` (n, 3), yaw, pitch and roll; `shift` (n, 3) in cm; `zoom` (n,), 1 at
    the normal distance."""

    angles_deg: Series
    shift: Series
    zoom: Series


def move_head(count: int, fps: float, rng: np.random.Generator) -> HeadMotion:
    """Random head motion: turns up to ±30°, nods, shakes, sway and changes of distance."""
    time_s = np.arange(count) / fps

    def sway(*parts: tuple[float, float]) -> Series:
        return sum((size * wandering(count, 1 / fps, revert_s, rng) for revert_s, size in parts), np.zeros(count))

    rest = rng.normal(0, (5, 2.5, 2))
    yaw, pitch, roll = rest[0] + sway((6, 9), (1.2, 2)), rest[1] + sway((5, 3.5), (1, 1)), rest[2] + sway((6, 3))
    for at_s in events(time_s[-1], 14.0, rng):
        swing = rng.uniform(4, 9) * np.sin(2 * np.pi * rng.uniform(1.2, 2.2) * time_s)
        swing *= hump(time_s, at_s, 0.2, rng.uniform(0.5, 1.5), 0.3)
        if rng.random() < 0.6:
            pitch = pitch + swing
        else:
            yaw = yaw + 1.5 * swing
    bounds = np.array([MAX_YAW_DEG, MAX_PITCH_DEG, MAX_ROLL_DEG])
    angles = _smooth(np.stack([yaw, pitch, roll], 1), fps * 0.12)
    shift = _smooth(np.stack([sway((5, 0.8)), sway((5, 0.5)), np.zeros(count)], 1), fps * 0.2)
    zoom = np.clip(rng.uniform(0.94, 1.06) * (1 + _smooth(sway((8, 0.05))[:, None], fps * 0.3)[:, 0]), 0.86, 1.14)
    return HeadMotion(bounds * np.tanh(angles / bounds), shift, zoom)


def _smooth(series: Series, frames: float) -> Series:
    """A first-order low-pass filter, applied from both ends so that there is no delay."""
    keep = frames / (1 + frames)
    out = series.copy()
    for _ in range(2):
        for i in range(1, len(out)):
            out[i] = keep * out[i - 1] + (1 - keep) * out[i]
        out = out[::-1].copy()
    return out


@dataclass(frozen=True)
class Light:
    """The light of each frame: `direction` (n, 3) of the key light; `ambient` (n,); `gain` (n,) of the exposure;
    `shadow` (n, 5) as in `Pose`."""

    direction: Series
    ambient: Series
    gain: Series
    shadow: Series


def shine(count: int, fps: float, rng: np.random.Generator) -> Light:
    """Random light: slow drift, passing shadows, and steps of exposure that the camera corrects."""
    time_s = np.arange(count) / fps
    start = np.array([rng.uniform(-1, 1), rng.uniform(0.1, 1), rng.uniform(0.5, 1)])
    drift = np.stack([0.25 * wandering(count, 1 / fps, 12.0, rng) for _ in range(3)], 1)
    direction = start + drift
    direction[:, 2] = np.maximum(direction[:, 2], 0.3)
    gain = np.full(count, rng.uniform(0.75, 1.15))
    for at_s in events(time_s[-1], 20.0, rng):
        since_s = time_s - at_s
        step = rng.choice([rng.uniform(0.55, 0.8), rng.uniform(1.25, 1.7)])
        gain = gain * np.where(
            since_s >= 0, 1 + (step - 1) * np.exp(-np.maximum(since_s, 0) / rng.uniform(0.5, 2.5)), 1
        )
    shadow = np.tile([1.0, 0.0, 0.0, 100.0, 0.0], (count, 1))
    for at_s in events(time_s[-1], 18.0, rng):
        angle, length_s = rng.uniform(0, 2 * np.pi), rng.uniform(1.0, 4.0)
        share = hump(time_s, at_s, 0.3, length_s, 0.3)
        on = share > 0
        place = rng.uniform(-6, 6) + rng.normal(0, 2) * (time_s - at_s)
        columns = [np.full(count, np.cos(angle)), np.full(count, np.sin(angle)), np.zeros(count), place]
        shadow[on] = np.stack([*columns, rng.uniform(0.4, 0.85) * share], 1)[on]
    return Light(
        direction, np.clip(rng.uniform(0.12, 0.4) + 0.04 * wandering(count, 1 / fps, 9.0, rng), 0.06, 0.5), gain, shadow
    )


@dataclass(frozen=True)
class Crossing:
    """A hand or a strand of hair (`kind`) that crosses the picture from `start_s` to `end_s` (seconds). It moves from
    `origin` to `target` and back; both are in sides of the picture from its centre, x right and y down."""

    kind: str
    start_s: float
    end_s: float
    origin: tuple[float, float]
    target: tuple[float, float]


def crossings(duration_s: float, rng: np.random.Generator) -> list[Crossing]:
    """Random objects that briefly cross the face, about three in two minutes."""
    found = []
    for at_s in events(duration_s, 38.0, rng):
        kind = str(rng.choice(["hand", "hair"], p=[0.65, 0.35]))
        side = rng.choice([-1, 1])
        origin = (side * rng.uniform(0.5, 0.9), 0.8) if kind == "hand" else (side * rng.uniform(0.1, 0.3), -0.7)
        target = (side * rng.uniform(-0.1, 0.2), rng.uniform(-0.12, 0.25))
        found.append(Crossing(kind, float(at_s), float(at_s + rng.uniform(0.5, 1.8)), origin, target))
    return found
