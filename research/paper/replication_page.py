"""The page ``docs/replication.md``, written from its result files: tables, verdicts, and plots beside the results."""

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from lowbeam.errors import UsageError
from lowbeam.evaluate.paper.claims import CLAIMS
from lowbeam.evaluate.paper.verdicts import measured_contrasts
from research.paper.answer_section import answer_section
from research.paper.descriptions import describe
from research.paper.design_section import design_section
from research.paper.handover_section import handover_section
from research.paper.learning import plot_learning
from research.paper.restoration_section import restoration_section
from research.paper.score_tables import by_system, plot_scores, score_tables, shipped_models_on
from research.paper.step_time import step_time_section
from research.paper.verdict_section import verdict_section
from research.result_files import shown_command, write_page

ORDER = (
    "full",
    "converged",
    "handover",
    "step-time",
    "restoration",
    "restorer",
    "reduced",
    "reduced-every-scale",
    "reduced-tenth",
    "as-published",
)  # then others by name
DECIDING = ("full", "converged")  # experiments that decide the claims, the best first
STUDIES = {"handover": handover_section, "step-time": step_time_section}  # beside the experiments
HEAD, METHOD = (Path(__file__).with_name(f"replication_page_{part}.md") for part in ("head", "method"))
Link = Callable[[Path], str]  # from a file to its address as the page links it


def write_replication_page(results: str | Path, page: str | Path, *, plots: bool = True) -> Path:
    """Write `page` (Markdown) from the JSON files in the folder `results`, into which the plots are drawn unless
    `plots` is False.

    Raises `UsageError` where there is no result file, or one is damaged, and `OutputError`.
    """
    folder, page = Path(results), Path(page)
    found = sorted(folder.glob("*.json"), key=lambda path: (_place(path.stem), path.stem))
    if not found:
        raise UsageError(f"{folder} holds no results: name the --results folder of lowbeam replicate")

    def link(path: Path) -> str:
        return Path(os.path.relpath(path, page.parent)).as_posix()

    answers, sections = [], []
    for path in found:
        try:
            result = json.loads(path.read_text(encoding="utf-8"))
            if path.stem in STUDIES:
                sections.append(STUDIES[path.stem](result))
                continue
            sections.append(_section(result, path, link, plots))
            if path.stem in DECIDING and result.get("sureness"):
                answers.append(answer_section(result, describe(result)[0]))
                if len(answers) == 1:
                    sections.append(design_section())
        except UsageError:
            raise
        except (OSError, ValueError, KeyError, TypeError, IndexError) as error:
            raise UsageError(f"{path} is damaged, or was not written by lowbeam replicate; delete it") from error
    fixed = [part.read_text(encoding="utf-8").rstrip() for part in (HEAD, METHOD)]
    return write_page(page, "\n\n".join([fixed[0], *answers[:1], fixed[1], *sections]) + "\n")


def _place(name: str) -> int:
    return ORDER.index(name) if name in ORDER else len(ORDER)


def _section(result: dict[str, Any], path: Path, link: Link, plots: bool) -> str:
    """The section of one experiment; experiments are never mixed in one table."""
    name = result["experiment"]["name"]
    title, about = describe(result)
    parts = [f"## {title}", about, _facts(result, link(path))]
    recognizers = [job for job in result["jobs"] if "scores" in job]
    restorers = [job for job in result["jobs"] if "restoration" in job]
    if recognizers:
        scores = by_system(recognizers)
        if name in DECIDING:
            scores |= shipped_models_on(result["corpus"], result["test_faces"])
        parts.append(score_tables(scores))
    if result.get("sureness") and _is_any_claim_measured(result["sureness"]):
        images = plot_scores(scores, path.parent, name, plots)
        images += plot_learning(path.parent / name, path.parent, name, plots)
        parts += [f"![{text}]({link(image)})" for image, text in images]
        parts.append(verdict_section(result, path.parent, name, link, plots))
    if restorers:
        parts.append(restoration_section(restorers, path.parent, name, link))
    return "\n\n".join(parts)


def _is_any_claim_measured(sureness: dict[str, Any]) -> bool:
    return any(measured_contrasts(sureness, number, "valence").verdict for number in range(len(CLAIMS)))


def _facts(result: dict[str, Any], address: str) -> str:
    experiment, machine = result["experiment"], result["machine"]
    hours = sum(job["train_s"] for job in result["jobs"]) / 3600
    count, seeds = len(result["jobs"]), experiment["seeds"]
    told = dict.fromkeys(job["processor"] for job in result["jobs"] if "processor" in job)
    processors = told or [machine["cpu"]]
    threads = f"{machine['threads']} thread{'s' * (machine['threads'] > 1)} per network"
    where = machine["gpu"] or f"{' and '.join(processors)}, {threads}"
    lines = [
        f"- **Data**: {result['corpus']}; {result['train_faces']:,} training, {result['valid_faces']:,} validation and "
        f"{result['test_faces']:,} test faces.",
        f"- **Networks**: {_parameters(result['jobs'])}; convolutions in {experiment['precision']}; "
        f"seed{'s' * (len(seeds) > 1)} {', '.join(map(str, seeds))}.",
        f"- **Training time**, by the clock, with pauses of the process: {hours:.2f} h for {count} "
        f"network{'s' * (count > 1)}, on {where}.",
        f"- **Command**: `{shown_command(result['command'])}`",
        f"- **Settings and results**: [{Path(address).name}]({address})",
    ]
    if result["unfinished"]:
        lines.append(f"- **Not finished**: {_unfinished(result['unfinished'])}.")
    return "\n".join(lines)


def _unfinished(jobs: list[str]) -> str:
    """Jobs named ``SYSTEM-MIXTURE-seedN``, grouped by seed and by system; seeds with the same jobs are grouped."""
    found: dict[str, dict[str, list[str]]] = {}
    for job in jobs:
        system, mixture, seed = job.rsplit("-", 2)
        found.setdefault(seed.removeprefix("seed"), {}).setdefault(system, []).append(mixture)
    alike: dict[str, list[str]] = {}
    for seed, systems in found.items():
        text = "; ".join(f"{system} {', '.join(mixtures)}" for system, mixtures in systems.items())
        alike.setdefault(text, []).append(seed)
    groups = (f"seed{'s' * (len(seeds) > 1)} {' and '.join(seeds)}: {text}" for text, seeds in alike.items())
    text = ". ".join(group[0].upper() + group[1:] for group in groups)
    return text[0].lower() + text[1:]


def _parameters(jobs: list[dict[str, Any]]) -> str:
    """The number of parameters of each kind of network."""
    sizes: dict[str, set[int]] = {}
    for job in jobs:
        sizes.setdefault("CNN+D" if "scores" in job else job["name"], set()).add(job["parameters"])
    return ", ".join(
        f"{kind} with {' or '.join(f'{n:,}' for n in sorted(found))} parameters" for kind, found in sizes.items()
    )
