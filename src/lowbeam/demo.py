"""The demo: packs one video within four budgets, reads each face stream, and shows the results on a page."""

import base64
import csv
import html
import os
import time
from dataclasses import dataclass
from pathlib import Path
from string import Template
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray

from lowbeam.codec import CODECS
from lowbeam.codec.operating_table import ladder
from lowbeam.container import FaceStreamReader, count_bytes
from lowbeam.faces import FrameFaces
from lowbeam.files import make_folder, whole_file
from lowbeam.media import open_video
from lowbeam.metrics import AFFECT_NAMES, ccc
from lowbeam.pipeline import Packed, pack, read
from lowbeam.progress import Progress
from lowbeam.sinks import OverlaySink
from lowbeam.trace import AFFECT_COLOURS, How, Trace, at_times
from lowbeam.trace.plot import check_matplotlib, draw_estimate, dress, new_figure, save_figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure

ASSETS = Path(__file__).parent / "assets"
BUDGETS_KBPS = (16, 4, 1, 0.1)
SHOWN = 2  # of these, in the overlay: the lowest of which a face can be looked at
COLOURS = ("#0f172a", "#1d4ed8", "#c2410c", "#15803d")
HELD_S = 2.5  # for which the overlay shows a received face
PLOT_FPS = 25.0


@dataclass(frozen=True)
class Reference:
    """What traces are compared with: valence and arousal, float64 (n, 2), at `time_s`, float64 (n,), and their
    `name`."""

    name: str
    time_s: NDArray[np.float64]
    affect: NDArray[np.float64]

    def agreement(self, trace: Trace, how: How) -> tuple[float, float]:
        """CCC of valence and of arousal with `trace` at all times of the reference, filled in by `how`."""
        found = []
        for name, wanted in zip(AFFECT_NAMES, self.affect.T, strict=True):
            values, _ = at_times(trace.time_s, trace[name], trace[f"{name}_std"], self.time_s, how)
            found.append(ccc(values, wanted))
        return found[0], found[1]


@dataclass(frozen=True)
class Result:
    """The results of one budget: `wire_bps` is the rate as RTP packets in bits per second, `held_ccc` the CCC of
    valence and of arousal at every frame if each estimate is held until the next, `smooth_ccc` that of the
    smoothed trace, `pack_fps` the packing speed in source frames per second, `read_fps` the reading speed in faces per
    second."""

    packed: Packed
    wire_bps: float
    trace: Trace
    held_ccc: tuple[float, float]
    smooth_ccc: tuple[float, float]
    pack_fps: float
    read_fps: float


@dataclass(frozen=True)
class Demo:
    """The output folder, the page in it, and the results by decreasing bit rate."""

    folder: Path
    page: Path
    reference: Reference
    results: list[Result]


def demo(video: str | os.PathLike[str] | None = None, out: str | os.PathLike[str] = "demo-out",
         progress: Progress | None = None) -> Demo:  # fmt: skip
    """Pack and read `video`, or the shipped clip, within each of `BUDGETS_KBPS`, and write the results into the folder
    `out`.

    Writes a face stream and a trace (CSV) for each budget; plots of the traces and of the results against the operating
    table; an overlay of the lowest rate; and ``index.html``, which shows all of these. The clip
    is compared with its ground truth, another video with the estimates of its uncompressed face. Raises the errors of
    `pack` and `read`.
    """
    check_matplotlib()
    source = os.fspath(video if video is not None else ASSETS / "clip.mp4")
    with open_video(source):  # an error here leaves no empty folder
        pass
    folder = make_folder(out)
    reference = _truth(ASSETS / "clip.csv") if video is None else _uncompressed(source, progress)
    results = [_run(source, kbps, folder / _name(kbps), reference, progress) for kbps in BUDGETS_KBPS]
    save_figure(plot_results(results, reference), folder / "traces.png")
    save_figure(plot_envelope(results, reference), folder / "envelope.png")
    stream = folder / f"{_name(BUDGETS_KBPS[SHOWN])}.mkv"
    write_overlay(source, stream, results[SHOWN].trace, folder / "overlay.mp4")
    page = folder / "index.html"
    with whole_file(page) as beside:
        beside.write_text(_page(source, results, reference, folder), encoding="utf-8")
    return Demo(folder, page, reference, results)


