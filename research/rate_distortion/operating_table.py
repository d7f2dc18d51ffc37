"""The operating table that `lowbeam pack --budget` chooses from, made from a sweep of `lowbeam curve`."""

from typing import Any

from lowbeam.evaluate.curve.envelope import agreement, ccc_pareto_front, uncoded

GAIN = 0.002  # CCC by which a point must exceed the cheaper one before it


def make_operating_table(valid: dict[str, Any], gain: float = GAIN) -> dict[str, Any]:
    """The table as JSON, from the sweep `valid` and its first system: for each codec the Pareto fronts in CCC and rate,
    on the wire (RTP) and of the video payload, without points that raise the CCC by `gain` or less.

    Returns ``{"system", "corpus", "split", "recordings", "seconds", "uncoded_ccc", "points"}``; a point has codec,
    scale, QP, frame rate, ``wire_bps``, ``payload_bps`` and ``ccc``, the mean of valence and arousal.
    """
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
