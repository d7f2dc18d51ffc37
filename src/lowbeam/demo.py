"""The demo: packs one video at three operating points, reads each face stream, and shows the results on a page."""

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

from lowbeam.codec.operating_point import OperatingPoint
from lowbeam.codec.operating_table import operating_table, pareto_front
from lowbeam.container import FaceStreamReader, count_bytes
from lowbeam.faces import FrameFaces
from lowbeam.files import make_folder, whole_file
from lowbeam.media import open_video
from lowbeam.metrics import AFFECT_NAMES, ccc
from lowbeam.pipeline import Packed, pack, read
from lowbeam.progress import Progress
from lowbeam.sinks import OverlaySink
from lowbeam.trace import AFFECT_COLOURS, Trace
from lowbeam.trace.plot import check_matplotlib, draw_estimate, dress, new_figure, save_figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure

ASSETS = Path(__file__).parent / "assets"
POINTS = (
    OperatingPoint("hevc", scale=1, qp=27, fps=25),
    OperatingPoint("hevc", scale=4, qp=27, fps=12.5),
    OperatingPoint(),
)


@dataclass(frozen=True)
class Reference:
    """What traces are compared with: valence and arousal, float64 (n, 2), at `time_s`, float64 (n,), and their
    `name`."""

    name: str
    time_s: NDArray[np.float64]
    affect: NDArray[np.float64]

    def at(self, time_s: NDArray[np.float64]) -> NDArray[np.float64]:
        """Valence and arousal at other times (m,), by linear interpolation: float64 (m, 2)."""
        return np.stack([np.interp(time_s, self.time_s, column) for column in self.affect.T], 1)


@dataclass(frozen=True)
class Result:
    """The results of one operating point: `wire_bps` is its rate as RTP packets in bits per second, `ccc` that of
    valence and arousal, `pack_fps` the packing speed in source frames per second, `read_fps` the reading speed in faces
    per second."""

    packed: Packed
    wire_bps: float
    trace: Trace
    ccc: tuple[float, float]
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
    """Pack and read `video`, or the shipped clip, at each of `POINTS`, and write the results into the folder `out`.

    Writes a face stream and a trace (CSV) for each operating point; plots of the traces and of the operating points
    against the operating table; an overlay of the lowest rate; and ``index.html``, which shows all of these. The clip
    is compared with its ground truth, another video with the estimates of its uncompressed face. Raises the errors of
    `pack` and `read`.
    """
    check_matplotlib()
    source = os.fspath(video if video is not None else ASSETS / "clip.mp4")
    with open_video(source):  # an error here leaves no empty folder
        pass
    folder = make_folder(out)
    reference = _truth(ASSETS / "clip.csv") if video is None else _uncompressed(source, progress)
    results = [_run(source, point, folder / f"point-{i}", reference, progress) for i, point in enumerate(POINTS, 1)]
    save_figure(plot_results(results, reference), folder / "traces.png")
    save_figure(plot_envelope(results, reference), folder / "envelope.png")
    leanest = len(results)
    write_overlay(source, folder / f"point-{leanest}.mkv", results[-1].trace, folder / "overlay.mp4")
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


def _run(source: str, point: OperatingPoint, stem: Path, reference: Reference, progress: Progress | None) -> Result:
    stream = stem.with_suffix(".mkv")
    frames = 0

    def count(done: int, total: int | None) -> None:
        nonlocal frames
        frames = done
        if progress is not None:
            progress(done, total)

    begun = time.perf_counter()
    packed = pack(
        source, stream, scale=point.scale, codec=point.codec, qp=point.qp, fps=point.fps, progress=count
    )  # fmt: skip
    sent = time.perf_counter()
    trace = read(stream)
    done = time.perf_counter()
    trace.save(stem.with_suffix(".csv"))
    wanted = reference.at(trace.time_s)
    agreement = [ccc(trace.columns[name], wanted[:, i]) for i, name in enumerate(AFFECT_NAMES)]
    wire_bps = 8 * count_bytes(stream).rtp / packed.duration_s
    return Result(
        packed, wire_bps, trace, (agreement[0], agreement[1]), frames / (sent - begun), len(trace) / (done - sent)
    )


def caption(result: Result, rate: Literal["file", "wire"] = "file") -> str:
    """The face side, frame rate and bit rate of a result."""
    point = result.packed.point
    rate_bps = result.packed.rate_bps if rate == "file" else result.wire_bps
    return f"{point.side}×{point.side} px at {point.fps:g} fps, {rate_bps / 1000:.1f} kbit/s"


def plot_results(results: list[Result], reference: Reference) -> "Figure":
    """One row per operating point, valence on the left and arousal on the right, with the reference."""
    figure = new_figure(figsize=(12, 2.2 * len(results) + 0.6), layout="constrained")
    axes = figure.subplots(len(results), 2, sharex=True, sharey=True, squeeze=False)
    for row, result in zip(axes, results, strict=True):
        for i, (axis, (name, colour)) in enumerate(zip(row, AFFECT_COLOURS.items(), strict=True)):
            axis.plot(reference.time_s, reference.affect[:, i], color="black", linewidth=1, label=reference.name)
            draw_estimate(axis, result.trace, name, colour, label=f"{name}, ±2 std")
            dress(axis, f"{caption(result)}: CCC {result.ccc[i]:.2f}")
            axis.set_ylabel(name)
    for axis in axes[0]:
        axis.legend(loc="lower left", ncols=2, frameon=False, fontsize=8)
    for axis in axes[-1]:
        axis.set_xlabel("time (s)")
    return figure


def plot_envelope(results: list[Result], reference: Reference) -> "Figure":
    """CCC over the rate on the wire: the Pareto front of the operating table, and each of `results`."""
    figure = new_figure(figsize=(9, 3.6), layout="constrained")
    axis = figure.subplots()
    rungs = pareto_front(operating_table(), "wire")
    rates = [rung.wire_bps / 1000 for rung in rungs]
    axis.step(rates, [rung.ccc for rung in rungs], where="post", color="0.5", label="operating table")
    for result, colour in zip(results, ("#0f172a", "#1d4ed8", "#c2410c"), strict=True):
        axis.plot(result.wire_bps / 1000, np.mean(result.ccc), "o", color=colour, label=caption(result, "wire"))
    axis.set_xscale("log")
    axis.xaxis.set_major_formatter("{x:g}")
    axis.set_ylim(0, 1)
    axis.set_xlabel("kbit/s on the wire, RTP/UDP/IPv4")
    axis.set_ylabel(f"CCC with the {reference.name}")
    axis.grid(alpha=0.25)
    axis.spines[["top", "right"]].set_visible(False)
    axis.legend(frameon=False, fontsize=8, loc="upper left")
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
            is_shown = abs(received[index].time_s - frame.time_s) < 0.5
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
        leanest=html.escape(caption(results[-1])), plot=embedded("traces.png"),
        envelope=embedded("envelope.png"), overlay=embedded("overlay.mp4"),
    )  # fmt: skip


TABLE_HEADINGS = ("operating point", "kbit/s", "CCC valence", "CCC arousal", "packed, frames/s", "read, faces/s")


def table_row(result: Result) -> tuple[str, ...]:
    """The cells of one operating point, in the order of `TABLE_HEADINGS`."""
    rate = f"{result.packed.rate_bps / 1000:.2f}"
    return (
        str(result.packed.point), rate, *(f"{value:.3f}" for value in result.ccc),
        f"{result.pack_fps:.0f}", f"{result.read_fps:.0f}",
    )  # fmt: skip