def _truth(path: Path) -> Reference:
    with path.open(newline="") as file:
        rows = np.array([[float(v) for v in row.values()] for row in csv.DictReader(file)])
    return Reference("ground truth", rows[:, 0], rows[:, 1:])


def _uncompressed(source: str, progress: Progress | None) -> Reference:
    trace = read(source, progress=progress)
    return Reference("uncompressed face", trace.time_s, np.stack([trace.columns[name] for name in AFFECT_NAMES], 1))


def _name(kbps: float) -> str:
    """A budget as the name of its files."""
    return f"{kbps:g}kbps" if kbps >= 1 else f"{1000 * kbps:g}bps"


def _run(source: str, kbps: float, stem: Path, reference: Reference, progress: Progress | None) -> Result:
    stream = stem.with_suffix(".mkv")
    frames = 0

    def count(done: int, total: int | None) -> None:
        nonlocal frames
        frames = done
        if progress is not None:
            progress(done, total)

    begun = time.perf_counter()
    packed = pack(source, stream, budget=f"{kbps}kbps", progress=count)
    sent = time.perf_counter()
    trace = read(stream)
    done = time.perf_counter()
    trace.save(stem.with_suffix(".csv"))
    wire_bps = 8 * count_bytes(stream).rtp / packed.duration_s
    held, smooth = reference.agreement(trace, "hold"), reference.agreement(trace, "smooth")
    return Result(packed, wire_bps, trace, held, smooth, frames / (sent - begun), len(trace) / (done - sent))


def caption(result: Result, rate: Literal["file", "wire"] = "file") -> str:
    """What crosses the link, how often, and the bit rate of a result."""
    packed = result.packed
    rate_bps, per_s = packed.rate_bps if rate == "file" else result.wire_bps, packed.coded / packed.duration_s
    if CODECS[packed.point.codec].kind != "pixels":
        return f"{packed.point.codec}, {per_s:.1f} packets/s, {rate_bps / 1000:.2f} kbit/s"
    return f"{packed.point.side}×{packed.point.side} px, {per_s:.1f} faces/s, {rate_bps / 1000:.1f} kbit/s"


def plot_results(results: list[Result], reference: Reference) -> "Figure":
    """One row per budget, valence on the left and arousal on the right, with the reference."""
    figure = new_figure(figsize=(12, 2.2 * len(results) + 0.6), layout="constrained")
    axes = figure.subplots(len(results), 2, sharex=True, sharey=True, squeeze=False)
    for row, result in zip(axes, results, strict=True):
        for i, (axis, (name, colour)) in enumerate(zip(row, AFFECT_COLOURS.items(), strict=True)):
            axis.plot(reference.time_s, reference.affect[:, i], color="black", linewidth=1, label=reference.name)
            draw_estimate(axis, result.trace.resample(PLOT_FPS), name, colour, label=f"{name}, smoothed, ±2 std")
            axis.plot(result.trace.time_s, result.trace[name], ".", color=colour, markersize=3)
            dress(axis, f"{caption(result)}: CCC {result.held_ccc[i]:.2f} held, {result.smooth_ccc[i]:.2f} smoothed")
            axis.set_ylabel(name)
    for axis in axes[0]:
        axis.legend(loc="lower left", ncols=2, frameon=False, fontsize=8)
    for axis in axes[-1]:
        axis.set_xlabel("time (s)")
    return figure


