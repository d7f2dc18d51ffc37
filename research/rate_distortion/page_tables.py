"""Tables in Markdown that only the page on rate and distortion has."""

from typing import Any

import numpy as np

from lowbeam.evaluate.curve.envelope import RATE_NAMES, agreement, bd_rate, ccc_pareto_front
from lowbeam.evaluate.table import markdown_table
from lowbeam.metrics import AFFECT_NAMES
from lowbeam.scale import side_of

ANCHOR = "HR-trained"  # the system that BD-rates of systems are against, at 96 px in HEVC
BD_RATES = ("payload_bps", "rtp_bps")


def systems_table(results: dict[str, Any]) -> str:
    """CCC of each system without a codec and, for valence, at points of the HEVC sweep `results`."""
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


def measured_points(test: dict[str, Any]) -> str:
    """Sentences that list the frame rates measured for each codec."""
    rates = {
        codec: sorted({p["fps"] for p in test["points"] if p["codec"] == codec}, reverse=True)
        for codec in dict.fromkeys(p["codec"] for p in test["points"])
    }
    listed = "; ".join(f"{codec} at {', '.join(f'{fps:g}' for fps in found)} fps" for codec, found in rates.items())
    if len(set(map(tuple, rates.values()))) == 1:
        return f"{listed}; each at every scale and QP."
    return f"{listed}; each at every scale and QP. Higher frame rates of the other codecs were omitted to save time."


def systems_bd_rate_table(systems: dict[str, Any]) -> str:
    """BD-rates of each system of an HEVC sweep against `ANCHOR` at 96 px."""
    rows = []
    for rate in BD_RATES:
        whole = systems["points"]
        anchor = ccc_pareto_front([p for p in whole if p["scale"] == 1], ANCHOR, rate)
        for other in systems["systems"]:
            for name, part in (("96 px", [p for p in whole if p["scale"] == 1]), ("any size", whole)):
                if other != ANCHOR or name != "96 px":
                    value = bd_rate(anchor, ccc_pareto_front(part, other, rate), ANCHOR, other, rate)
                    rows.append([RATE_NAMES[rate], other, name, _percent(value)])
    return markdown_table(["rate", "system", "faces", "BD-rate"], rows)


def codecs_bd_rate_table(test: dict[str, Any], system: str, fps: float) -> str:
    """BD-rates of `system` with each codec against itself at 96 px in HEVC, both at `fps`, and at any frame rate."""
    rows = []
    for rate in BD_RATES:
        steady = [p for p in test["points"] if p["fps"] == fps]
        anchor = ccc_pareto_front([p for p in steady if (p["codec"], p["scale"]) == ("hevc", 1)], system, rate)
        for codec in dict.fromkeys(p["codec"] for p in test["points"]):
            for name, points in ((f"{fps:g} fps", steady), ("any frame rate", test["points"])):
                front = ccc_pareto_front([p for p in points if p["codec"] == codec], system, rate)
                value = bd_rate(anchor, front, system, system, rate)
                rows.append([RATE_NAMES[rate], codec, f"any size, {name}", _percent(value)])
    return markdown_table(["rate", "codec", "points", "BD-rate"], rows)


def _percent(value: float | None) -> str:
    return "–" if value is None or not np.isfinite(value) else f"{value:+.0f} %"


def memory_of_others_table(sweeps: dict[str, dict[str, Any]]) -> str:
    """The effect of memory on recordings of other corpora, by the corpus: the mean over the points of each sweep."""
    if not sweeps:
        return "Other recordings were not measured."
    rows = []
    for corpus, found in sweeps.items():
        names = list(found["systems"])[:2]
        means = [float(np.mean([agreement(point, name) for point in found["points"]])) for name in names]
        length = f"{found['recordings']}, {found['seconds'] / 60:.0f} minutes"
        cells = [f"{mean:.3f}" for mean in means]
        rows.append([corpus, length, str(len(found["points"])), *cells, f"{means[0] - means[1]:+.3f}"])
    headings = ["corpus", f"{found['split']} recordings", "points", *names, "difference"]
    return markdown_table(headings, rows)


def losses_table(runs: list[dict[str, Any]]) -> str:
    """CCC on valid without memory and with it, by the loss that the temporal head was trained with; `runs` are the
    ``NAME-valid.json`` of training runs."""
    rates = sorted((float(fps) for fps in runs[0]["ccc"]["with memory"]), reverse=True)
    rows = [["without memory", *(f"{_at(runs[0]['ccc']['each frame by itself'], fps):.3f}" for fps in rates)]]
    rows += [
        [f"with memory, {run['loss'].upper()} loss", *(f"{_at(run['ccc']['with memory'], fps):.3f}" for fps in rates)]
        for run in runs
    ]
    return markdown_table(["on valid", *(f"{fps:g} fps" for fps in rates)], rows)


def _at(by_fps: dict[str, float], fps: float) -> float:
    return next(value for key, value in by_fps.items() if float(key) == fps)


def stills_table(stills: dict[str, Any]) -> str:
    """CCC of valence on single coded faces, by side and QP."""
    systems = list(stills["systems"])
    rows = []
    for scale in (1, 4, 8, 16):
        for qp in dict.fromkeys(row["qp"] for row in stills["rows"]):
            found = [row for row in stills["rows"] if (row["scale"], row["qp"]) == (scale, qp)]
            if found:
                values = [f"{found[0]['scores'][name]['valence']['ccc']:.3f}" for name in systems]
                rows.append([f"{side_of(scale)} px", "uncoded" if qp is None else f"QP {qp}", *values])
    return markdown_table(["face", "", *systems], rows)


def corpus_table(corpus: dict[str, Any]) -> str:
    """CCC and CC on each corpus of a model trained on the other."""
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
