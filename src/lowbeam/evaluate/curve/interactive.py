"""All points of a sweep on a page of their own, to look at with the mouse."""

from pathlib import Path
from typing import Any

import plotly.graph_objects as go

from lowbeam.evaluate.curve.envelope import AFFECT, RATE_NAMES, agreement, front
from lowbeam.files import whole_file

CODEC_MARKS = {"hevc": "circle", "avc": "square", "av1": "diamond", "vp9": "cross"}


def write_interactive(results: dict[str, Any], path: Path) -> None:
    """Write one HTML file that needs nothing else: CCC over bit rate, a point for each operating point, by system; the
    way of weighing is chosen above."""
    figure = go.Figure()
    for number, system in enumerate(results["systems"]):
        points = [point for point in results["points"] if system in point["scores"]]
        if not points:
            continue
        shown = True if number == 0 else "legendonly"
        for rate in RATE_NAMES:
            best = front(points, system, rate)
            figure.add_trace(
                go.Scatter(
                    x=[p[rate] / 1000 for p in points], y=[agreement(p, system) for p in points], mode="markers",
                    name=system, legendgroup=system, visible=shown if rate == "rtp_bps" else False, meta=rate,
                    marker={
                        "size": 7, "symbol": [CODEC_MARKS[p["codec"]] for p in points],
                        "color": [p["scale"] for p in points], "colorscale": "Turbo", "opacity": 0.75,
                        "colorbar": {"title": "s"} if number == 0 else None,
                    },
                    text=[_label(point, system) for point in points], hoverinfo="text",
                )
            )  # fmt: skip
            figure.add_trace(
                go.Scatter(
                    x=[p[rate] / 1000 for p in best], y=[agreement(p, system) for p in best], mode="lines",
                    line={"shape": "hv", "color": "black", "width": 1}, name=f"{system}, best", legendgroup=system,
                    visible=shown if rate == "rtp_bps" else False, meta=rate, hoverinfo="skip",
                )
            )  # fmt: skip
    buttons = [
        {
            "label": RATE_NAMES[rate], "method": "update",
            "args": [{"visible": [_shown(trace, rate, results) for trace in figure.data]}],
        }
        for rate in ("rtp_bps", "tls_bps", "container_bps", "payload_bps")
    ]  # fmt: skip
    figure.update_layout(
        title=f"CCC over bit rate: {results['corpus']} {results['split']}, {results['seconds'] / 60:.0f} minutes",
        template="plotly_white", hovermode="closest", legend={"orientation": "h", "y": -0.12},
        updatemenus=[{"buttons": buttons, "x": 1, "xanchor": "right", "y": 1.12}],
        xaxis={"type": "log", "title": "kbit/s"}, yaxis={"title": "CCC, mean of valence and arousal"},
    )  # fmt: skip
    with whole_file(path) as beside:
        figure.write_html(beside, include_plotlyjs=True, full_html=True, div_id="curve")


def _shown(trace: Any, rate: str, results: dict[str, Any]) -> bool | str:
    if trace.meta != rate:
        return False
    return True if trace.legendgroup == next(iter(results["systems"])) else "legendonly"


def _label(point: dict[str, Any], system: str) -> str:
    values = ", ".join(f"{name} {point['scores'][system][name]['ccc']:.3f}" for name in AFFECT)
    rates = "<br>".join(f"{shown}: {point[rate] / 1000:.2f} kbit/s" for rate, shown in RATE_NAMES.items())
    where = f"{point['codec']} s={point['scale']} ({point['side']} px) QP {point['qp']}, {point['fps']:g} fps"
    return f"<b>{system}</b><br>{where}<br>CCC {values}<br>{rates}"
