"""Write what was measured where it is read: tables into README, docs and model cards, pictures into ``docs``.

A block between ``<!-- figures: NAME -->`` and ``<!-- end -->`` is replaced by what the result files say.
"""

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from benchmarks.domain_figures import (
    blinks_table,
    boxes_table,
    domain_tries_table,
    domains_described,
    domains_table,
    expressions_table,
    nuisances_table,
    real_jitter_table,
)  # fmt: skip
from benchmarks.paper_figures import paper_sentences
from benchmarks.recognizer_figures import (
    SHOWN,
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
from lowbeam import Recognizer
from lowbeam.demo import ASSETS
from lowbeam.evaluate.curve.results import read_sweeps
from lowbeam.evaluate.table import markdown_table
from lowbeam.faces import FaceTracker, YunetDetector
from lowbeam.media import VideoSource
from lowbeam.metrics import AFFECT_NAMES
from lowbeam.pipeline.sources import find_faces
from lowbeam.recognize import DEFAULT_MODEL, WEIGHTS, shipped_models
from lowbeam.restore import DEFAULT_RESTORER, RESTORERS
from lowbeam.scale import SCALES, shrink, side_of
from research.rate_distortion.budget_tables import mean_ccc
from research.rate_distortion.sweep_tables import budget_table

ROOT = Path(__file__).parents[1]
REPLICATION = ROOT / "docs" / "replication"
FINE_TUNING = ROOT / "docs" / "tutorials" / "training"
CURVE = ROOT / "docs" / "rate-distortion"
RECOGNIZER = ROOT / "docs" / "recognizer"
RESULTS = Path(__file__).parent / "results"
# Pages with blocks, beside the model cards.
PAGES = (
    ROOT / "README.md",
    ROOT / "docs" / "recognizer.md",  # peers, enlarged, rates, video, load, coverage, followed, surest, framing, tries
    ROOT / "docs" / "speed.md",  # speed, video, memory, load, demo
    ROOT / "docs" / "how-to" / "batch.md",  # archive
    ROOT / "docs" / "how-to" / "restore.md",  # restorer
    ROOT / "docs" / "tutorials" / "training.md",  # fine-tuning
)
HEADLINE_SYSTEMS = ("lowbeam best", "lowbeam accurate", "lowbeam fast", "fer")
HEADLINE_SCALES = (1, 4, 8, 16)
SHOWN_KBPS = (1, 4, 16)  # budgets in README
MOMENT_S = 6.6  # of the clip: a smile at its height
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
}
EIGHT_BITS = {
    "teacher": "`one-for-all`, the start and the teacher of `accurate`",
    "accurate-float": "`accurate` in floating point",
    "accurate-int8": "`accurate`, as it ships",
}