def plot_envelope(results: list[Result], reference: Reference) -> "Figure":
    """CCC over the rate on the wire: what the operating table expects on rendered people, and each of `results`."""
    figure = new_figure(figsize=(9, 3.6), layout="constrained")
    axis = figure.subplots()
    rungs = ladder(1000 * BUDGETS_KBPS[1])
    rates, expected = [rung.bps / 1000 for rung in rungs], [rung.kept.rendered for rung in rungs]
    axis.step(rates, expected, where="post", color="0.5", label="operating table, rendered people: pixels")
    rungs = ladder(1000 * BUDGETS_KBPS[-1], "estimates")
    rates, expected = [rung.bps / 1000 for rung in rungs], [rung.kept.rendered for rung in rungs]
    axis.step(rates, expected, where="post", color="0.5", linestyle=":", label="the same: estimates")
    for result, colour in zip(results, COLOURS, strict=True):
        axis.plot(result.wire_bps / 1000, np.mean(result.held_ccc), "o", color=colour, label=caption(result, "wire"))
    axis.set_xscale("log")
    axis.xaxis.set_major_formatter("{x:g}")
    axis.set_ylim(0, 1)
    axis.set_xlabel("kbit/s on the wire, RTP/UDP/IPv4")
    axis.set_ylabel(f"CCC with the {reference.name}")
    axis.grid(alpha=0.25)
    axis.spines[["top", "right"]].set_visible(False)
    axis.legend(frameon=False, fontsize=8, loc="lower right")
    return figure


def write_overlay(source: str, stream: Path, trace: Trace, out: Path) -> None:
    """Write the source's frames with the received face in the corner, and its estimate."""
    with FaceStreamReader(stream) as reader:
        received = list(reader)
    estimates = list(trace)
    with open_video(source) as video, OverlaySink(out, video.size, video.fps, inset=True) as sink:
        index = 0
        for frame in video:
            while index + 1 < len(received) and received[index + 1].time_s <= frame.time_s + 0.002:
                index += 1
            is_shown = abs(received[index].time_s - frame.time_s) < HELD_S
            faces, found = ([received[index]], [estimates[index]]) if is_shown else ([], [])
            sink.write(FrameFaces(frame.time_s, faces, frame, frame.size), found)
        sink.close(trace.provenance)


def _page(source: str, results: list[Result], reference: Reference, folder: Path) -> str:
    def embedded(name: str) -> str:
        return base64.b64encode((folder / name).read_bytes()).decode()

    lines = [
        "<tr>" + "".join(f"<td>{html.escape(cell)}</td>" for cell in row) + "</tr>"
        for row in (table_row(result) for result in results)
    ]
    return Template((ASSETS / "demo.html").read_text(encoding="utf-8")).substitute(
        source=html.escape(Path(source).name), reference=html.escape(reference.name), rows="\n".join(lines),
        headings="".join(f"<th>{html.escape(name)}</th>" for name in TABLE_HEADINGS),
        leanest=html.escape(caption(results[SHOWN])), plot=embedded("traces.png"),
        envelope=embedded("envelope.png"), overlay=embedded("overlay.mp4"),
    )  # fmt: skip


TABLE_HEADINGS = (
    "budget", "operating point", "faces or packets/s", "kbit/s on the wire", "file", "CCC valence, arousal: held",
    "smoothed", "packed, frames/s", "read, faces/s",
)  # fmt: skip


def table_row(result: Result) -> tuple[str, ...]:
    """The cells of one budget, in the order of `TABLE_HEADINGS`."""
    packed = result.packed
    point, report = packed.point, packed.report
    assert report is not None  # there is a budget
    agreement = [" ".join(f"{value:.2f}" for value in found) for found in (result.held_ccc, result.smooth_ccc)]
    how = f"{point.codec} {point.side} px QP {point.qp}"
    if report.latency_s:
        how = f"{point.codec}, {report.latency_s:g} s in a packet"
    return (
        f"{report.budget.bps / 1000:g} kbit/s", how,
        f"{packed.coded / packed.duration_s:.1f}", f"{result.wire_bps / 1000:.2f}", f"{packed.rate_bps / 1000:.2f}",
        *agreement, f"{result.pack_fps:.0f}", f"{result.read_fps:.0f}",
    )  # fmt: skip
