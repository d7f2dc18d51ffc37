"""Figures of traces."""

import os
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from lowbeam.errors import UsageError
from lowbeam.files import whole_file
from lowbeam.trace import AFFECT_COLOURS, Trace

MAX_FACES = 8  # rows of a figure
GAP_S = 0.5  # a face that is away for longer leaves a gap in its line
FIGURE_FORMATS = (".png", ".svg", ".pdf")


def plot_trace(trace: Trace) -> Figure:
    """Valence and arousal over time, one row a face (the eight most present), each within two standard deviations."""
    faces = trace.faces()[:MAX_FACES]
    figure = Figure(figsize=(9, 1 + 2 * max(len(faces), 1)), layout="constrained")
    axes = figure.subplots(max(len(faces), 1), sharex=True, squeeze=False)[:, 0]
    for axis, face in zip(axes, faces, strict=False):
        part = trace.of_face(face)
        for name, colour in AFFECT_COLOURS.items():
            draw_reading(axis, part, name, colour, label=name)
        dress(axis, f"face {face}" if len(faces) > 1 else "")
    if faces:
        axes[0].legend(loc="upper right", ncols=2, frameon=False)
    axes[-1].set_xlabel("time (s)")
    if trace.cut_at_s is not None:
        for axis in axes:
            axis.axvline(trace.cut_at_s, color="black", linestyle=":", linewidth=1)
        axes[0].annotate("cut here", (trace.cut_at_s, 0.95), ha="right", va="top")
    return figure


def draw_reading(axis: Axes, trace: Trace, name: str, colour: str, label: str) -> None:
    """Draw one of a trace's readings with its band of two standard deviations, leaving gaps where there is no face."""
    time_s, value = _with_gaps(trace.time_s, trace.columns[name])
    _, std = _with_gaps(trace.time_s, trace.columns[f"{name}_std"])
    axis.fill_between(time_s, value - 2 * std, value + 2 * std, color=colour, alpha=0.12, linewidth=0)
    axis.plot(time_s, value, color=colour, linewidth=1.2, label=label)


def dress(axis: Axes, title: str) -> None:
    """Bounds and labels that all readings share."""
    axis.set_ylim(-1, 1)
    axis.axhline(0, color="0.7", linewidth=0.6)
    axis.spines[["top", "right"]].set_visible(False)
    axis.set_ylabel("reading")
    if title:
        axis.set_title(title, loc="left", fontsize=10)


def _with_gaps(time_s: NDArray, values: NDArray) -> tuple[NDArray, NDArray]:
    """Put a NaN wherever no face was seen for longer than `GAP_S`, so that no line is drawn across."""
    breaks = np.flatnonzero(np.diff(time_s) > GAP_S) + 1
    return np.insert(time_s, breaks, time_s[breaks]), np.insert(values.astype(float), breaks, np.nan)


def save_figure(figure: Figure, path: str | os.PathLike) -> None:
    """Write a figure whole or not at all. Raises `UsageError` for a suffix other than .png, .svg or .pdf."""
    check_figure_format(path)
    with whole_file(path) as beside:
        figure.savefig(beside, dpi=144)


def check_figure_format(path: str | os.PathLike) -> None:
    """Raise `UsageError` where a figure cannot be written as `path`."""
    if Path(path).suffix.lower() not in FIGURE_FORMATS:
        raise UsageError(f"{path}: a plot is written as one of {', '.join(FIGURE_FORMATS)}")
