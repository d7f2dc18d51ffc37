"""Write what was measured where it is read: tables into README, docs and model cards, pictures into ``docs``.

A block between ``<!-- figures: NAME -->`` and ``<!-- end -->`` is replaced by what the result files say.
"""

import json
import re
from pathlib import Path
from typing import Any

from benchmarks.archive_figures import archive_table
from benchmarks.domain_figures import (
    blinks_table,
    boxes_table,
    domain_tries_table,
    domains_described,
    domains_table,
    expressions_table,
    memory_tries_table,
    nuisances_table,
    real_jitter_table,
    shares_table,
)  # fmt: skip
from benchmarks.paper_figures import paper_sentences, restorer_table
from benchmarks.readme_figures import ccc_picture, features_list, headline_table, kept_people_table
from benchmarks.recognizer_figures import (
    card_table,
    coverage_table,
    coverage_worst,
    enlarged_table,
    fine_tuning_table,
    followed_table,
    framing_table,
    load_table,
    peers_table,
    rates_table,
    selective_picture,
    surest_table,
    tries_table,
    video_table,
)
from benchmarks.speed_figures import demo_table, memory_table, speed_table
from lowbeam.evaluate.curve.results import read_sweeps
from lowbeam.recognize import DEFAULT_MODEL, WEIGHTS, shipped_models
from lowbeam.restore import DEFAULT_RESTORER, RESTORERS
from research.rate_distortion.sweep_tables import budget_table
from research.result_files import earlier_weights

ROOT = Path(__file__).parents[1]
REPLICATION = ROOT / "docs" / "replication"
FINE_TUNING = ROOT / "docs" / "tutorials" / "training"
CURVE = ROOT / "docs" / "rate-distortion"
RECOGNIZER = ROOT / "docs" / "recognizer"
RESULTS = Path(__file__).parent / "results"
README_FIGURES = [CURVE / f"{name}.json" for name in ("sizes", "budgets-real", "budgets-rendered")]
# Pages with blocks, beside the model cards.
PAGES = (
    ROOT / "README.md",
    ROOT / "docs" / "recognizer.md",  # peers, enlarged, rates, video, load, coverage, followed, surest, framing, tries
    ROOT / "docs" / "speed.md",  # speed, video, memory, load, demo
    ROOT / "docs" / "how-to" / "batch.md",  # archive
    ROOT / "docs" / "how-to" / "restore.md",  # restorer
    ROOT / "docs" / "tutorials" / "training.md",  # fine-tuning
)
# Ablations by the name of the result file; research/scripts/tries.sh has the commands.
TRIES = {
    "labels": "labels only",
    "readings": "targets: half label, half the teacher's estimate of the HR face",
    "features": "the same, and features close to the teacher's (ships)",
    "teacher-only": "the same, and targets of the teacher only",
    "unlabelled": "as it ships, with a sixth of the faces from faces96, labelled by the teacher",
    "coarse-grid": "labels only, a coarser grid: patches of 4×4, 64 channels at 12×12, 128 at 6×6",
    "not-averaged": "labels only, without weight averaging",
    "no-ccc": "labels only, MSE without 1 - CCC",
    "small-faces": "labels only, more faces of 12 px and smaller",
    "loose-boxes": "labels only, shifts and zooms of the box twice as large",
}
DOMAIN_TRIES = {
    "one-domain": "FER+ only",
    "two-domains": "FER+ and faces96",
    "wider-boxes": "the same, with wider errors of the box: shifts of 8 % and zooms of 18 %",
    "light": "the same again, and 15 % of the faces in little or much light",
    "rendered": "FER+ and faces96, and a quarter of the faces from 95 rendered people in a laboratory",
    "unconstrained": "FER+ and faces96, and a quarter of the faces from 400 rendered people outside a laboratory",
}
MEMORY_TRIES = {
    "103-people": "103 people in a laboratory",
    "503-people": "the same, and 400 outside a laboratory (ships)",
}
EIGHT_BITS = {
    "teacher": "`one-for-all`, the start and the teacher of `accurate`",
    "accurate-float": "`accurate` after its first run, in floating point",
    "accurate-int8": "the same, in eight bits",
}


