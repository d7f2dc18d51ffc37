"""Tables and a picture of what was measured about the recognizers, for README, docs and cards."""

from typing import Any

import numpy as np
from matplotlib.figure import Figure

from lowbeam.evaluate.table import KEPT_SHARES, markdown_table
from lowbeam.metrics import AFFECT_NAMES
from lowbeam.scale import SCALES, side_of

SHOWN_TUNED = (1, 4, 8)  # scales of the table on fine-tuning
SHOWN = (1, 3, 4, 6, 8, 12, 16)
COLOURS = ("#c2410c", "#1d4ed8", "#15803d", "#7e22ce", "#0f766e", "#a16207", "#be123c", "#52525b")


def peers_table(speed: dict[str, Any], domains: dict[str, Any]) -> str:
    """CCC of each system at each scale on the first corpus of `domains`, and its faces a second on one core."""
    rates, corpus = speed["faces_per_s"], next(iter(domains["corpora"].values()))
    headings = ["test faces, CCC", *(f"{side_of(s)} px" for s in SHOWN), "faces/s", "× `fer`"]
    rows = []
    for name, scored in corpus["systems"].items():
        system = f"lowbeam {name}" if f"lowbeam {name}" in rates else name
        rate = f"{rates[system]:,.0f}"
        ratio = f"{rates[system] / rates['fer']:.2f}" if "fer" in rates else ""
        for affect, cells in zip(AFFECT_NAMES, ((rate, ratio), ("", "")), strict=True):
            rows.append([f"{system}, {affect}", *(f"{scored[str(s)][affect]['ccc']:.3f}" for s in SHOWN), *cells])
    return markdown_table(headings, rows)


def enlarged_table(measured: dict[str, Any]) -> str:
    """CCC of a peer that is given enlarged faces."""
    headings = ["test faces, CCC", *(f"{side_of(s)} px" for s in SHOWN)]
    rows = [
        [f"{system}, {name}", *(f"{scored[str(s)][name]['ccc']:.3f}" for s in SHOWN)]
        for system, scored in measured["systems"].items() for name in AFFECT_NAMES
    ]  # fmt: skip
    return markdown_table(headings, rows)


def rates_table(measured: dict[str, Any]) -> str:
    """Faces a second in each way of reading, and the share of the machine's own peak that the networks reach."""
    peak, rows = measured["peak_multiply_adds_per_s"], []
    for name, rate in measured["faces_per_s"].items():
        adds = measured["multiply_adds_a_face"].get(name.removeprefix("lowbeam ").partition(",")[0])
        shares = ["", ""] if adds is None else [f"{adds * rate / peak[kind]:.0%}" for kind in ("int8", "float32")]
        rows.append([name, f"{rate:,.0f}", *shares])
    peaks = [f"of the peak in {kind}, {peak[kind] / 1e9:,.0f} G/s" for kind in ("int8", "float32")]
    return markdown_table([measured["machine"], "faces/s", *peaks], rows)


def video_table(speed: dict[str, Any]) -> str:
    """Frames a second of a whole video, faces found."""
    rates = speed["video_frames_per_s"]
    rows = [
        [name, f"{rate:.0f}", f"{rate / rates['fer']:.1f}" if "fer" in rates else ""] for name, rate in rates.items()
    ]
    return markdown_table(["a 640×360 clip, one core", "frames/s", "× `fer`"], rows)


def load_table(load: dict[str, Any]) -> str:
    """Streams kept up with, and how long faces wait."""
    rows = []
    for cores, found in load.items():
        if isinstance(found, dict) and "streams" in found:
            waits = [f"{found[at][q]:.2f}" for at in ("half_load_ms", "full_load_ms") for q in ("p50", "p95", "p99")]
            rows.append([cores, str(found["streams"]), *waits])
    at = [f"{load_}, {q}" for load_ in ("half load", "full load") for q in ("p50", "p95", "p99")]
    return markdown_table([f"{load['stream']}", "streams", *(f"{name}, ms" for name in at)], rows)


