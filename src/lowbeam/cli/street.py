"""The run-time commands: pack, read, demo, models and info."""

import json
import math
import os
import sys
from typing import Annotated

import typer

import lowbeam
from lowbeam.cli.options import BudgetOf, Expressions, Faces, ModelName, Source, Threads
from lowbeam.cli.show import Commands, print_results, print_table, progress_bar, say
from lowbeam.codec import CODECS, available_codecs
from lowbeam.codec.budget import BudgetReport
from lowbeam.errors import UsageError
from lowbeam.onnx_session import WEIGHTS
from lowbeam.pipeline.packing import DEFAULT_BUDGET
from lowbeam.recognize import DEFAULT_MODEL, shipped_models
from lowbeam.trace import How

app = Commands()


@app.command(epilog="Example: lowbeam pack call.mp4 -o face.mkv --budget 4kbps")
def pack(
    source: Source,
    out: Annotated[str, typer.Option("-o", "--out", help="the face stream (Matroska), or - for standard output")],
    scale: Annotated[
        int | None,
        typer.Option(help="instead of a budget: downsampling factor, 1, 2, 3, 4, 6, 8, 12 or 16"),
    ] = None,
    codec: Annotated[
        str | None,
        typer.Option(
            help="hevc, avc, av1, vp9, features or estimates [default: the best for the budget; hevc at a fixed point]"
        ),
    ] = None,
    qp: Annotated[
        int | None,
        typer.Option(
            help="instead of a budget: quantisation parameter, 0 to 51 (hevc, avc), 63 (av1, vp9), 15 (features) or "
            "14 (estimates)"
        ),
    ] = None,
    fps: Annotated[float | None, typer.Option(help="instead of a budget: maximum frames per second")] = None,
    budget: Annotated[
        str | None,
        typer.Option(
            help="bit rate that no ten seconds exceed; chooses scale, QP and which faces are sent "
            f"[default: {DEFAULT_BUDGET}]"
        ),
    ] = None,
    budget_of: BudgetOf = "wire",
    allow: Annotated[
        str | None,
        typer.Option(
            help="what may be sent within the budget: pixels,features,estimates [default: pixels, below 400 bit/s what "
            "fits]"
        ),
    ] = None,
    layers: Annotated[
        str | None,
        typer.Option(help="two kinds at once, the lean one first, such as estimates,pixels; read fuses them"),
    ] = None,
    key_face: Annotated[
        bool, typer.Option("--key-face", help="send a still along with features, so that the face can be looked at")
    ] = False,
    latency: Annotated[
        float | None,
        typer.Option(
            help="seconds between writes; 0 costs 14 bytes per face [default: 0 to a pipe, 2 to a file]; for features "
            "and estimates, seconds of samples in a packet [default: 1, more below 500 bit/s]"
        ),
    ] = None,
    faces: Faces = "primary",
    model: ModelName = DEFAULT_MODEL,
) -> None:
    """Find the face in a video, downsample it, and encode it at a few kbit/s."""
    with progress_bar("packing") as progress:
        packed = lowbeam.pack(
            source, out, scale=scale, codec=codec, qp=qp, fps=fps, budget=budget, budget_of=budget_of,
            allow=allow, layers=layers, key_face=key_face, latency_s=latency, faces=faces, model=model,
            progress=progress,
        )  # fmt: skip
    has_packets = CODECS[packed.point.codec].kind != "pixels"
    what = "packets" if has_packets else "faces"
    how = packed.point.codec if has_packets and packed.report is not None else str(packed.point)
    say(
        f"{out}: {packed.coded} {what} in {packed.tracks} track{'s' * (packed.tracks != 1)}, {how}, "
        f"{packed.rate_bps / 1000:.2f} kbit/s"
    )
    if packed.report is not None:
        say_report(packed.report)
    if packed.left_out:
        say(f"{packed.left_out} faces were omitted: a face stream has at most {packed.tracks} tracks")


@app.command(epilog="Example: lowbeam read face.mkv -o trace.csv --plot trace.png")
def read(
    source: Annotated[
        str, typer.Argument(help="a face stream, a video or picture file, camera:0, an rtsp or http URL, or -")
    ],
    out: Annotated[
        str, typer.Option("-o", "--out", help="trace: .csv, .jsonl, .json or .parquet; - for CSV to standard output")
    ] = "-",
    plot: Annotated[str | None, typer.Option(help="plot of the trace: .png, .svg or .pdf")] = None,
    overlay: Annotated[str | None, typer.Option(help="video of each face with its estimate: .mp4")] = None,
    restore: Annotated[
        bool, typer.Option("--restore", help="show a restored face beside each face in the overlay")
    ] = False,
    start: Annotated[float, typer.Option(help="seconds of the source to skip")] = 0.0,
    duration: Annotated[
        float, typer.Option(help="seconds of the source to read [default: all]", show_default=False)
    ] = math.inf,
    fps: Annotated[float, typer.Option(help="maximum frames per second [default: all]", show_default=False)] = math.inf,
    median: Annotated[
        float | None,
        typer.Option(help="replace valence and arousal by their median over so many seconds, against blinks (try 0.6)"),
    ] = None,
    resample: Annotated[
        float | None, typer.Option(help="rows per second of the trace [default: a row for each face that was received]")
    ] = None,
    resample_how: Annotated[
        How, typer.Option(help="how to fill in between faces: smooth, linear or hold (as a live receiver must)")
    ] = "smooth",
    expressions: Expressions = False,
    faces: Faces = "primary",
    model: ModelName = DEFAULT_MODEL,
    threads: Threads = 1,
) -> None:
    """Estimate valence and arousal from a face stream or any video."""
    with progress_bar("reading") as progress:
        trace = lowbeam.read(
            source, out=out, plot=plot, overlay=overlay, restore=restore, faces=faces, model=model, threads=threads,
            start_s=start, duration_s=duration, fps=fps, median_s=median, resample_fps=resample,
            resample_how=resample_how, expressions=expressions, progress=progress,
        )  # fmt: skip
    if trace.cut_at_s is not None:
        say(f"{trace.source} was cut: the trace ends at {trace.cut_at_s:.3f} s")