def _load(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8"))


def _load_all(folder: Path) -> dict[str, Any]:
    return {path.stem: _load(path) for path in folder.glob("*.json")}


def fill(path: Path, blocks: dict[str, str | None]) -> None:
    """Replace each named block of the file that it has; those that are None stay."""
    text = path.read_text(encoding="utf-8")
    for name, content in blocks.items():
        if content is None:
            continue
        pattern = re.compile(rf"(<!-- figures: {name} -->\n).*?(<!-- end -->)", re.DOTALL)
        text = pattern.sub(lambda found, content=content: f"{found[1]}{content}\n{found[2]}", text)
    path.write_text(text, encoding="utf-8")


def recognizer_blocks(tables: dict[str, dict[str, Any]], speed: dict[str, Any]) -> dict[str, str | None]:
    """All that was measured about the recognizers."""
    rates, domains = _load(RESULTS / "recognizers.json"), _load(RECOGNIZER / "domains.json")
    uncertainty, framing, followed = (
        _load(RECOGNIZER / f"{name}.json") for name in ("uncertainty", "framing", "followed")
    )
    tries = _load_all(RECOGNIZER / "tries")
    if unknown := set(tries) - {*TRIES, *EIGHT_BITS}:
        raise SystemExit(f"{RECOGNIZER / 'tries'}: no table shows {', '.join(sorted(unknown))}")
    return {
        "peers": peers_table(rates, domains),
        "headline": headline_table(rates, _load(CURVE / "sizes.json"), domains),
        "rates": _with_weights(rates_table(rates), [RESULTS / "recognizers.json"]),
        "enlarged": enlarged_table(_load(RESULTS / "enlarged.json")),
        "video": video_table(speed),
        "load": _with_weights(load_table(_load(RESULTS / "load.json")), [RESULTS / "load.json"]),
        "tries": tries_table(tries, TRIES), "int8": tries_table(tries, EIGHT_BITS),
        "coverage accurate": coverage_table(uncertainty, "accurate"),
        "coverage fast": coverage_table(uncertainty, "fast"), "coverage worst": coverage_worst(uncertainty),
        "surest": surest_table(tables[DEFAULT_MODEL]), "framing": framing_table(framing, DEFAULT_MODEL),
        "followed": followed_table(followed, DEFAULT_MODEL),
    } | _domain_blocks()  # fmt: skip


def _domain_blocks() -> dict[str, str | None]:
    """Real domains side by side, expressions, box errors, and nuisances of each model."""
    domains, boxes, nuisances, blinks = (
        _load(RECOGNIZER / f"{name}.json") for name in ("domains", "boxes", "nuisances", "blinks")
    )
    tries, memory = (_load_all(RECOGNIZER / name) for name in ("domain-tries", "memory-tries"))
    return {
        "domain tries": domain_tries_table(tries, DOMAIN_TRIES), "shares": shares_table(tries),
        "memory tries": memory_tries_table(memory, MEMORY_TRIES),
        "domains": f"{domains_table(domains)}\n\n{domains_described(domains)}",
        "expressions": expressions_table(domains), "boxes": boxes_table(boxes),
        "blinks": f"{blinks_table(blinks, DEFAULT_MODEL)}\n\n{real_jitter_table(blinks)}",
        **{f"nuisances {model}": nuisances_table(nuisances, model) for model in nuisances["systems"]},
    }  # fmt: skip


def _with_weights(table: str, results: list[Path]) -> str:
    """The table and, where `results` are of earlier weights of the default model, a paragraph that says so."""
    return f"{table}\n{earlier_weights(results)}".rstrip()


def main() -> None:
    """Fill README, docs and model cards, and draw the pictures."""
    tables = {name: _load(WEIGHTS / f"{name}.json") for name in shipped_models()}
    table = tables[DEFAULT_MODEL]
    speed, memory, demo = (_load(RESULTS / f"{name}.json") for name in ("speed", "memory_mib", "demo"))
    budgets = {people: _load(CURVE / f"budgets-{people}.json") for people in ("real", "rendered")}
    sweeps = [read_sweeps(sorted(CURVE.glob(f"{name}*.json"))) for name in ("test", "valid")]
    blocks = recognizer_blocks(tables, speed) | {
        "features": features_list(_load(RESULTS / "recognizers.json"), speed, memory, budgets),
        "speed": _with_weights(speed_table(speed), [RESULTS / "speed.json"]),
        "kept": _with_weights(budget_table(*sweeps, DEFAULT_MODEL), sorted(CURVE.glob("test*.json"))),
        "kept people": _with_weights(kept_people_table(budgets), README_FIGURES),
        "archive": archive_table(
            *(_load(RESULTS / f"{name}.json") for name in ("archive", "archive-cluster", "archive-spans"))
        ),
        "memory": memory_table(memory), "demo": demo_table(demo),
        "paper": paper_sentences(_load(REPLICATION / "converged.json"), table),
        "fine-tuning": fine_tuning_table(_load_all(FINE_TUNING)),
        "restorer": restorer_table(*(_load(REPLICATION / f"{name}.json") for name in ("restorer", "restoration"))),
    }  # fmt: skip
    for path in (*PAGES, RESTORERS / f"{DEFAULT_RESTORER}.md"):
        fill(path, blocks)
    for name, results in tables.items():
        fill(WEIGHTS / f"{name}.md", blocks | {"card": card_table(results)})
    ccc_picture(table).savefig(ROOT / "docs" / "what-is-left.png", dpi=110)
    selective_picture(table).savefig(RECOGNIZER / "selective.png", dpi=110)


if __name__ == "__main__":
    main()
