"""The page of the experiment, written from its result files alone: tables, verdicts, and plots beside it."""

import json
import os
from pathlib import Path
from typing import Any

import numpy as np

from lowbeam.errors import OutputError, UsageError, reason
from lowbeam.evaluate.paper.claims import ALL, CLAIMS, RELEASED, Contrast, Verdict, verdict_of
from lowbeam.evaluate.paper.handover_section import handover_section
from lowbeam.evaluate.paper.plots import plot_by_scale, plot_contrasts
from lowbeam.evaluate.table import markdown_table
from lowbeam.files import whole_file
from lowbeam.metrics import AFFECT_NAMES
from lowbeam.train.paper.recipe import LR_SCALES

ORDER = (
    "full",
    "converged",
    "handover",
    "reduced",
    "reduced-every-scale",
    "reduced-tenth",
    "as-published",
    "restoration",
    "restorer",
)  # then others by name
HEAD = Path(__file__).parent / "page_head.md"  # what does not change with the results
METRICS = {"ccc": "CCC", "cc": "CC", "rmse": "RMSE"}
SCALES = (1, *LR_SCALES)
Scores = dict[tuple[str, tuple[int, ...]], dict[int, list[dict[str, Any]]]]  # (name, mixture): scale: of each seed


def write_page(results: str | Path, page: str | Path) -> Path:
    """Write `page` (Markdown) from the JSON files in the folder `results`; plots go into that folder.

    Raises `UsageError` where there is no result file, or one is damaged; `OutputError` where it cannot be written.
    """
    folder, page = Path(results), Path(page)
    found = sorted(folder.glob("*.json"), key=lambda path: (_place(path.stem), path.stem))
    if not found:
        raise UsageError(f"{folder} holds no results: lowbeam replicate writes them")
    parts = [HEAD.read_text(encoding="utf-8").rstrip()]
    for path in found:
        try:
            result = json.loads(path.read_text(encoding="utf-8"))
            parts.append(handover_section(result) if path.stem == "handover" else _section(result, folder, page.parent))
        except (OSError, ValueError, KeyError, TypeError, IndexError) as error:
            raise UsageError(f"{path} is damaged, or not what lowbeam replicate writes") from error
    try:
        page.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"{page} cannot be written: {reason(error)}") from error
    with whole_file(page) as beside:
        beside.write_text("\n\n".join(parts) + "\n", encoding="utf-8")
    return page


def _place(name: str) -> int:
    return ORDER.index(name) if name in ORDER else len(ORDER)


def _link(path: Path, beside: Path) -> str:
    return Path(os.path.relpath(path, beside)).as_posix()


def _section(result: dict[str, Any], folder: Path, beside: Path) -> str:
    """One experiment; experiments are never mixed in one table."""
    name = result["experiment"]["name"]
    parts = [f"## {result['title']}", _about(result)]
    recognizers = [job for job in result["jobs"] if "scores" in job]
    restorers = [job for job in result["jobs"] if "restoration" in job]
    if recognizers:
        parts.append(_tables(_by_system(recognizers)))
    if any(_is_decided(result, number) for number in range(len(CLAIMS))):
        parts += _curves(_by_system(recognizers), name, folder, beside)
        parts.append(_verdicts(result, name, folder, beside))
    if restorers:
        parts.append(_restoration(restorers, name, folder, beside))
    return "\n\n".join(parts)


def _is_decided(result: dict[str, Any], number: int) -> bool:
    """Whether all contrasts of a claim were measured."""
    if not result.get("sureness"):
        return False
    found = [c for c in result["sureness"]["valence"]["contrasts"] if c["claim"] == number]
    return len(found) == len(CLAIMS[number].contrasts)


def _about(result: dict[str, Any]) -> str:
    experiment, machine = result["experiment"], result["machine"]
    about = experiment["about"].strip()
    hours = sum(job["train_s"] for job in result["jobs"]) / 3600
    where = machine["gpu"] or f"{machine['cpu']}, {machine['threads']} thread{'s' * (machine['threads'] > 1)} a network"
    lines = [
        f"{about[0].upper()}{about[1:]}.",
        "",
        f"- **Data**: {result['corpus']}; {result['train_faces']:,} training, {result['valid_faces']:,} validation and "
        f"{result['test_faces']:,} test faces.",
        f"- **Networks**: {_parameters(result['jobs'])}; {experiment['precision']} arithmetic in the convolutions; "
        f"seeds {', '.join(map(str, experiment['seeds']))}.",
        f"- **Cost**: {hours:.2f} h of training in all, for {len(result['jobs'])} network"
        f"{'s' * (len(result['jobs']) > 1)}, on {where}.",
        f"- **Command**: `{result['command']}`",
    ]
    if result["unfinished"]:
        lines.append(f"- **Not finished**: {_missing(result['unfinished'])}.")
    return "\n".join(lines)


