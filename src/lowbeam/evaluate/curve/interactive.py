"""The interactive page of a sweep, with all its points."""

from html import escape
from pathlib import Path
from typing import Any

import plotly.graph_objects as go

from lowbeam.evaluate.curve.envelope import RATE_NAMES, agreement, ccc_pareto_front
from lowbeam.files import whole_file
from lowbeam.metrics import AFFECT_NAMES
from lowbeam.scale import side_of

CODEC_MARKS = {
    "hevc": "circle", "avc": "square", "av1": "diamond", "vp9": "cross", "features": "triangle-up",
    "estimates": "star",
}  # fmt: skip
HEIGHT_PX = 654
TICKS = (1, 2, 5)  # kbit/s, times powers of ten, where the highest rate is more than WIDE times the lowest
WIDE = 10
PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>CCC over bit rate</title>
<style>
body {{ font: 15px/1.4 sans-serif; margin: 12px auto; padding: 0 12px; max-width: 1100px; color: #222; }}
h1 {{ font-size: 1.3em; margin: 0 0 .3em; }}
p {{ margin: 0 0 .6em; }}
</style>
</head>
<body>
<h1>CCC over bit rate</h1>
<p>{of}</p>
<p>Each mark is an operating point; its colour shows the side of the face, its shape the codec ({marks}). The line is
the Pareto front. Select above the plot what the rate counts; select a name below it to show or hide a system.</p>
{plot}
</body>
</html>
"""


def write_interactive(results: dict[str, Any], path: Path) -> None:
    """Write a self-contained HTML file for screens from 400 px: CCC over bit rate, with a mark for each operating point
    of each system, and a menu for what the rate counts. Raises `OutputError`."""
    figure = go.Figure()
    for system in results["systems"]:
        points = [point for point in results["points"] if system in point["scores"]]
        for rate in RATE_NAMES if points else ():
            figure.add_traces(_traces(results, points, system, rate))
    buttons = [
        {
            "label": RATE_NAMES[rate], "method": "update",
            "args": [{"visible": [_shown(trace.meta, trace.legendgroup, rate, results) for trace in figure.data]}],
        }
        for rate in ("rtp_bps", "tls_bps", "container_bps", "payload_bps")
    ]  # fmt: skip
    by_weight = [[point[rate] for point in results["points"]] for rate in RATE_NAMES]
    digits = TICKS if any(rates and max(rates) > WIDE * min(rates) for rates in by_weight) else range(1, 10)
    ticks = [digit * 10.0**power for power in range(-2, 4) for digit in digits]
    figure.update_layout(
        template="plotly_white", hovermode="closest", height=HEIGHT_PX, margin={"l": 52, "r": 14, "t": 74, "b": 190},
        legend={"orientation": "h", "yref": "container", "y": 0, "yanchor": "bottom", "x": 0},
        updatemenus=[{"buttons": buttons, "x": 0, "xanchor": "left", "y": 1, "yanchor": "bottom", "pad": {"b": 8}}],
        xaxis={"type": "log", "title": {"text": "kbit/s", "standoff": 6}, "tickvals": ticks},
        yaxis={"title": {"text": "CCC, mean of valence and arousal", "standoff": 4}},
    )  # fmt: skip
    plot = figure.to_html(
        full_html=False, include_plotlyjs=True, div_id="curve", config={"responsive": True, "displaylogo": False}
    )
    codecs = dict.fromkeys(point["codec"] for point in results["points"])
    marks = ", ".join(f"{CODEC_MARKS[codec]}: {codec}" for codec in codecs)
    with whole_file(path) as beside:
        beside.write_text(PAGE.format(of=escape(recorded(results)), marks=marks, plot=plot), encoding="utf-8")


def recorded(results: dict[str, Any]) -> str:
    """The corpus, split, recordings and duration of a sweep."""
    count, minutes = results["recordings"], results["seconds"] / 60
    return (
        f"{results['corpus']} {results['split']}: {count} recording{'s' * (count != 1)}, {round(minutes, 1):g} minutes"
    )


def _traces(results: dict[str, Any], points: list[dict[str, Any]], system: str, rate: str) -> list[go.Scatter]:
    """All `points` of a system by one definition of the rate, and their Pareto front."""
    scales = sorted({point["scale"] for point in results["points"]})
    best, visible = ccc_pareto_front(points, system, rate), _shown(rate, system, "rtp_bps", results)
    colours = {
        "size": 8, "symbol": [CODEC_MARKS[p["codec"]] for p in points], "opacity": 0.8,
        "color": [scales.index(p["scale"]) for p in points], "colorscale": "Turbo", "cmin": 0,
        "cmax": max(1, len(scales) - 1),
    }  # fmt: skip
    if system == next(iter(results["systems"])):
        colours["colorbar"] = {
            "orientation": "h", "thickness": 10, "len": 1, "y": -0.14, "yanchor": "top",
            "title": {"text": "side of the face, px", "side": "top"},
            "tickvals": list(range(len(scales))), "ticktext": [str(side_of(scale)) for scale in scales],
        }  # fmt: skip
    marks = go.Scatter(
        x=[p[rate] / 1000 for p in points], y=[agreement(p, system) for p in points], mode="markers", name=system,
        legendgroup=system, visible=visible, meta=rate, marker=colours, hoverinfo="text",
        text=[_label(point, system) for point in points],
    )  # fmt: skip
    line = go.Scatter(
        x=[p[rate] / 1000 for p in best], y=[agreement(p, system) for p in best], mode="lines", hoverinfo="skip",
        line={"shape": "hv", "color": "black", "width": 1}, name=f"{system}, best", legendgroup=system,
        visible=visible, meta=rate,
    )  # fmt: skip
    return [marks, line]


def _shown(meta: str, group: str, rate: str, results: dict[str, Any]) -> bool | str:
    """Whether a trace for the rate `meta` is shown when `rate` is selected: that of the first system, at first."""
    if meta != rate:
        return False
    return True if group == next(iter(results["systems"])) else "legendonly"


def _label(point: dict[str, Any], system: str) -> str:
    values = ", ".join(f"{name} {point['scores'][system][name]['ccc']:.3f}" for name in AFFECT_NAMES)
    rates = "<br>".join(f"{shown}: {point[rate] / 1000:.2f} kbit/s" for rate, shown in RATE_NAMES.items())
    where = f"{point['codec']} s={point['scale']} ({point['side']} px) QP {point['qp']}, {point['fps']:g} fps"
    return f"<b>{system}</b><br>{where}<br>CCC {values}<br>{rates}"
