"""The page on rate and distortion, written from its result files alone: tables, statements, and plots beside it."""

import json
import os
from pathlib import Path
from string import Template
from typing import Any

import numpy as np

from lowbeam.errors import SourceError, reason
from lowbeam.evaluate.curve.envelope import RATE_NAMES, agreement, bd_rate, best_within, ccc_pareto_front, uncoded
from lowbeam.evaluate.curve.plots import plot_envelopes, plot_frame_rates, plot_systems
from lowbeam.evaluate.curve.results import read_sweeps
from lowbeam.evaluate.curve.statements import kept_at, without
from lowbeam.evaluate.table import markdown_table
from lowbeam.files import make_folder, whole_file
from lowbeam.metrics import AFFECT_NAMES
from lowbeam.scale import side_of

TEMPLATE = Path(__file__).with_name("page_template.md")
ANCHOR = "HR-trained"  # the system that BD-rates are against, at 96 px in HEVC
WIRES = ("rtp_bps", "tls_bps")


def write_page(results: str | Path, page: str | Path) -> Path:
    """Write `page` (Markdown) from the folder `results`; plots go into that folder.

    It holds sweeps of what ships, ``valid.json`` and ``test.json`` (or several, ``test-*.json``, of other points each);
    ``systems.json``, a sweep of the systems that are compared; ``stills.json``; ``corpus.json``, what the corpus was
    found to be worth; ``losses.json``, a list of the ``NAME-valid.json`` of training runs; and perhaps sweeps of what
    ships on other people, ``memory-*.json``. Raises `SourceError` where one is missing or damaged, `OutputError`.
    """
    folder, page = Path(results), Path(page)
    test, valid, systems = (read_sweeps(sorted(folder.glob(f"{name}*.json"))) for name in ("test", "valid", "systems"))
    others = [read_sweeps([path]) for path in sorted(folder.glob("memory-*.json"))]
    stills, corpus, losses = (_read(folder / f"{name}.json") for name in ("stills", "corpus", "losses"))
    system = next(iter(test["systems"]))
    plot_systems(systems, folder / "systems.png", "hevc", systems["points"][0]["fps"])
    plot_envelopes(test, folder / "envelope.png", system)
    plot_frame_rates(test, folder / "frame-rates.png", list(test["systems"])[:2], "rtp_bps")
    try:
        text = Template(TEMPLATE.read_text(encoding="utf-8")).substitute(
            system=system, anchor=ANCHOR, link=Path(os.path.relpath(folder, page.parent)).as_posix(),
            uncoded_valence=f"{uncoded(test, system, 'valence'):.3f}", recordings=test["recordings"],
            uncoded_arousal=f"{uncoded(test, system, 'arousal'):.3f}", minutes=f"{test['seconds'] / 60:.0f}",
            kept=kept_table(test, valid, system), systems_fps=f"{systems['points'][0]['fps']:g}",
            systems=_systems(systems), envelope=envelope_table(test, system), bd_rates=_bd_rates(systems, test, system),
            measured=_measured(test), what_wins=what_wins_table(test, system), memory=memory_table(test),
            memory_of_others=_memory_of_others(others), losses=_losses(losses),
            stills_corpus=f"{stills['corpus']} {stills['split']}", stills_faces=f"{stills['faces']:,}",
            stills=_stills(stills), corpus=_corpus(corpus),
            commands=_commands(corpus, valid, test, systems, stills, *others),
            missing=missing_points(test, valid, systems),
        )  # fmt: skip
    except (KeyError, TypeError, IndexError, StopIteration) as error:
        raise SourceError(f"{folder} does not hold what a page needs: {error}") from error
    make_folder(page.parent)
    with whole_file(page) as beside:
        beside.write_text(text, encoding="utf-8")
    return page