def _missing(jobs: list[str]) -> str:
    """The names of jobs, ``SYSTEM-MIXTURE-seedN``, seed by seed; of a system the mixtures behind one another."""
    found: dict[str, dict[str, list[str]]] = {}
    for job in jobs:
        system, mixture, seed = job.rsplit("-", 2)
        found.setdefault(seed.removeprefix("seed"), {}).setdefault(system, []).append(mixture)
    alike: dict[str, list[str]] = {}
    for seed, systems in found.items():
        text = "; ".join(f"{system} {', '.join(mixtures)}" for system, mixtures in systems.items())
        alike.setdefault(text, []).append(seed)
    return ". ".join(f"Of seed{'s' * (len(seeds) > 1)} {' and '.join(seeds)}: {text}" for text, seeds in alike.items())


def _parameters(jobs: list[dict[str, Any]]) -> str:
    """How large the networks of each kind are."""
    sizes: dict[str, set[int]] = {}
    for job in jobs:
        sizes.setdefault("CNN+D" if "scores" in job else job["name"], set()).add(job["parameters"])
    return ", ".join(
        f"{kind} of {' or '.join(f'{n:,}' for n in sorted(found))} parameters" for kind, found in sizes.items()
    )


def _by_system(jobs: list[dict[str, Any]]) -> Scores:
    found: Scores = {}
    for job in jobs:
        scores = {int(scale): scored for scale, scored in job["scores"].items()}
        single = len(job["mixture"]) == 1 and job["mixture"] != [1]
        cells = found.setdefault((job["name"], () if single else tuple(job["mixture"])), {})
        for scale, scored in scores.items():
            cells.setdefault(scale, []).append(scored)
    return found


def system_name(name: str, mixture: tuple[int, ...]) -> str:
    """As the tables call it, with its mixture where that is one."""
    return f"{name} {{{', '.join(map(str, mixture))}}}" if len(mixture) > 1 else name


def mean_and_deviation(values: list[float]) -> str:
    """``.512 ± .013`` over seeds; of one seed the value alone."""
    mean = f"{np.mean(values):.3f}"
    return f"{mean} ± {np.std(values, ddof=1):.3f}" if len(values) > 1 else mean


def _tables(scores: Scores) -> str:
    parts = []
    for affect in AFFECT_NAMES:
        for metric, shown in METRICS.items():
            rows = []
            for (name, mixture), cells in scores.items():
                row = [system_name(name, mixture)]
                for scale in SCALES:
                    found = [scored[affect][metric] for scored in cells.get(scale, [])]
                    values = [value for value in found if value is not None]
                    row.append(mean_and_deviation(values) if values else "")
                rows.append(row)
            table = markdown_table(["", "HR", *(f"S={s}" for s in LR_SCALES)], rows)
            if affect == "valence" and metric == "ccc":
                parts.append(f"**{shown} of {affect}**\n\n{table}")
            else:  # there to be looked up
                parts.append(f"<details><summary>{shown} of {affect}</summary>\n\n{table}\n\n</details>")
    return "\n\n".join(parts)


def _curves(scores: Scores, name: str, folder: Path, beside: Path) -> list[str]:
    main = {key: cells for key, cells in scores.items() if key[1] in ((), (1,), RELEASED)}
    mixtures = {key: cells for key, cells in scores.items() if len(key[1]) > 1}
    parts = []
    for kind, chosen, text in (
        ("systems", main, "Systems of Table I; one model each with a mixture in brackets"),
        ("mixtures", mixtures, f"What the mixture does, {{3, 4}} to {{{', '.join(map(str, ALL))}}}"),
    ):
        curves = {
            system_name(*key): {s: [scored["valence"]["ccc"] for scored in cells[s]] for s in cells}
            for key, cells in chosen.items()
        }
        if not chosen:
            continue
        path = folder / f"{name}-{kind}.png"
        plot_by_scale(path, curves, "CCC of valence (mean and deviation of seeds)")
        parts.append(f"![{text}]({_link(path, beside)})")
    return parts


