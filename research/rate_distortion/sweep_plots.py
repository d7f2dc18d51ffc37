"""Plots of a sweep of `lowbeam curve`, drawn from its results."""

from pathlib import Path
from typing import Any

import numpy as np

from lowbeam.evaluate.curve.envelope import RATE_NAMES, agreement, ccc_pareto_front
from lowbeam.files import whole_file
from lowbeam.scale import side_of

COLOURS = ("#c2410c", "#1d4ed8", "#111827", "#059669", "#7c3aed", "#9ca3af", "#d97706", "#be185d", "#0891b2")
CODEC_COLOURS = {"hevc": "#c2410c", "avc": "#1d4ed8", "av1": "#059669", "vp9": "#7c3aed"}
WIDTH_IN = 10.0


def plot_systems(results: dict[str, Any], path: Path, codec: str, fps: float) -> None:
    """The paper's figure: CCC of valence over bits per pixel, one panel per scale, one line per system."""
    from matplotlib.figure import Figure

    points = [p for p in results["points"] if p["codec"] == codec and p["fps"] == fps]
    scales = sorted({p["scale"] for p in points})
    columns = 4
    figure = Figure(figsize=(WIDTH_IN, 2.6 * -(-len(scales) // columns)), layout="constrained")
    panels = figure.subplots(-(-len(scales) // columns), columns, sharey=True, squeeze=False).ravel()
    for axes, scale in zip(panels, scales, strict=False):
        for number, system in enumerate(results["systems"]):
            line = sorted(
                (p for p in points if p["scale"] == scale and system in p["scores"]), key=lambda p: p["bits_per_pixel"]
            )
            if line:
                axes.plot(
                    [p["bits_per_pixel"] for p in line], [agreement(p, system, "valence") for p in line], "o-",
                    color=COLOURS[number % len(COLOURS)], markersize=3, linewidth=1.2, label=system,
                )  # fmt: skip
        axes.set_title(f"s = {scale}, {side_of(scale)} px", fontsize=9)
        _log_rates(axes)
        _dress(axes)
    for axes in panels[len(scales) :]:
        axes.set_visible(False)
    panels[0].set_ylabel("CCC of valence")
    for axes in panels[max(len(scales) - columns, 0) : len(scales)]:
        axes.set_xlabel("bits per pixel of the 96×96 face", fontsize=8)
    handles, labels = panels[0].get_legend_handles_labels()
    for axes in panels[1 : len(scales)]:
        for handle, label in zip(*axes.get_legend_handles_labels(), strict=True):
            if label not in labels:
                handles, labels = [*handles, handle], [*labels, label]
    figure.legend(handles, labels, loc="outside lower center", ncols=4, frameon=False, fontsize=8)
    _save(figure, path)


def plot_envelopes(results: dict[str, Any], path: Path, system: str) -> None:
    """Every point of `system`, and the Pareto front of each codec: one panel per definition of the rate."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(WIDTH_IN, 6.4), layout="constrained")
    panels = figure.subplots(2, 2, sharey=True).ravel()
    for axes, rate in zip(panels, RATE_NAMES, strict=True):
        for codec, colour in CODEC_COLOURS.items():
            points = [p for p in results["points"] if p["codec"] == codec and system in p["scores"]]
            if not points:
                continue
            axes.plot(
                [p[rate] / 1000 for p in points], [agreement(p, system) for p in points], ".", color=colour,
                markersize=2, alpha=0.35,
            )  # fmt: skip
            best = ccc_pareto_front(points, system, rate)
            axes.step(
                [p[rate] / 1000 for p in best], [agreement(p, system) for p in best], where="post", color=colour,
                linewidth=1.5, label=codec,
            )  # fmt: skip
        axes.set_xlabel(f"kbit/s, {RATE_NAMES[rate]}", fontsize=8)
        _log_rates(axes)
        _dress(axes)
    for axes in panels[::2]:
        axes.set_ylabel("CCC, mean of valence and arousal", fontsize=8)
    panels[0].legend(frameon=False, fontsize=8)
    _save(figure, path)


def plot_frame_rates(results: dict[str, Any], path: Path, systems: list[str], rate: str) -> None:
    """The Pareto front for each frame rate: one panel per system."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(WIDTH_IN, 3.6), layout="constrained")
    panels = figure.subplots(1, len(systems), sharey=True, squeeze=False).ravel()
    for axes, system in zip(panels, systems, strict=True):
        rates_fps = sorted({p["fps"] for p in results["points"]})
        for number, fps in enumerate(rates_fps):
            best = ccc_pareto_front([p for p in results["points"] if p["fps"] == fps], system, rate)
            axes.step(
                [p[rate] / 1000 for p in best], [agreement(p, system) for p in best], where="post",
                color=str(np.linspace(0.75, 0, len(rates_fps))[number]), linewidth=1.4, label=f"{fps:g} fps",
            )  # fmt: skip
        _log_rates(axes)
        axes.set_title(system, fontsize=9)
        axes.set_xlabel(f"kbit/s, {RATE_NAMES[rate]}", fontsize=8)
        _dress(axes)
    panels[0].set_ylabel("CCC, mean of valence and arousal", fontsize=8)
    panels[0].legend(frameon=False, fontsize=8)
    _save(figure, path)


def _log_rates(axes: Any) -> None:
    """A logarithmic axis labelled with plain numbers."""
    from matplotlib.ticker import FixedLocator, FuncFormatter, LogLocator, NullFormatter

    axes.set_xscale("log")
    low, high = axes.dataLim.intervalx
    narrow = high < 5 * low  # no two of 1, 2, 5 may lie in it
    if narrow:
        axes.xaxis.set_major_locator(FixedLocator(np.geomspace(low, high, 3).tolist()))
    else:
        axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:.2g}"))
    axes.xaxis.set_minor_formatter(NullFormatter())


def _dress(axes: Any) -> None:
    axes.grid(alpha=0.25)
    axes.spines[["top", "right"]].set_visible(False)
    axes.tick_params(labelsize=8)


def _save(figure: Any, path: Path) -> None:
    with whole_file(path) as beside:
        figure.savefig(beside, dpi=110)
