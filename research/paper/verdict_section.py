"""The section with a verdict on each claim, and the contrasts behind it."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from lowbeam.evaluate.paper.claims import CLAIMS, Contrast, Verdict, verdict_of
from lowbeam.evaluate.paper.verdicts import MeasuredContrasts, measured_contrasts
from lowbeam.evaluate.table import markdown_table
from lowbeam.metrics import AFFECT_NAMES
from lowbeam.train.paper.recipe import LR_SCALES
from research.paper.replication_plots import plot_contrasts
from research.paper.score_tables import METRICS

PLURALS = {"holds": "hold", "fails": "fail", "undecided": "undecided"}


def verdict_section(result: dict[str, Any], folder: Path, name: str, link: Callable[[Path], str], plots: bool) -> str:
    """In Markdown; the plot of all contrasts is drawn into `folder` unless `plots` is False."""
    sureness, seeds = result["sureness"], result["experiment"]["seeds"]
    rows, shown = [], []
    for number, claim in enumerate(CLAIMS):
        by_affect = {affect: measured_contrasts(sureness, number, affect) for affect in AFFECT_NAMES}
        cells = [shown_verdict(measured) for measured in by_affect.values()]
        valence = by_affect["valence"]
        rows.append([f"{claim.text} ({claim.whose})", *cells, _evidence(valence) + _so_far(valence.found, seeds)])
        shown += [
            {**found, "label": claim.contrasts[found["contrast"]].label, "verdict": verdict}
            for found, verdict in zip(valence.found, valence.verdicts, strict=True)
        ]
    rows.append(reliability_row(sureness))
    table = markdown_table(["claim (source)", *AFFECT_NAMES, "evidence (valence)"], rows)
    path = folder / f"{name}-contrasts.png"
    if plots:
        plot_contrasts(path, shown, "difference in CCC of valence, with simultaneous 95 % intervals for each claim")
    return "\n\n".join([
        "### Claims", table, _mean_gains(sureness),
        f"![All contrasts behind the verdicts, with their intervals]({link(path)})",
    ])  # fmt: skip


def shown_verdict(measured: MeasuredContrasts) -> str:
    """The verdict on a claim, or how much of it was measured."""
    if measured.verdict:
        return f"**{measured.verdict}**"
    if not measured.found:
        return "not measured"
    return f"open: {len(measured.found)} of {len(measured.claim.contrasts)} contrasts measured"


def _evidence(measured: MeasuredContrasts) -> str:
    values, verdicts = [contrast["value"] for contrast in measured.found], measured.verdicts
    if not values:
        return ""
    if len(values) == 1:
        return f"difference {values[0]:+.3f}; 1 contrast: 1 {verdicts[0]}"
    kinds: tuple[Verdict, ...] = ("holds", "fails", "undecided")
    counts = {kind: verdicts.count(kind) for kind in kinds if kind in verdicts}
    listed = ", ".join(f"{count} {kind if count == 1 else PLURALS[kind]}" for kind, count in counts.items())
    return f"differences {min(values):+.3f} to {max(values):+.3f}; {len(values)} contrasts: {listed}"


def _so_far(found: list[dict[str, Any]], seeds: list[int]) -> str:
    """The seeds behind a verdict, where not all planned seeds are finished."""
    behind = seeds_behind(found, seeds)
    return "" if behind == seeds else f"; so far only seed{'s' * (len(behind) > 1)} {', '.join(map(str, behind))}"


def seeds_behind(found: list[dict[str, Any]], seeds: list[int]) -> list[int]:
    """The seeds of measured contrasts of a claim. Older result files do not store them; theirs are all `seeds`."""
    behind: list[int] = found[0].get("seeds", seeds) if found else seeds
    return behind


def reliability_row(sureness: dict[str, Any]) -> list[str]:
    """The row of the claim on RMSE: verdicts for valence and arousal, and the evidence."""
    cells, evidence = ["RMSE is the less reliable metric (paper)"], ""
    for affect in AFFECT_NAMES:
        found = sureness[affect]["reliability"]
        if not found:
            return [*cells, "not measured", "not measured", ""]
        bounds = [found[f"{metric}_minus_rmse"][1:] for metric in ("cc", "ccc")]
        verdicts = [Contrast("", ()).verdict(low, high) for low, high in bounds]
        cells.append(f"**{verdict_of(verdicts)}**")
        if affect == "valence":
            parts = (f"{METRICS[m]} {found[m][0]:.2f} ({found[m][1]:.2f} to {found[m][2]:.2f})" for m in METRICS)
            evidence = "ICC(1): " + ", ".join(parts)
    return [*cells, evidence]


def _mean_gains(sureness: dict[str, Any]) -> str:
    found = sureness["valence"]["gains"]
    if not found:
        return ""
    (lr, lr_low, lr_high), (joint, joint_low, joint_high) = found["lr-oa"], found["joint-oa"]
    text = (
        f"Mean gain in CCC of valence over LR-S, averaged over all S, with the mixture "
        f"{{{', '.join(map(str, LR_SCALES))}}}: "
        f"Joint-OA {joint:+.3f} ({joint_low:+.3f} to {joint_high:+.3f}), "
        f"LR-OA {lr:+.3f} ({lr_low:+.3f} to {lr_high:+.3f})"
    )
    share = f". The gain of LR-OA is {lr / joint:.0%} of that of Joint-OA." if joint_low > 0 else "."
    return text + share
