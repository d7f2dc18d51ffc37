"""What a report says of a recording: means with intervals, coverage, what to be careful about, and its course."""

import base64
import math
import re
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lowbeam.archive.records import About

BLOCKS, BLOCK_S = 10, 3.0  # of which a mean's interval is made, and the shortest that is long enough
T_95 = 2.262  # Student's t, 95 %, BLOCKS - 1 degrees of freedom
# Beyond these, estimates become worse soon: by the CCC on FER+ valid (docs/recognizer/light.json).
SMALL_PX = 24.0  # the side of a face: .88 at 24 pixels, .79 at 12
DARK, BRIGHT = 30.0, 195.0  # its mean grey value: .82 at 32, .69 at 20; .85 at 183, .74 at 208
UNCERTAIN = 0.3  # the mean deviation: 0.21 at 12 pixels, 0.35 at 6, where the CCC is .49
SELDOM = 0.5  # share of time with a face
FULL_PX = 96  # what is coded of a face at s = 1
NO_FACE = -128  # in a course

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Mean:
    """A mean over time: `value`; the half `width` of its 95 % interval, None for a short recording; `spread`, the
    standard deviation over time."""

    value: float
    width: float | None
    spread: float


def mean_over_time(time_s: Floats, values: Floats) -> Mean:
    """The mean of `values` at the times `time_s` (seconds, not decreasing), both float64 (n,), n > 0.

    Neighbouring values are alike, so the interval is that of the means of `BLOCKS` parts of equal length (batch means;
    Law 2015, Simulation Modeling and Analysis, ch. 9). It says how much the mean might differ had another stretch of
    time been seen; what the model itself gets wrong about a person is not in it.
    """
    value, spread = float(values.mean()), float(values.std())
    length_s = float(time_s[-1] - time_s[0])
    if length_s < BLOCKS * BLOCK_S:
        return Mean(value, None, spread)
    block = np.minimum((time_s - time_s[0]) / length_s * BLOCKS, BLOCKS - 1).astype(int)
    counts = np.bincount(block, minlength=BLOCKS)
    if (counts == 0).any():
        return Mean(value, None, spread)
    means = np.bincount(block, values, BLOCKS) / counts
    return Mean(value, float(T_95 * means.std(ddof=1) / math.sqrt(BLOCKS)), spread)


def flags_of(about: About, deviation: float, together: int) -> list[str]:
    """What to be careful about; `deviation` is the mean of the estimates' standard deviations, `together` the largest
    number of people who were seen at once."""
    coded = re.search(r"\bs=(\d+)", about.point or "")
    side_px = min(about.side_px, FULL_PX / int(coded[1])) if coded else about.side_px
    found = {
        "small face": side_px < SMALL_PX,
        "dark": about.light is not None and about.light < DARK,
        "overexposed": about.light is not None and about.light > BRIGHT,
        "low certainty": deviation > UNCERTAIN,
        "face seldom seen": about.face_s is not None and about.face_s < SELDOM * about.duration_s,
        "several people": together > 1,
        "cut": about.cut_at_s is not None,
    }
    return [flag for flag, is_so in found.items() if is_so]


def summary(about: About, columns: dict[str, NDArray[Any]], points: int) -> dict[str, Any]:
    """A recording's row of a report, ready for JSON, from the columns of its trace, with a course of at most `points`
    points. Where several people are seen at once, it is of the one who is seen most; where one is seen at a time, it is
    of all: a person who returns after a while has another id."""
    together = int(np.unique(columns["time_s"], return_counts=True)[1].max())
    face, counts = np.unique(columns["face"], return_counts=True)
    is_shown = (columns["face"] == face[counts.argmax()]) | (together == 1)
    time_s = columns["time_s"][is_shown]
    shown = {name: columns[name][is_shown] for name in ("valence", "arousal", "valence_std", "arousal_std")}
    deviation = float(np.mean([shown["valence_std"], shown["arousal_std"]]))
    means = {name: mean_over_time(time_s, shown[name]) for name in ("valence", "arousal")}
    return {
        "source": about.source, "model": about.model, "duration": about.duration_s,
        "coverage": None if about.face_s is None else round(min(about.face_s / about.duration_s, 1.0), 4)
        if about.duration_s else None,
        "people": together, "size": [about.width, about.height], "side": about.side_px, "point": about.point,
        **{
            name: {"mean": round(m.value, 3), "width": None if m.width is None else round(m.width, 3),
                   "spread": round(m.spread, 3)}
            for name, m in means.items()
        },
        "deviation": round(deviation, 3), "flags": flags_of(about, deviation, together),
        "course": course(time_s, [*shown.values()], about.duration_s, points),
    }  # fmt: skip


def course(time_s: Floats, values: list[Floats], duration_s: float, points: int) -> str:
    """`values` over the whole recording at no more than `points` points, evenly spaced, as base64: for each of
    `values`, a byte a point, the mean in hundredths, or `NO_FACE`."""
    count = max(1, min(len(time_s) // 2, points))  # two frames to a point, so that none is empty by chance
    place = np.minimum(time_s / max(duration_s, 1e-9) * count, count - 1).astype(int)
    seen = np.bincount(place, minlength=count)
    rows = []
    for one in values:
        means = np.bincount(place, one, count) / np.maximum(seen, 1)
        rows.append(np.where(seen > 0, np.clip(np.round(100 * means), -127, 127), NO_FACE).astype(np.int8))
    return base64.b64encode(np.concatenate(rows).tobytes()).decode()
