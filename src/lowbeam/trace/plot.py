"""Plots a trace (the `plot` extra)."""

import io
import os
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from lowbeam.errors import UsageError
from lowbeam.files import whole_file
from lowbeam.trace.absence import longest_step_s

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from lowbeam.trace.trace import Trace

AFFECT_COLOURS = {"valence": "#c2410c", "arousal": "#1d4ed8"}
MAX_FACES = 8  # rows of a figure
FIGURE_FORMATS = (".png", ".svg", ".pdf")


def new_figure(**settings: Any) -> "Figure":
    """A Matplotlib figure that is displayed in a notebook with any backend. Raises `UsageError` if Matplotlib is not
    installed."""
    check_matplotlib()
    from matplotlib.figure import Figure

    class NotebookFigure(Figure):
        def _repr_png_(self) -> bytes:
            return png_of(self)

    return NotebookFigure(**settings)


def check_matplotlib() -> None:
    """Raise `UsageError` if Matplotlib is not installed."""
    if find_spec("matplotlib") is None:
        raise UsageError("plots need Matplotlib: pip install 'lowbeam[plot]'")


def png_of(figure: "Figure") -> bytes:
    """A figure as the bytes of a PNG."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=96)
    return buffer.getvalue()


def plot_trace(trace: "Trace") -> "Figure":
    """Valence and arousal over time with bands of two standard deviations, one row per face (the eight most
    present)."""
    faces = trace.faces()[:MAX_FACES]
    figure = new_figure(figsize=(9, 1 + 2 * max(len(faces), 1)), layout="constrained")
    axes = figure.subplots(max(len(faces), 1), sharex=True, squeeze=False)[:, 0]
    for axis, face in zip(axes, faces, strict=False):
        part = trace.of_face(face)
        for name, colour in AFFECT_COLOURS.items():
            draw_estimate(axis, part, name, colour, label=name)
        dress(axis, f"face {face}" if len(faces) > 1 else "")
    if faces:
        axes[0].legend(loc="upper right", ncols=2, frameon=False)
    axes[-1].set_xlabel("time (s)")
    if trace.cut_at_s is not None:
        for axis in axes:
            axis.axvline(trace.cut_at_s, color="black", linestyle=":", linewidth=1)
        axes[0].annotate("cut here", (trace.cut_at_s, 0.95), ha="right", va="top")
    return figure


def draw_on(axis: "Axes", trace: "Trace") -> None:
    """Draw valence and arousal of the most present face on `axis`."""
    part = trace.of_face(trace.faces()[0]) if len(trace) else trace
    for name, colour in AFFECT_COLOURS.items():
        draw_estimate(axis, part, name, colour, label=name)
    dress(axis, "")
    axis.set_xlabel("time (s)")


def draw_estimate(axis: "Axes", trace: "Trace", name: str, colour: str, label: str) -> None:
    """Draw `name` (valence or arousal) of a trace with a band of two standard deviations, and gaps without a face."""
    time_s, value = _with_gaps(trace.time_s, trace.columns[name])
    _, std = _with_gaps(trace.time_s, trace.columns[f"{name}_std"])
    if len(trace) == 1:
        axis.plot(time_s, value, ".", color=colour)
    axis.fill_between(time_s, value - 2 * std, value + 2 * std, color=colour, alpha=0.12, linewidth=0)
    axis.plot(time_s, value, color=colour, linewidth=1.2, label=label)


def dress(axis: "Axes", title: str) -> None:
    """Set the limits and labels that all plots share."""
    axis.set_ylim(-1, 1)
    axis.axhline(0, color="0.7", linewidth=0.6)
    axis.spines[["top", "right"]].set_visible(False)
    axis.set_ylabel("estimate")
    if title:
        axis.set_title(title, loc="left", fontsize=10)


def _with_gaps(
    time_s: NDArray[np.float64], values: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Insert a NaN where the face was absent, so that no line crosses the gap."""
    breaks = np.flatnonzero(np.diff(time_s) > longest_step_s(time_s)) + 1
    return np.insert(time_s, breaks, time_s[breaks]), np.insert(values.astype(float), breaks, np.nan)


def save_figure(figure: "Figure", path: str | os.PathLike[str]) -> None:
    """Write a figure to `path`, completely or not at all. Raises `UsageError` for a suffix other than .png, .svg or
    .pdf, `OutputError` if it cannot be written."""
    check_figure_format(path)
    drawn = io.BytesIO()  # Matplotlib raises errors of its own when a disk is full
    figure.savefig(drawn, format=Path(path).suffix.lower().removeprefix("."), dpi=144)
    with whole_file(path) as beside:
        beside.write_bytes(drawn.getvalue())


def check_figure_format(path: str | os.PathLike[str]) -> None:
    """Raise `UsageError` if `path` is not a supported figure format or Matplotlib is not installed."""
    if Path(path).suffix.lower() not in FIGURE_FORMATS:
        raise UsageError(f"{path}: a plot is written as one of {', '.join(FIGURE_FORMATS)}")
    check_matplotlib()
