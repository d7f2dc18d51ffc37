"""What README shows: the models side by side, what is kept within a budget, and a face as each scale leaves it."""

from typing import Any

import numpy as np
from matplotlib.figure import Figure

from benchmarks.recognizer_figures import SHOWN
from lowbeam import Recognizer
from lowbeam.demo import ASSETS
from lowbeam.evaluate.table import markdown_table
from lowbeam.faces import FaceTracker, YunetDetector
from lowbeam.media import VideoSource
from lowbeam.metrics import AFFECT_NAMES
from lowbeam.pipeline.sources import find_faces
from lowbeam.recognize import WEIGHTS
from lowbeam.scale import shrink, side_of
from research.rate_distortion.budget_tables import mean_ccc

HEADLINE_SYSTEMS = ("lowbeam best", "lowbeam accurate", "lowbeam fast", "fer")
HEADLINE_SCALES = (1, 4, 8, 16)
SHOWN_KBPS = (1, 4, 16)  # budgets
MOMENT_S = 6.6  # of the clip: a smile at its height

Budgets = dict[str, dict[str, Any]]  # results of `lowbeam budgets` on ``real`` and on ``rendered`` people


def headline_table(speed: dict[str, Any], rendered: dict[str, Any], domains: dict[str, Any]) -> str:
    """CCC of the models that ship and of `fer` at some sizes, on real faces of several corpora and, where they were
    measured there, on rendered people, and faces a second."""
    rows = []
    for system in HEADLINE_SYSTEMS:
        if system not in speed["faces_per_s"]:
            continue
        rate = f"{speed['faces_per_s'][system]:,.0f}"
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


def features_list(
    measured: dict[str, Any], speed: dict[str, Any], memory: dict[str, dict[str, float]], budgets: Budgets
) -> str:
    """What a user gets: share of the CCC at some bit rates, speed and size."""
    rates, street = measured["faces_per_s"], speed["street"]
    sizes = " and ".join(f"{(WEIGHTS / f'{name}.onnx').stat().st_size / 1e6:.1f} MB" for name in ("accurate", "fast"))
    peak = max(value for row in memory.values() for key, value in row.items() if key != "ratio")
    return "\n".join([
        "- **Few bits**: within a budget (RTP/UDP/IPv4 headers counted), held estimates keep this share of the CCC of "
        f"uncoded ones: {_shares(budgets['real'])} on seven recordings of real people (against the uncoded "
        f"estimates), {_shares(budgets['rendered'])} on five rendered people (against the truth).",
        f"- **Fast**: one core packs {street['pack, within 4 kbit/s']['frames_per_s']:,.0f} frames/s of video, reads "
        f"{street['read a video, every frame']['frames_per_s']:,.0f} frames/s of video, and estimates from "
        f"{street['read a face stream']['frames_per_s']:,.0f} received faces/s. The model alone processes "
        f"{rates['lowbeam accurate']:,.0f} faces/s, {rates['lowbeam fast']:,.0f} with `--model fast`, "
        f"{rates['lowbeam best']:,.0f} with `--model best`.",
        f"- **Small**: recognizers of {sizes}, a peak memory of {peak:.0f} MiB, no PyTorch at run time.",
    ])  # fmt: skip


def _shares(results: dict[str, Any]) -> str:
    """Shares of the mean CCC that held estimates keep at some budgets."""
    uncoded = np.mean([results["uncoded"][name] for name in AFFECT_NAMES])
    kept = {round(row["bps"] / 1000): mean_ccc(row, "hold") / uncoded for row in results["budgets"]}
    return ", ".join(f"{kept[kbps]:.0%} within {kbps} kbit/s" for kbps in SHOWN_KBPS)


def kept_people_table(budgets: Budgets) -> str:
    """What is kept within budgets, real and rendered people side by side: CCC of held and smoothed estimates."""
    real, rendered = budgets["real"], budgets["rendered"]
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
