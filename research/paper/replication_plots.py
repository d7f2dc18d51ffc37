"""Plots of the page on the replication, drawn from its result files."""

from pathlib import Path
from typing import Any

import numpy as np

from lowbeam.files import whole_file

COLOURS = ("#111827", "#9ca3af", "#2563eb", "#d97706", "#059669", "#dc2626", "#7c3aed", "#0891b2", "#be185d")
STYLES = ("-", "--", ":", "-.")  # for more lines than colours
WIDTH_IN, HEIGHT_IN = 8.0, 4.2


def plot_by_scale(path: Path, curves: dict[str, dict[int, list[float]]], label: str) -> None:
    """One line per system over S, where 1 is HR: each point is the mean over seeds, with its standard deviation."""
    figure, axes = _axes()
    places = {scale: place for place, scale in enumerate(sorted({s for points in curves.values() for s in points}))}
    for number, (name, points) in enumerate(curves.items()):
        scales = sorted(points)
        shift = (number - (len(curves) - 1) / 2) * 0.03
        axes.errorbar(
            [places[s] + shift for s in scales], [np.mean(points[s]) for s in scales],
            [np.std(points[s], ddof=1) if len(points[s]) > 1 else 0.0 for s in scales],
            color=COLOURS[number % len(COLOURS)], linestyle=_style(number), marker="o", markersize=4, capsize=2,
            linewidth=1.4, label=name,
        )  # fmt: skip
    axes.set_xticks(list(places.values()), ["HR" if s == 1 else f"{s}\n{96 // s} px" for s in places])
    axes.set_xlabel("S, and the side of the face")
    axes.set_ylabel(label)
    axes.grid(alpha=0.25)
    axes.legend(frameon=False, fontsize=8, loc="center left", bbox_to_anchor=(1.0, 0.5))
    _save(figure, path)


def plot_contrasts(path: Path, contrasts: list[dict[str, Any]], title: str) -> None:
    """Each contrast with its interval; `contrasts` have ``label``, ``value``, ``low``, ``high`` and ``verdict``."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(WIDTH_IN, 0.8 + 0.22 * len(contrasts)), layout="constrained")
    axes = figure.subplots()
    colours = {"holds": "#059669", "fails": "#dc2626", "undecided": "#6b7280"}
    for place, found in enumerate(reversed(contrasts)):
        colour = colours[found["verdict"]]
        axes.plot([found["low"], found["high"]], [place, place], color=colour, linewidth=2)
        axes.plot(found["value"], place, "o", color=colour, markersize=4)
    for verdict, colour in colours.items():
        axes.plot([], [], "o-", color=colour, label=verdict)
    axes.legend(frameon=False, fontsize=8, ncols=3, loc="lower center", bbox_to_anchor=(0.5, 1.0))
    axes.set_ylim(-1, len(contrasts))
    axes.axvline(0, color="#111827", linewidth=0.8)
    axes.set_yticks(range(len(contrasts)), [found["label"] for found in reversed(contrasts)], fontsize=7)
    axes.set_xlabel(title)
    axes.grid(axis="x", alpha=0.25)
    _save(figure, path)


def plot_learning_curves(path: Path, curves: dict[str, tuple[list[float], dict[str, list[float]]]]) -> None:
    """By network, the validation loss of each epoch over the millions of faces met until its end, with a dot where the
    learning rate was lowered."""
    figure, axes = _axes()
    for number, (name, (faces, log)) in enumerate(curves.items()):
        colour = COLOURS[number % len(COLOURS)]
        axes.plot(faces, log["valid_loss"], _style(number), color=colour, linewidth=1.2, label=name)
        rates = log["learning_rate"]
        lowered = [i for i in range(1, len(rates)) if rates[i] < rates[i - 1]]
        axes.plot([faces[i] for i in lowered], [log["valid_loss"][i] for i in lowered], "o", color=colour, markersize=4)
    axes.set_xlabel("faces met, millions")
    axes.set_ylabel("validation loss (mean squared error)")
    axes.grid(alpha=0.25)
    axes.legend(frameon=False, fontsize=8, loc="center left", bbox_to_anchor=(1.0, 0.5))
    _save(figure, path)


def _style(number: int) -> str:
    """Of the line of that number."""
    return STYLES[number // len(COLOURS) % len(STYLES)]


def _axes() -> tuple[Any, Any]:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(WIDTH_IN, HEIGHT_IN), layout="constrained")
    return figure, figure.subplots()


def _save(figure: Any, path: Path) -> None:
    with whole_file(path) as beside:
        figure.savefig(beside, dpi=110, metadata={"Software": None})