def tries_table(tries: dict[str, dict[str, Any]], described: dict[str, str]) -> str:
    """CCC on valid of each try: the mean over scales, and at some of them."""
    rows = []
    for name, what in described.items():
        scored = next(value for system, value in tries[name]["systems"].items() if system != "fer")
        mean = np.mean([scored[str(s)][affect]["ccc"] for s in SCALES for affect in AFFECT_NAMES])
        cells = [f"{scored[str(s)]['valence']['ccc']:.3f}" for s in (1, 4, 8, 16)]
        rows.append([what, f"{mean:.4f}", *cells])
    return markdown_table(["try", "mean of all", *(f"valence, {side_of(s)} px" for s in (1, 4, 8, 16))], rows)


def coverage_table(stills: dict[str, Any], model: str) -> str:
    """Shares of truths within one and two deviations, uncoded and over all codecs and QPs, at each scale."""
    headings = ["face"]
    headings += [
        f"{name}, {where}, within {n}" for name in AFFECT_NAMES for where in ("uncoded", "coded") for n in (1, 2)
    ]
    rows = []
    for scale in dict.fromkeys(row["scale"] for row in stills["rows"]):
        cells = []
        for name in AFFECT_NAMES:
            for coded in (False, True):
                found = [
                    row["scores"][model][name] for row in stills["rows"]
                    if row["scale"] == scale and (row["codec"] is not None) == coded
                ]  # fmt: skip
                cells += [f"{np.mean([f[f'within_{n}_std'] for f in found]):.1%}" for n in (1, 2)]
        rows.append([f"{side_of(scale)} px", *cells])
    return markdown_table(headings, rows)


def coverage_worst(stills: dict[str, Any]) -> str:
    """How far the shares are off by the codec, scale and QP: how many are within three points, and the worst, of each
    model that knows its deviation."""
    rows = []
    for model in stills["systems"]:
        off = [
            (abs(row["scores"][model][name][f"within_{n}_std"] - share), row, name, n)
            for row in stills["rows"] for name in AFFECT_NAMES for n, share in ((1, 0.6827), (2, 0.9545))
            if "mean_std" in row["scores"][model][name]
        ]  # fmt: skip
        if not off:
            continue
        near = sum(miss <= 0.03 for miss, *_ in off)
        miss, row, name, n = max(off, key=lambda found: found[0])
        how = "uncoded" if row["codec"] is None else f"{row['codec']} QP {row['qp']}"
        found = row["scores"][model][name][f"within_{n}_std"]
        worst = f"{name}, {side_of(row['scale'])} px {how}: {found:.1%} within {n}"
        rows.append([model, str(len(off)), f"{near / len(off):.0%}", f"{100 * miss:.1f} points", worst])
    headings = [
        "model",
        "shares, by codec, QP and size",
        "within 3 points of normal",
        "the worst is off by",
        "which is",
    ]
    return markdown_table(headings, rows)


def followed_table(followed: dict[str, Any], model: str) -> str:
    """Shares of truths within one and two deviations of readings with memory, at each frame rate and size, over all
    QPs."""
    found: dict[tuple[float, int], list[dict[str, Any]]] = {}
    for row in followed["rows"]:
        found.setdefault((row["fps"], row["scale"]), []).append(row["scores"][model])
    rows = []
    for (fps, scale), scored in sorted(found.items(), key=lambda item: (-item[0][0], item[0][1])):
        cells = [
            f"{np.mean([s[name][f'within_{n}_std'] for s in scored]):.1%}" for name in AFFECT_NAMES for n in (1, 2)
        ]
        rows.append([f"{fps:g} fps, {side_of(scale)} px", *cells])
    return markdown_table(["people followed", *(f"{name}, within {n}" for name in AFFECT_NAMES for n in (1, 2))], rows)


def surest_table(table: dict[str, Any]) -> str:
    """CCC of the estimates with the lowest standard deviations at each scale, by the share that is kept."""
    scored = next(value for system, value in table["systems"].items() if system != "fer")
    headings = ["kept", *(f"{name}, {side_of(s)} px" for name in AFFECT_NAMES for s in (1, 4, 8, 16))]
    rows = [["all", *(f"{scored[str(s)][n]['ccc']:.3f}" for n in AFFECT_NAMES for s in (1, 4, 8, 16))]]
    for share in KEPT_SHARES:
        cells = [f"{scored[str(s)][n]['ccc_of_surest'][f'{share:g}']:.3f}" for n in AFFECT_NAMES for s in (1, 4, 8, 16)]
        rows.append([f"the {share:.0%} with the lowest standard deviation", *cells])
    return markdown_table(headings, rows)


