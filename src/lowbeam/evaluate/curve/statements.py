"""What is said of a sweep: how much is kept at a rate, by points that were chosen elsewhere, and where what wins."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from lowbeam.evaluate.curve.envelope import Point, agreement, best_within, ccc_pareto_front, same_point, uncoded
from lowbeam.scale import FACE_SIDE

RATES_KBPS = (1, 2, 4, 8, 16)


@dataclass(frozen=True)
class Kept:
    """At `kbps` on the wire: the point chosen on valid, and on test its rate in kbit/s, its CCC (valence, arousal), and
    the share of the uncoded CCC that their mean is."""

    kbps: float
    chosen: Point
    rate_kbps: float
    ccc: tuple[float, float]
    share: float


def kept_at(
    test: dict[str, Any], valid: dict[str, Any], system: str, rate: str, kbps: tuple[float, ...] = RATES_KBPS
) -> list[Kept]:
    """What `system` keeps on test at each of `kbps`, at the points that read best on valid within them; rates that
    nothing is within are left out. `rate` is a key of `envelope.RATE_NAMES`."""
    found = []
    for most in kbps:
        chosen = best_within(valid["points"], system, rate, 1000 * most)
        if chosen is None:
            continue
        point = same_point(test["points"], chosen)
        values = (agreement(point, system, "valence"), agreement(point, system, "arousal"))
        share = float(np.mean(values)) / uncoded(test, system)
        found.append(Kept(most, chosen, point[rate] / 1000, values, share))
    return found


def operating_table(valid: dict[str, Any], gain: float = 0.002) -> dict[str, Any]:
    """The operating table, from a sweep on valid: the points of its first system that no other of their codec beats by
    more than `gain`, by what goes on the wire or by the video alone."""
    system, rows = next(iter(valid["systems"])), {}
    for codec in dict.fromkeys(point["codec"] for point in valid["points"]):
        points = [point for point in valid["points"] if point["codec"] == codec]
        for rate in ("rtp_bps", "payload_bps"):
            for point in ccc_pareto_front(points, system, rate, gain=gain):
                settings = {name: point[name] for name in ("codec", "scale", "qp", "fps")}
                rows[tuple(settings.values())] = settings | {
                    "wire_bps": point["rtp_bps"], "payload_bps": point["payload_bps"],
                    "ccc": round(agreement(point, system), 4),
                }  # fmt: skip
    about = {name: valid[name] for name in ("corpus", "split", "recordings", "seconds")}
    ordered = sorted(rows.values(), key=lambda row: (row["codec"], row["wire_bps"]))
    return {"system": system, **about, "uncoded_ccc": round(uncoded(valid, system), 4), "points": ordered}


@dataclass(frozen=True)
class Without:
    """The best CCC within `kbps`: of all points, without downsampling, and at the full frame rate; None where nothing
    of the kind is so cheap. `best` is the best point."""

    kbps: float
    best: Point
    any_point: float
    full_size: float | None
    full_rate: float | None


def without(test: dict[str, Any], system: str, rate: str, kbps: tuple[float, ...] = RATES_KBPS) -> list[Without]:
    """What downsampling and fewer frames are worth: the best of all points at each of `kbps`, against the best with
    full-size faces, and the best with all frames."""
    points = test["points"]
    most_fps = max(point["fps"] for point in points)
    found = []
    for most in kbps:
        best = best_within(points, system, rate, 1000 * most)
        if best is None:
            continue

        def ccc_of(part: list[Point], most: float = most) -> float | None:
            point = best_within(part, system, rate, 1000 * most)
            return None if point is None else agreement(point, system)

        found.append(
            Without(
                most, best, agreement(best, system), ccc_of([p for p in points if p["side"] == FACE_SIDE]),
                ccc_of([p for p in points if p["fps"] == most_fps]),
            )
        )  # fmt: skip
    return found