@app.command(epilog="Example: lowbeam demo --video call.mp4 -o demo-out")
def demo(
    video: Annotated[str | None, typer.Option(help="a video file [default: the shipped clip]")] = None,
    out: Annotated[str, typer.Option("-o", "--out", help="output folder")] = "demo-out",
) -> None:
    """Pack a clip within three budgets, read each face stream, and show the results on a page."""
    from lowbeam.demo import TABLE_HEADINGS, table_row
    from lowbeam.demo import demo as run_demo

    with progress_bar("demo") as progress:
        done = run_demo(video, out, progress=progress)
    print_table(TABLE_HEADINGS, [table_row(result) for result in done.results])
    print(f"CCC is measured against the {done.reference.name}. Open {done.page}; all files are beside it.")


MOST_POINTS = 10  # of a report that are printed
AsJson = Annotated[bool, typer.Option("--json", help="print JSON")]


@app.command(epilog="Example: lowbeam models --card accurate")
def models(
    card: Annotated[str | None, typer.Option(help="print the model card of this model")] = None, as_json: AsJson = False
) -> None:
    """List the shipped models with their accuracy."""
    if card is not None:
        if card not in shipped_models():
            raise UsageError(f"model {card} is not one of {', '.join(shipped_models())}")
        print((WEIGHTS / f"{card}.md").read_text(encoding="utf-8"))
        return
    found = {name: json.loads((WEIGHTS / f"{name}.json").read_text()) for name in shipped_models()}
    if as_json:
        files = {name: WEIGHTS / f"{name}.onnx" for name in found}
        print(json.dumps({
            name: {"file": str(files[name]), "bytes": files[name].stat().st_size, "figures": results}
            for name, results in found.items()
        }, indent=1))  # fmt: skip
        return
    for name, results in found.items():
        print(f"{name}  {(WEIGHTS / f'{name}.onnx').stat().st_size / 1e6:.1f} MB  card: {WEIGHTS / f'{name}.md'}")
        print_results(results, only=f"lowbeam {name}")


@app.command(epilog="Example: lowbeam info")
def info(as_json: AsJson = False) -> None:
    """Show what is installed: versions, codecs, cores and models."""
    import av
    import numpy
    import onnxruntime

    found = {
        "lowbeam": lowbeam.__version__, "Python": sys.version.split()[0], "PyAV": av.__version__,
        "libavcodec": ".".join(map(str, av.library_versions["libavcodec"])),
        "ONNX Runtime": onnxruntime.__version__,
        "providers": onnxruntime.get_available_providers(), "NumPy": numpy.__version__,
        "codecs": available_codecs(), "cores": os.cpu_count(), "models": shipped_models(),
    }  # fmt: skip
    if as_json:
        print(json.dumps(found, indent=1))
        return
    codecs = ", ".join(f"{name}{'' if there else ' (missing)'}" for name, there in available_codecs().items())
    rows = [(name, ", ".join(value) if isinstance(value, list) else str(value)) for name, value in found.items()]
    print_table(("item", "value"), [(name, codecs if name == "codecs" else value) for name, value in rows])


def packets_line(report: BudgetReport) -> str:
    """How samples of a compact codec are sent."""
    point = report.chosen[0][1]
    return f"{point.codec}, {point.fps:g} samples/s, {report.latency_s:.3g} s in a packet"


def say_report(report: BudgetReport) -> None:
    """Report on standard error how a budget was kept."""
    counted = {"wire": "on the wire", "payload": "of video", "file": "in the file", "link": "on the link"}[
        report.budget.counts
    ]
    asked, most = f"{report.budget.bps / 1000:g} kbit/s {counted}", f"{report.most_bps / 1000:.2f} kbit/s"
    if not report.is_reachable:
        say(f"{asked} is less than one face in ten seconds needs; at most {most} in any ten seconds")
    else:
        say(f"{asked}: at most {most} in any ten seconds")
    for time_s, point in report.chosen[:MOST_POINTS]:
        say(f"from {time_s:.1f} s: {point if not report.latency_s else packets_line(report)}")
    if report.lean is not None:
        say(f"beside it, within {report.lean.budget.bps / 1000:g} kbit/s: {packets_line(report.lean)}")
    if len(report.chosen) > MOST_POINTS:
        say(f"and {len(report.chosen) - MOST_POINTS} more changes")
    if report.held_back:
        what = "samples" if report.latency_s else "faces"
        say(f"{report.held_back} {what} were not sent, to keep to the budget")
    if (kept := report.expected) is not None:
        say(
            f"expected CCC: {kept.real:.2f} with uncoded estimates (real people), {kept.rendered:.2f} (rendered people)"
        )