def framing_table(framing: dict[str, Any], model: str) -> str:
    """CCC at each scale with boxes that are off."""
    scales = list(dict.fromkeys(row["scale"] for row in framing["rows"]))
    found: dict[str, list[str]] = {}
    for row in framing["rows"]:
        values = [f"{row['scores'][model][name]['ccc']:.3f}" for name in AFFECT_NAMES]
        found.setdefault(row["error"], []).append(" / ".join(values))
    headings = ["box, of its side", *(f"{side_of(s)} px, valence / arousal" for s in scales)]
    return markdown_table(headings, [[error, *cells] for error, cells in found.items()])


def selective_picture(table: dict[str, Any]) -> Figure:
    """CCC over the share of estimates that is kept, lowest standard deviation first, at each scale."""
    scored = next(value for system, value in table["systems"].items() if system != "fer")
    figure = Figure(figsize=(10, 4), layout="constrained")
    shares = [1.0, *KEPT_SHARES]
    for axis, name in zip(figure.subplots(1, 2, sharey=True), AFFECT_NAMES, strict=True):
        for scale, colour in zip(SCALES, COLOURS, strict=True):
            found = scored[str(scale)][name]
            values = [found["ccc"], *(found["ccc_of_surest"][f"{share:g}"] for share in KEPT_SHARES)]
            axis.plot(shares, values, "o-", color=colour, markersize=3, label=f"{side_of(scale)} px")
        axis.set_xlim(1.02, 0.48)
        axis.set_xlabel("share of the estimates that is kept, lowest standard deviation first")
        axis.set_title(name)
        axis.grid(axis="y", color="0.9")
        axis.spines[["top", "right"]].set_visible(False)
    figure.axes[0].set_ylabel(f"CCC, {table['corpus']} {table['split']}")
    figure.axes[1].legend(frameon=False, ncols=2, loc="lower right")
    return figure


def fine_tuning_table(tables: dict[str, dict[str, Any]]) -> str:
    """CCC, and the share of labels within one standard deviation, of `accurate` and of it fine-tuned, on test people;
    `tables` are those of ``LABELS-start`` and ``LABELS-tuned``, for the labels of the renderer and of other raters."""
    sides = [side_of(scale) for scale in SHOWN_TUNED]
    headings = [
        "labels",
        "model",
        *(f"{name}, {side} px" for name in AFFECT_NAMES for side in sides),
        "within 1 std, 96 px",
    ]
    rows = []
    for labels, title in (("truth", "as rendered"), ("raters", "other raters")):
        for state, model in (("start", "`accurate`"), ("tuned", "fine-tuned")):
            (scored,) = (found for system, found in tables[f"{labels}-{state}"]["systems"].items() if system != "fer")
            cells = [f"{scored[str(s)][name]['ccc']:.3f}" for name in AFFECT_NAMES for s in SHOWN_TUNED]
            within = " / ".join(f"{scored['1'][name]['within_1_std']:.2f}" for name in AFFECT_NAMES)
            rows.append([title, model, *cells, within])
    return markdown_table(headings, rows)


def card_table(results: dict[str, Any]) -> str:
    """Everything about the shipped model, at each scale."""
    headings = ["s", "px"]
    keys = [(v, m) for v in AFFECT_NAMES for m in ("rmse", "cc", "ccc", "mean_std", "within_1_std", "within_2_std")]
    headings += [f"{v[0].upper()} {m.replace('_', ' ')}" for v, m in keys]
    scored = next(value for system, value in results["systems"].items() if system.startswith("lowbeam"))
    rows = [[str(s), str(side_of(s)), *(f"{scored[str(s)][v][m]:.3f}" for v, m in keys)] for s in SCALES]
    return markdown_table(headings, rows)