def _load(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8"))


def headline_table(measured: dict[str, Any], rendered: dict[str, Any], domains: dict[str, Any]) -> str | None:
    """CCC of the models that ship and of `fer` at some sizes, on real faces of several corpora and, where they were
    measured there, on rendered people, and faces a second; None where accuracy was not measured."""
    if measured["accuracy"] is None:
        return None
    rows = []
    for system in HEADLINE_SYSTEMS:
        if system not in measured["accuracy"]["systems"]:
            continue
        rate = f"{measured['faces_per_s'][system]:,.0f}"
        for corpus, found in domains["corpora"].items():
            scored = found["systems"][system.removeprefix("lowbeam ")]
            rows.append([system, f"real, {corpus}", *_both(scored), rate])
            rate = ""
        if (found := rendered["uncoded"].get(system.removeprefix("lowbeam "))) is not None:
            rows.append([system, "rendered", *_both(found), ""])
    sides = [f"{side_of(s)} px" for s in HEADLINE_SCALES]
    return markdown_table(["CCC, valence / arousal", "people", *sides, "faces/s"], rows)


def _both(scored: dict[str, Any]) -> list[str]:
    cells = [[scored[str(s)][affect]["ccc"] for affect in ("valence", "arousal")] for s in HEADLINE_SCALES]
    return [" / ".join(f"{round(value, 2) + 0.0:.2f}" for value in cell) for cell in cells]  # + 0.0: no -0.00


def features_list(measured: dict[str, Any], speed: dict[str, Any], memory: dict[str, dict[str, float]]) -> str:
    """What a user gets: share of the CCC at some bit rates, speed and size."""
    rates, street = measured["faces_per_s"], speed["street"]
    sizes = " and ".join(f"{(WEIGHTS / f'{name}.onnx').stat().st_size / 1e6:.1f} MB" for name in ("accurate", "fast"))
    peak = max(value for row in memory.values() for key, value in row.items() if key != "ratio")
    return "\n".join([
        "- **Few bits**: within a budget (RTP/UDP/IPv4 headers counted), held estimates keep this share of the CCC of "
        f"uncoded ones: {_shares('real')} on seven recordings of real people (against the uncoded "
        f"estimates), {_shares('rendered')} on five rendered people (against the truth).",
        f"- **Fast**: one core packs {street['pack, within 4 kbit/s']['frames_per_s']:,.0f} frames/s of video, reads "
        f"{street['read a video, every frame']['frames_per_s']:,.0f} frames/s of video, and estimates from "
        f"{street['read a face stream']['frames_per_s']:,.0f} received faces/s. The model alone processes "
        f"{rates['lowbeam accurate']:,.0f} faces/s, {rates['lowbeam fast']:,.0f} with `--model fast`, "
        f"{rates['lowbeam best']:,.0f} with `--model best`.",
        f"- **Small**: recognizers of {sizes}, a peak memory of {peak:.0f} MiB, no PyTorch at run time.",
    ])  # fmt: skip


def _shares(people: str) -> str:
    """Shares of the mean CCC that held estimates keep at some budgets, of ``real`` or ``rendered`` people."""
    results = _load(CURVE / f"budgets-{people}.json")
    uncoded = np.mean([results["uncoded"][name] for name in AFFECT_NAMES])
    kept = {round(row["bps"] / 1000): mean_ccc(row, "hold") / uncoded for row in results["budgets"]}
    return ", ".join(f"{kept[kbps]:.0%} within {kbps} kbit/s" for kbps in SHOWN_KBPS)


def kept_people_table() -> str:
    """What is kept within budgets, real and rendered people side by side: CCC of held and smoothed estimates."""
    real, rendered = (_load(CURVE / f"budgets-{people}.json") for people in ("real", "rendered"))
    rows = []
    for row, other in zip(real["budgets"], rendered["budgets"], strict=True):
        if row["bps"] / 1000 not in SHOWN_KBPS:
            continue
        cells = [
            " / ".join(f"{kept[how][v]:.2f}" for v in AFFECT_NAMES)
            for kept in (row, other)
            for how in ("hold", "smooth")
        ]
        rows.append([f"{row['bps'] / 1000:g} kbit/s", *cells])
    uncoded = " / ".join(f"{rendered['uncoded'][v]:.2f}" for v in AFFECT_NAMES)
    rows.append(["uncoded", "1 / 1", "1 / 1", uncoded, uncoded])
    heads = [f"{people}, {how}" for people in ("real people", "rendered people") for how in ("held", "smoothed")]
    return markdown_table(["CCC, valence / arousal", *heads], rows)


def card_table(results: dict[str, Any]) -> str:
    """Everything about the shipped model, at each scale."""
    headings = ["s", "px"]
    keys = [(v, m) for v in AFFECT_NAMES for m in ("rmse", "cc", "ccc", "mean_std", "within_1_std", "within_2_std")]
    headings += [f"{v[0].upper()} {m.replace('_', ' ')}" for v, m in keys]
    scored = next(value for system, value in results["systems"].items() if system.startswith("lowbeam"))
    rows = [[str(s), str(side_of(s)), *(f"{scored[str(s)][v][m]:.3f}" for v, m in keys)] for s in SCALES]
    return markdown_table(headings, rows)


def speed_table(speed: dict[str, Any]) -> str:
    """Frames a second of the street's halves on one core."""
    rows = []
    for name, row in speed["street"].items():
        if isinstance(row, dict):
            shares = "; ".join(f"{stage} {share:.0%}" for stage, share in row.get("shares", {}).items())
            rate = f"{row['frames_per_s']:,.0f} frames/s, {row['times_real_time']:,.0f}× real time"
            rows.append([name, rate, shares])
    return markdown_table([speed["machine"], "median", "of which"], rows)


def memory_table(peaks: dict[str, dict[str, float]]) -> str:
    """Peak memory for a clip and for one ten times as long."""
    headings = ["peak memory", "24 s", "240 s", "ratio"]
    rows = [
        [name, *(f"{v:.0f} MiB" for k, v in row.items() if k != "ratio"), f"{row['ratio']:.2f}"]
        for name, row in peaks.items()
    ]
    return markdown_table(headings, rows)


def demo_table(results: list[dict[str, Any]]) -> str:
    """The demo's budgets."""
    rows = [
        [
            f"{r['budget_kbps']} kbit/s", r["point"], f"{r['faces_per_s']:.1f}", f"{r['wire_bps'] / 1000:.2f}",
            *(" / ".join(f"{value:.3f}" for value in r[f"{how}_ccc"]) for how in ("held", "smooth")),
        ]
        for r in results
    ]  # fmt: skip
    headings = ["budget", "operating point", "faces or packets/s", "kbit/s on the wire", "CCC held", "CCC smoothed"]
    return markdown_table(headings, rows)


def restorer_table(one_for_all: dict[str, Any], by_scale: dict[str, Any]) -> str:
    """PSNR and SSIM of the restorer that ships, of SR-FCN with a network a scale, and of bicubic interpolation."""
    ours = one_for_all["jobs"][0]["restoration"]
    sr_fcn = {scale: found for job in by_scale["jobs"] for scale, found in job["restoration"].items()}
    scales = [scale for scale in ours if scale in sr_fcn]
    rows = []
    for key, shown, form in (("psnr_db", "PSNR, dB", ".2f"), ("ssim", "SSIM", ".3f")):
        rows.append([f"bicubic, {shown}", *(f"{ours[s][f'bicubic_{key}']:{form}}" for s in scales)])
        rows.append([f"SR-FCN, one a scale, {shown}", *(f"{sr_fcn[s][key]:{form}}" for s in scales)])
        rows.append([f"lowbeam's restorer, {shown}", *(f"{ours[s][key]:{form}}" for s in scales)])
    return markdown_table(["test faces", *(f"{side_of(int(s))} px" for s in scales)], rows)


def kept_on_the_wire() -> str:
    """What the default model keeps at each rate on the wire, on rendered people."""
    return budget_table(*_test_and_valid(), DEFAULT_MODEL)


def _test_and_valid() -> tuple[dict[str, Any], dict[str, Any]]:
    test, valid = (read_sweeps(sorted(CURVE.glob(f"{name}*.json"))) for name in ("test", "valid"))
    return test, valid


def ccc_picture(results: dict[str, Any]) -> Figure:
    """A face as each scale leaves it, over the CCC that is kept there."""
    with VideoSource(ASSETS / "clip.mp4") as video:
        frames = (f for f in video if abs(f.time_s - MOMENT_S) < 0.5)
        tracker = FaceTracker(YunetDetector())
        faces = [face.pixels for frame in frames for face in find_faces(frame, tracker, "primary").faces]
    hr = faces[len(faces) // 2][None]
    recognizer = Recognizer()
    figure = Figure(figsize=(10, 5.6), layout="constrained")
    grid = figure.add_gridspec(2, len(SHOWN), height_ratios=(1, 2))
    for column, scale in enumerate(SHOWN):
        lr = shrink(hr, scale)
        reading = recognizer(lr)
        axis = figure.add_subplot(grid[0, column])
        axis.imshow(lr[0], cmap="gray", vmin=0, vmax=255, interpolation="nearest")
        axis.set_axis_off()
        title = f"valence\n{reading.valence[0]:+.2f} ± {reading.valence_std[0]:.2f}"
        axis.set_title(title, fontsize=9)
    axis = figure.add_subplot(grid[1, :])
    for (system, scored), colour in zip(results["systems"].items(), ("#c2410c", "#52525b"), strict=False):
        values = [scored[str(s)]["valence"]["ccc"] for s in SHOWN]
        axis.plot(np.arange(len(SHOWN)), values, "o-", color=colour)
        axis.annotate(system, (3.1, values[3] + 0.04), color=colour, fontweight="bold")
    axis.set_xticks(np.arange(len(SHOWN)), [f"{side_of(s)} px" for s in SHOWN])
    axis.set_xlim(-0.5, len(SHOWN) - 0.5)
    axis.set_ylim(-0.05, 1)
    axis.set_ylabel(f"valence CCC, {results['corpus']} {results['split']}")
    axis.spines[["top", "right"]].set_visible(False)
    axis.grid(axis="y", color="0.9")
    return figure


def archive_table(measured: dict[str, Any], cluster: dict[str, Any], spans: dict[str, Any]) -> str:
    """How fast an archive is read: by one and two processes, by shell loops, and by a cluster."""
    real, rendered = measured["real"], measured["rendered"]
    names = {"2 processes": "`lowbeam batch --workers 2`", "1 process": "`lowbeam batch --workers 1`",
             "shell loop": "a shell loop of `lowbeam read`", "fer": "a shell loop of `fer`"}  # fmt: skip
    rows = [
        [name, *(f"{one['recordings_per_h'][way]:,} ({one['times_real_time'][way]:.1f} ×)" for one in (real, rendered))]
        for way, name in names.items()
    ]
    share = {name: f"{100 * real['stages'][name]:.0f} %" for name in ("decoding", "faces", "network")}
    slower = real["stages"]["network in batches of 8"] / real["stages"]["network"]
    kills, overhead = cluster["kills"], cluster["overhead"]
    lost = {what: sum(run["killed"].get(what, 0) for run in kills["runs"]) for what in ("machines", "drivers")}
    return (
        f"Recordings an hour (times real time) on two cores, {real['recordings']} recordings of real people and as "
        f"many of rendered ones, {(real['duration_s'] + rendered['duration_s']) / 60:.0f} minutes in all:\n\n"
        f"{markdown_table(['', 'real people', 'rendered people'], rows)}\n\n"
        f"Two processes are {real['two_to_one']:.2f} / {rendered['two_to_one']:.2f} times as fast as one. "
        f"A second run, which finds all of {real['recordings']} read, takes {real['again_s']:.1f} s. The process that "
        f"hands out the work has {measured['driver_mib_of_10000']:.0f} MiB with a list of 10,000 files. Of the time, "
        f"{share['decoding']} goes into decoding, {share['faces']} into finding faces and {share['network']} into the "
        f"network in batches of 32; in batches of 8, as for recordings of eight faces, the network takes {slower:.2f} "
        "times as long.\n\n"
        f"On Ray: {overhead['ray_to_processes_without_start']:.2f} times the time of processes, for "
        f"{overhead['recordings']} recordings of a minute on two cores, without the start, which takes "
        f"{overhead['seconds']['ray of one'] - overhead['seconds']['processes of one']:.1f} s longer. "
        f"{len(kills['runs'])} runs on a cluster of {kills['machines']}, in which {lost['machines']} machines and "
        f"{lost['drivers']} drivers were killed: {sum(run['same'] for run in kills['runs'])} of them left the dataset "
        "of an undisturbed run, byte for byte.\n\n" + _joined(spans) + "\n\n" + _million_hours(measured)
    )


def _joined(spans: dict[str, Any]) -> str:
    """What cuts change."""
    said = [
        f"{spans[people]['valence']['ccc']:.3f} / {spans[people]['arousal']['ccc']:.3f} for {people} people "
        f"({spans[people]['recordings']} recordings, a cut every {spans[people]['span_s']:.0f} s)"
        for people in ("real", "rendered")
    ]
    return (
        f"Spans against a single reading: the CCC of valence / arousal after a cut is {' and '.join(said)}; times and "
        "people are the same."
    )


def _million_hours(measured: dict[str, Any]) -> str:
    """What a large archive would take, from what was measured here."""
    speed = measured["real"]["times_real_time"]["1 process"]
    cores, hours, minutes = 1000, 1_000_000, 10
    took_h = hours / (speed * cores)
    recordings = hours * 60 / minutes
    per_s = 10_000 / measured["driver_s_of_10000"]
    return (
        f"On paper, a million hours of such video on 1,000 cores like these: {took_h:.0f} hours. In recordings of "
        f"{minutes} minutes, the cores ask for {recordings / took_h / 3600:.0f} recordings a second; the process that "
        f"hands them out was seen to manage {per_s:,.0f} a second, with files that fail at once. So the first "
        "bottleneck is the reading itself; the next is the tables that are written at the end, for which each part "
        f"is opened once: at 10 ms for each, as from a distant store, {recordings * 0.01 / 3600:.0f} hours. Divide "
        "such an archive into several datasets."
    )


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
    measured = _load(RESULTS / "recognizers.json")
    uncertainty, framing, followed = (
        _load(RECOGNIZER / f"{name}.json") for name in ("uncertainty", "framing", "followed")
    )
    tries = {path.stem: _load(path) for path in (RECOGNIZER / "tries").glob("*.json")}
    if unknown := set(tries) - {*TRIES, *EIGHT_BITS}:
        raise SystemExit(f"{RECOGNIZER / 'tries'}: no table shows {', '.join(sorted(unknown))}")
    return {
        "peers": peers_table(measured), "headline": headline_table(
            measured, _load(CURVE / "systems.json"), _load(RECOGNIZER / "domains.json")
        ),
        "rates": rates_table(measured),
        "enlarged": enlarged_table(_load(RESULTS / "enlarged.json")),
        "video": video_table(speed), "load": load_table(_load(RESULTS / "load.json")),
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
    tries = {path.stem: _load(path) for path in (RECOGNIZER / "domain-tries").glob("*.json")}
    return {
        "domain tries": domain_tries_table(tries, DOMAIN_TRIES),
        "domains": f"{domains_table(domains)}\n\n{domains_described(domains)}",
        "expressions": expressions_table(domains), "boxes": boxes_table(boxes),
        "blinks": f"{blinks_table(blinks, DEFAULT_MODEL)}\n\n{real_jitter_table(blinks)}",
        **{f"nuisances {model}": nuisances_table(nuisances, model) for model in nuisances["systems"]},
    }  # fmt: skip


def main() -> None:
    """Fill README, docs and model cards, and draw the pictures."""
    tables = {name: _load(WEIGHTS / f"{name}.json") for name in shipped_models()}
    table = tables[DEFAULT_MODEL]
    speed, memory, demo = (_load(RESULTS / f"{name}.json") for name in ("speed", "memory_mib", "demo"))
    blocks = recognizer_blocks(tables, speed) | {
        "features": features_list(_load(RESULTS / "recognizers.json"), speed, memory),
        "speed": speed_table(speed), "kept": kept_on_the_wire(),
        "kept people": kept_people_table(),
        "archive": archive_table(
            *(_load(RESULTS / f"{name}.json") for name in ("archive", "archive-cluster", "archive-spans"))
        ),
        "memory": memory_table(memory), "demo": demo_table(demo),
        "paper": paper_sentences(_load(REPLICATION / "converged.json"), table),
        "fine-tuning": fine_tuning_table({path.stem: _load(path) for path in FINE_TUNING.glob("*.json")}),
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
