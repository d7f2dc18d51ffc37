"""The history of a person as a chart that scrolls and zooms."""

from collections import Counter
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

from lowbeam.server.store import Point

COLOURS = {"valence": "#ea6a2a", "arousal": "#4f7df3"}
GREY = "#8a8f98"
GAPS = 4.0  # usual intervals between points, above which the line breaks


def faces_of(points: Sequence[Point]) -> list[int]:
    """The ids of the faces in a history, the one with the most points first."""
    return [face for face, _ in Counter(point.face for point in points).most_common()]


def series_data(points: Sequence[Point]) -> list[dict[str, Any]]:
    """The series of the chart: of each of valence and arousal the lower edge of its band, the band, and the line."""
    filled = _with_gaps(points)
    series = []
    for name in COLOURS:
        lower: list[list[float | None]] = []
        band: list[list[float | None]] = []
        line: list[list[float | None]] = []
        for utc, point in filled:
            at = round(1000 * utc)
            value = round(getattr(point, name), 3) if point else None
            deviation = round(getattr(point, f"{name}_std"), 3) if point else 0.0
            line.append([at, value])
            lower.append([at, None if value is None else round(value - deviation, 3)])
            band.append([at, None if value is None else round(2 * deviation, 3)])
        series += [{"data": lower}, {"data": band}, {"data": line}]
    return series


def _with_gaps(points: Sequence[Point]) -> list[tuple[float, Point | None]]:
    """The points, and None in between where the line breaks."""
    steps = sorted(after.utc - before.utc for before, after in pairwise(points))
    longest = max(3.0, GAPS * steps[len(steps) // 2]) if steps else 0.0
    filled: list[tuple[float, Point | None]] = []
    for point in points:
        before = filled[-1][1] if filled else None
        if before and (point.utc - before.utc > longest or point.recording_id != before.recording_id):
            filled.append(((before.utc + point.utc) / 2, None))
        filled.append((point.utc, point))
    return filled


def options(points: Sequence[Point], since_utc: float, until_utc: float) -> dict[str, Any]:
    """The options of the chart."""
    series = series_data(points)
    for number, name in enumerate(COLOURS):
        lower, band, line = series[3 * number : 3 * number + 3]
        edge = {
            "type": "line", "showSymbol": False, "lineStyle": {"opacity": 0}, "stack": f"{name} band", "silent": True,
            "stackStrategy": "all", "tooltip": {"show": False}, "itemStyle": {"color": COLOURS[name]},
        }  # fmt: skip
        lower |= edge | {"name": f"{name} − 1 sd"}
        band |= edge | {"name": f"{name} ± 1 sd", "areaStyle": {"color": COLOURS[name], "opacity": 0.2}}
        line |= {
            "type": "line", "name": name, "showSymbol": False, "lineStyle": {"width": 1.5, "color": COLOURS[name]},
            "itemStyle": {"color": COLOURS[name]}, "connectNulls": False,
        }  # fmt: skip
    faint = {"lineStyle": {"color": GREY, "opacity": 0.25}}
    return {
        "animation": False,
        "grid": {"left": 44, "right": 14, "top": 34, "bottom": 78},
        "legend": {"data": list(COLOURS), "textStyle": {"color": GREY}, "top": 0},
        "tooltip": {"trigger": "axis"},
        "xAxis": {
            "type": "time", "min": round(1000 * since_utc), "max": round(1000 * until_utc),
            "axisLabel": {"color": GREY, "hideOverlap": True}, "splitLine": {"show": False},
        },
        "yAxis": {"type": "value", "min": -1, "max": 1, "axisLabel": {"color": GREY}, "splitLine": faint},
        "dataZoom": [
            {"type": "inside", "filterMode": "none"},
            {"type": "slider", "filterMode": "none", "height": 22, "bottom": 12, "textStyle": {"color": GREY}},
        ],
        "series": series,
    }  # fmt: skip