def _read(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise SourceError(f"{path} cannot be read: {reason(error)}") from error


def point_name(point: dict[str, Any]) -> str:
    """An operating point in a few words."""
    return f"{point['codec']} {point['side']} px QP {point['qp']} {point['fps']:g} fps"


def kept_table(test: dict[str, Any], valid: dict[str, Any], system: str, rates: tuple[str, ...] = WIRES) -> str:
    """What `system` keeps at each rate on the wire."""
    rows = [
        [
            RATE_NAMES[rate].removeprefix("on the wire, "), f"{kept.kbps:g} kbit/s", point_name(kept.chosen),
            f"{kept.rate_kbps:.2f}", f"{kept.ccc[0]:.3f}", f"{kept.ccc[1]:.3f}", f"{kept.share:.0%}",
        ]
        for rate in rates
        for kept in kept_at(test, valid, system, rate)
    ]  # fmt: skip
    headings = ["on the wire", "within", "point chosen on valid", "kbit/s on test", "valence", "arousal", "share kept"]
    return markdown_table(headings, rows)


def _systems(results: dict[str, Any]) -> str:
    rows = []
    for system in results["systems"]:
        cells = []
        for affect in AFFECT_NAMES:
            scored = results["uncoded"][system].get("1")
            cells.append(f"{scored[affect]['ccc']:.3f}" if scored else "")
        for scale in (1, 4, 8):
            for qp in (27, 37, 47):
                found = [
                    p for p in results["points"]
                    if (p["scale"], p["qp"], p["codec"]) == (scale, qp, "hevc") and system in p["scores"]
                ]  # fmt: skip
                cells.append(f"{agreement(found[0], system, 'valence'):.3f}" if found else "")
        rows.append([system, *cells])
    at = [f"{side_of(scale)} px, QP {qp}" for scale in (1, 4, 8) for qp in (27, 37, 47)]
    headings = ["system", "uncoded, valence", "uncoded, arousal", *(f"valence, {where}" for where in at)]
    return markdown_table(headings, rows)


def envelope_table(test: dict[str, Any], system: str) -> str:
    """The best CCC of `system` within each rate, by codec and way of weighing."""
    rows = []
    for rate, name in RATE_NAMES.items():
        codecs = dict.fromkeys(p["codec"] for p in test["points"])
        for codec in codecs:
            points = [p for p in test["points"] if p["codec"] == codec]
            cheapest = min(points, key=lambda p: p[rate])
            cells = []
            for kbps in (1, 2, 4, 8, 16):
                best = best_within(points, system, rate, 1000 * kbps)
                cells.append("" if best is None else f"{agreement(best, system):.3f}")
            rows.append([name, codec, f"{cheapest[rate] / 1000:.2f}", *cells])
    headings = ["weighed as", "codec", "cheapest, kbit/s", *(f"{kbps} kbit/s" for kbps in (1, 2, 4, 8, 16))]
    return markdown_table(headings, rows)


def _measured(test: dict[str, Any]) -> str:
    """Which frame rates each codec was measured at, in a sentence."""
    rates = {
        codec: sorted({p["fps"] for p in test["points"] if p["codec"] == codec}, reverse=True)
        for codec in dict.fromkeys(p["codec"] for p in test["points"])
    }
    told = "; ".join(f"{codec} at {', '.join(f'{fps:g}' for fps in found)} fps" for codec, found in rates.items())
    if len(set(map(tuple, rates.values()))) == 1:
        return f"{told}, each at every scale and QP."
    return f"{told}, each at every scale and QP; other frame rates were left out for want of time, highest first."


def _bd_rates(systems: dict[str, Any], test: dict[str, Any], system: str) -> str:
    rows = []
    for rate in ("payload_bps", "rtp_bps"):
        hevc = [p for p in systems["points"] if p["codec"] == "hevc"]
        anchor = ccc_pareto_front([p for p in hevc if p["scale"] == 1], ANCHOR, rate)
        for other in systems["systems"]:
            for name, part in (("96 px", [p for p in hevc if p["scale"] == 1]), ("any size", hevc)):
                if other == ANCHOR and name == "96 px":
                    continue
                value = bd_rate(anchor, ccc_pareto_front(part, other, rate), ANCHOR, other, rate)
                rows.append([RATE_NAMES[rate], other, f"hevc, {name}", _percent(value)])
        at_fps = systems["points"][0]["fps"]
        for codec in dict.fromkeys(p["codec"] for p in test["points"]):
            part = [p for p in test["points"] if p["codec"] == codec]
            same = ccc_pareto_front([p for p in part if p["fps"] == at_fps], system, rate)
            value = bd_rate(anchor, same, ANCHOR, system, rate)
            rows.append([RATE_NAMES[rate], system, f"{codec}, any size, {at_fps:g} fps", _percent(value)])
            value = bd_rate(anchor, ccc_pareto_front(part, system, rate), ANCHOR, system, rate)
            rows.append([RATE_NAMES[rate], system, f"{codec}, any size and frame rate", _percent(value)])
    headings = ["weighed as", "system", "points", "BD-rate"]
    return markdown_table(headings, rows)


def _percent(value: float | None) -> str:
    return "–" if value is None or not np.isfinite(value) else f"{value:+.0f} %"


def what_wins_table(test: dict[str, Any], system: str) -> str:
    """The best point of `system` within each rate on the wire, beside the best at full size and at full frame rate."""
    rows = []
    for rate in WIRES:
        for found in without(test, system, rate):
            rows.append([
                RATE_NAMES[rate].removeprefix("on the wire, "), f"{found.kbps:g} kbit/s", point_name(found.best),
                f"{found.any_point:.3f}", _or_none(found.full_size), _or_none(found.full_rate),
                f"{1 - found.best['payload_bps'] / found.best[rate]:.0%}",
            ])  # fmt: skip
    headings = [
        "on the wire",
        "within",
        "best point",
        "its CCC",
        "full size only",
        "full frame rate only",
        "of it headers",
    ]
    return markdown_table(headings, rows)


def _or_none(value: float | None) -> str:
    return "none" if value is None else f"{value:.3f}"


def memory_table(test: dict[str, Any]) -> str:
    """CCC of the first two systems, with memory and without, in the mean over all points in HEVC at a frame rate."""
    names = list(test["systems"])[:2]
    rows = []
    for fps in sorted({p["fps"] for p in test["points"]}, reverse=True):
        points = [p for p in test["points"] if p["fps"] == fps and p["codec"] == "hevc"]
        means = [float(np.mean([agreement(p, name) for p in points])) for name in names]
        rows.append([f"{fps:g} fps", *(f"{mean:.3f}" for mean in means), f"{means[0] - means[1]:+.3f}"])
    return markdown_table(["frame rate", *names, "memory adds"], rows)


def _memory_of_others(sweeps: list[dict[str, Any]]) -> str:
    """What memory adds on people of other corpora, in the mean over the points of each sweep."""
    if not sweeps:
        return "Other people were not measured."
    names, rows = list(sweeps[0]["systems"])[:2], []
    for found in sweeps:
        means = [float(np.mean([agreement(point, name) for point in found["points"]])) for name in names]
        who = f"{found['recordings']} {found['split']} people, {found['seconds'] / 60:.0f} minutes"
        cells = [f"{mean:.3f}" for mean in means]
        rows.append([who, str(len(found["points"])), *cells, f"{means[0] - means[1]:+.3f}"])
    return markdown_table(["people", "points", *names, "memory adds"], rows)


def _losses(runs: list[dict[str, Any]]) -> str:
    """What the head came to on valid, by the loss that it was trained with: ``NAME-valid.json`` of each run."""
    rates = sorted((float(fps) for fps in runs[0]["ccc"]["with memory"]), reverse=True)
    rows = [["each frame by itself", *(f"{_at(runs[0]['ccc']['each frame by itself'], fps):.3f}" for fps in rates)]]
    rows += [
        [f"with memory, {run['loss'].upper()} loss", *(f"{_at(run['ccc']['with memory'], fps):.3f}" for fps in rates)]
        for run in runs
    ]
    return markdown_table(["on valid", *(f"{fps:g} fps" for fps in rates)], rows)


def _at(by_fps: dict[str, float], fps: float) -> float:
    return next(value for key, value in by_fps.items() if float(key) == fps)


def _stills(stills: dict[str, Any]) -> str:
    systems = list(stills["systems"])
    rows = []
    for scale in (1, 4, 8, 16):
        for qp in dict.fromkeys(row["qp"] for row in stills["rows"]):
            found = [row for row in stills["rows"] if (row["scale"], row["qp"]) == (scale, qp)]
            if found:
                values = [f"{found[0]['scores'][name]['valence']['ccc']:.3f}" for name in systems]
                rows.append([f"{side_of(scale)} px", "uncoded" if qp is None else f"QP {qp}", *values])
    return markdown_table(["face", "", *systems], rows)


def _corpus(corpus: dict[str, Any]) -> str:
    rows = [
        [
            check["trained_on"],
            check["tested_on"],
            *(f"{check['scores'][a][m]:.3f}" for a in AFFECT_NAMES for m in ("ccc", "cc")),
        ]
        for check in corpus["checks"]
    ]
    headings = ["trained on", "tested on", "valence CCC", "CC", "arousal CCC", "CC"]
    return markdown_table(headings, rows)


def _commands(*results: dict[str, Any]) -> str:
    lines = [line for found in results for line in found.get("commands", [found["command"]])]
    return "\n".join(f"    {line}" for line in lines)


def missing_points(*results: dict[str, Any]) -> str:
    """The points that could not be measured, with the reasons; empty where there are none."""
    failed = [f"- {failure['point']}: {failure['reason']}" for found in results for failure in found["failed"]]
    return "\n\nPoints that could not be measured:\n\n" + "\n".join(failed) if failed else ""
