"""Tables and the plot of what rate control keeps within budgets, from results of `lowbeam budgets`."""

from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from lowbeam.evaluate.table import markdown_table
from lowbeam.metrics import AFFECT_NAMES

HOWS = {"hold": "held", "linear": "joined", "smooth": "smoothed"}  # as pages call them


def kept_table(results: dict[str, Any]) -> str:
    """Each budget of `results` with the rate used, faces per second, the CCC of valence and arousal by how estimates
    are filled in, and the mean CCC of held and smoothed estimates as a share of the uncoded one."""
    uncoded = float(np.mean([results["uncoded"][name] for name in AFFECT_NAMES]))
    rows = []
    for row in results["budgets"]:
        shares = [mean_ccc(row, how) / uncoded for how in ("hold", "smooth")]
        rows.append([
            f"{row['bps'] / 1000:g} kbit/s", f"{row['used_bps'] / 1000:.2f}", f"{row['faces_per_s']:.2f}",
            *(" / ".join(f"{row[how][name]:.3f}" for name in AFFECT_NAMES) for how in HOWS),
            " / ".join(f"{share:.0%}" for share in shares),
            f"{np.median([mean_ccc(one, 'hold') for one in row['per_recording']]):.2f}",
        ])  # fmt: skip
    heads = (f"CCC {name}" for name in HOWS.values())
    return markdown_table(
        ["budget", "kbit/s used", "faces/s", *heads, "share kept, held / smoothed", "median recording"], rows
    )


def within_table(results: dict[str, Any]) -> str:
    """The share of frames within one standard deviation, by budget and by how estimates are filled in."""
    rows = [
        [f"{row['bps'] / 1000:g} kbit/s", *(f"{row[how]['within_1_std']:.1%}" for how in HOWS)]
        for row in results["budgets"]
    ]
    return markdown_table(["budget", *HOWS.values()], rows)


def mean_ccc(row: dict[str, Any], how: str) -> float:
    """The mean CCC of valence and arousal within one budget."""
    return float(np.mean([row[how][name] for name in AFFECT_NAMES]))


def plot_kept(real: dict[str, Any], rendered: dict[str, Any], path: Path) -> None:
    """Draw mean CCC over the rate used, one panel for real and one for rendered people, a line for each way to fill in
    between faces, and the uncoded CCC."""
    figure = Figure(figsize=(10, 3.6), layout="constrained")
    panels = figure.subplots(1, 2)
    for axis, results, title in zip(panels, (real, rendered), ("real people", "rendered people"), strict=True):
        used = [row["used_bps"] / 1000 for row in results["budgets"]]
        for how, colour in zip(HOWS, ("#1d4ed8", "#52525b", "#c2410c"), strict=True):
            axis.plot(used, [mean_ccc(row, how) for row in results["budgets"]], "o-", color=colour, label=HOWS[how])
        axis.axhline(np.mean(list(results["uncoded"].values())), color="0.6", linewidth=1, label="uncoded")
        axis.set_xscale("log")
        axis.xaxis.set_major_formatter("{x:g}")
        axis.xaxis.set_minor_formatter("")
        axis.set_xticks([0.5, 1, 2, 4, 8], ["0.5", "1", "2", "4", "8"])
        axis.set_ylim(0.4, 1.02)
        axis.set_title(title, fontsize=10)
        axis.set_xlabel("kbit/s used on the wire")
        axis.grid(alpha=0.25)
        axis.spines[["top", "right"]].set_visible(False)
    panels[0].set_ylabel("mean CCC of valence and arousal")
    panels[0].legend(frameon=False, fontsize=8, loc="lower right")
    figure.savefig(path, dpi=110)