def _verdicts(result: dict[str, Any], name: str, folder: Path, beside: Path) -> str:
    sure = result["sureness"]
    rows, shown = [], []
    for number, claim in enumerate(CLAIMS):
        cells, evidence = [f"{claim.text} ({claim.whose})"], ""
        for affect in AFFECT_NAMES:
            found = [c for c in sure[affect]["contrasts"] if c["claim"] == number]
            verdicts: list[Verdict] = []
            for contrast in found:
                said = claim.contrasts[contrast["contrast"]]
                verdict = said.verdict(contrast["low"], contrast["high"])
                verdicts.append(verdict)
                if affect == "valence":
                    shown.append({**contrast, "label": said.label, "verdict": verdict})
            complete = len(found) == len(claim.contrasts)
            cells.append(f"**{verdict_of(verdicts)}**" if complete else "not measured")
            if affect == "valence":
                evidence = _evidence(verdicts, [contrast["value"] for contrast in found])
                evidence += _so_far(found, result["experiment"]["seeds"])
        rows.append([*cells, evidence])
    rows.append(_reliability_row(sure))
    table = markdown_table(["claim (whose)", "valence", "arousal", "evidence (valence)"], rows)
    path = folder / f"{name}-contrasts.png"
    plot_contrasts(path, shown, "difference in CCC of valence; intervals hold together, at 95 %, within a claim")
    return "\n\n".join([
        "### The claims", table, _ratio(sure),
        f"![Every contrast behind the verdicts, with its interval]({_link(path, beside)})",
    ])  # fmt: skip


def _evidence(verdicts: list[Verdict], values: list[float]) -> str:
    if not values:
        return ""
    counts = ", ".join(f"{verdicts.count(v)} {v}" for v in ("holds", "fails", "undecided") if v in verdicts)
    spread = f"{values[0]:+.3f}" if len(values) == 1 else f"{min(values):+.3f} to {max(values):+.3f}"
    return f"differences {spread}; of {len(values)}: {counts}"


def _so_far(found: list[dict[str, Any]], seeds: list[int]) -> str:
    """Where not all the seeds that are planned are behind a verdict, those that are. Older results do not say which:
    they are of all."""
    behind = found[0].get("seeds", seeds) if found else seeds
    if behind == seeds:
        return ""
    return f"; so far of seed{'s' * (len(behind) > 1)} {', '.join(map(str, behind))} alone"


def _reliability_row(sure: dict[str, Any]) -> list[str]:
    cells, evidence = ["RMSE is the less reliable metric (paper)"], ""
    for affect in AFFECT_NAMES:
        found = sure[affect]["reliability"]
        if not found:
            return [*cells, "not measured", "not measured", ""]
        bounds = [found[f"{metric}_minus_rmse"][1:] for metric in ("cc", "ccc")]
        verdicts = [Contrast("", ()).verdict(low, high) for low, high in bounds]
        cells.append(f"**{verdict_of(verdicts)}**")
        if affect == "valence":
            parts = (f"{METRICS[m]} {found[m][0]:.2f} ({found[m][1]:.2f} to {found[m][2]:.2f})" for m in METRICS)
            evidence = "ICC(1): " + ", ".join(parts)
    return [*cells, evidence]


def _ratio(sure: dict[str, Any]) -> str:
    found = sure["valence"]["gains"]
    if not found:
        return ""
    (lr, lr_low, lr_high), (joint, joint_low, joint_high) = found["lr-oa"], found["joint-oa"]
    text = (
        f"Mean gain in CCC of valence over LR-S, over all S, with the mixture {{{', '.join(map(str, LR_SCALES))}}}: "
        f"Joint-OA {joint:+.3f} ({joint_low:+.3f} to {joint_high:+.3f}), "
        f"LR-OA {lr:+.3f} ({lr_low:+.3f} to {lr_high:+.3f})"
    )
    share = f": LR-OA has {lr / joint:.0%} of Joint-OA's gain." if joint_low > 0 else "."
    return text + share


def _restoration(jobs: list[dict[str, Any]], name: str, folder: Path, beside: Path) -> str:
    rows = []
    bicubic: dict[int, dict[str, float]] = {}
    networks: dict[str, dict[int, list[dict[str, float]]]] = {}
    for job in jobs:
        for scale, measured in job["restoration"].items():
            bicubic[int(scale)] = measured
            networks.setdefault(job["name"], {}).setdefault(int(scale), []).append(measured)
    scales = sorted(bicubic)
    for key, shown in (("psnr_db", "PSNR, dB"), ("ssim", "SSIM")):
        form = ".2f" if key == "psnr_db" else ".3f"
        rows.append([f"bicubic, {shown}", *(f"{bicubic[s][f'bicubic_{key}']:{form}}" for s in scales)])
        for network, cells in networks.items():
            rows.append([
                f"{network}, {shown}",
                *(f"{np.mean([m[key] for m in cells[s]]):{form}}" if s in cells else "" for s in scales),
            ])  # fmt: skip
    parts = ["### Restoration", markdown_table(["", *("HR" if s == 1 else f"S={s}" for s in scales)], rows)]
    sheet = folder / f"{name}-faces.png"
    if sheet.is_file():
        parts.append(f"![HR, received, interpolated and restored faces at every S]({_link(sheet, beside)})")
    return "\n\n".join(parts)
