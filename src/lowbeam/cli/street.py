"""Commands of the street: pack, read, and what shows them."""

import json
import os
import sys
from typing import Annotated

import typer

import lowbeam
from lowbeam.cli.options import DetectorName, Faces, ModelName, Source, Threads
from lowbeam.cli.show import print_results, print_table, progress_bar, say
from lowbeam.codec import OperatingPoint, available_codecs
from lowbeam.errors import UsageError
from lowbeam.files import check_outputs
from lowbeam.pipeline import Kept
from lowbeam.recognize import DEFAULT_MODEL, WEIGHTS, shipped_models
from lowbeam.trace import check_figure_format, check_format

app = typer.Typer()
DEFAULT_POINT = OperatingPoint()


@app.command(epilog="Example: lowbeam pack call.mp4 -o face.mkv --scale 8 --qp 32")
def pack(
    source: Source,
    out: Annotated[str, typer.Option("-o", "--out", help="the face stream (Matroska), or - for standard output")],
    scale: Annotated[
        int | None,
        typer.Option(help=f"downsampling factor: 1, 2, 3, 4, 6, 8, 12 or 16 [default: {DEFAULT_POINT.scale}]"),
    ] = None,
    codec: Annotated[str | None, typer.Option(help=f"hevc, avc, av1 or vp9 [default: {DEFAULT_POINT.codec}]")] = None,
    qp: Annotated[
        int | None, typer.Option(help=f"quantisation: 0 to 51 (hevc, avc) or 63 [default: {DEFAULT_POINT.qp}]")
    ] = None,
    fps: Annotated[
        float | None, typer.Option(help=f"most frames a second that are sent [default: {DEFAULT_POINT.fps:g}]")
    ] = None,
    budget: Annotated[
        str | None, typer.Option(help="choose and go on choosing so that no ten seconds hold more: 3kbps, 800bps")
    ] = None,
    budget_of: Annotated[str, typer.Option(help="wire: RTP/UDP/IPv4 packets; payload: the video alone")] = "wire",
    faces: Faces = "primary",
    detector: DetectorName = "dlib",
) -> None:
    """Find the face in a video, shrink it, and code it to a few kilobits a second."""
    with progress_bar("packing") as progress:
        packed = lowbeam.pack(
            source, out, scale=scale, codec=codec, qp=qp, fps=fps, budget=budget, budget_of=budget_of, faces=faces,
            detector=detector, progress=progress,
        )  # fmt: skip
    say(
        f"{out}: {packed.coded} faces in {packed.tracks} track{'s' * (packed.tracks != 1)}, {packed.point}, "
        f"{packed.rate_bps / 1000:.2f} kbit/s"
    )
    if packed.kept is not None:
        say_kept(packed.kept)
    if packed.left_out:
        say(f"{packed.left_out} faces of the least presence were left out: a face stream holds {packed.tracks}")


@app.command(epilog="Example: lowbeam read face.mkv -o trace.csv --plot trace.png --overlay out.mp4")
def read(
    source: Annotated[str, typer.Argument(help="a face stream, any video file, camera:0, an rtsp or http URL, or -")],
    out: Annotated[str | None, typer.Option("-o", "--out", help="trace: .csv, .parquet, .json; else stdout")] = None,
    plot: Annotated[str | None, typer.Option(help="picture of the trace: .png, .svg or .pdf")] = None,
    overlay: Annotated[str | None, typer.Option(help="MP4 that shows each face with its reading")] = None,
    restore: Annotated[
        bool, typer.Option("--restore", help="show a restored face beside each, in the overlay")
    ] = False,
    faces: Faces = "primary",
    model: ModelName = DEFAULT_MODEL,
    threads: Threads = 1,
    detector: DetectorName = "dlib",
) -> None:
    """Read valence and arousal from a face stream or any video."""
    if out is not None:
        check_format(out)
    if plot is not None:
        check_figure_format(plot)
    check_outputs(source, out, plot, overlay)
    with progress_bar("reading") as progress:
        trace = lowbeam.read(
            source,
            faces=faces,
            model=model,
            threads=threads,
            detector=detector,
            overlay=overlay,
            restore=restore,
            progress=progress,
        )
    if trace.cut_at_s is not None:
        say(f"{trace.source} was cut: it is read up to {trace.cut_at_s:.3f} s")
    if out is None:
        trace.write_csv(sys.stdout)
    else:
        trace.save(out)
    if plot is not None:
        trace.plot(plot)


@app.command(epilog="Example: lowbeam demo --video call.mp4 -o demo-out")
def demo(
    video: Annotated[str | None, typer.Option(help="your own video; without it, the clip that ships")] = None,
    out: Annotated[str, typer.Option("-o", "--out", help="folder for what is made")] = "demo-out",
) -> None:
    """Pack a clip at three operating points, read each back, and show what is left."""
    from lowbeam.demo import TABLE_HEADINGS, table_row
    from lowbeam.demo import demo as run_demo

    with progress_bar("demo") as progress:
        done = run_demo(video, out, progress=progress)
    print_table(TABLE_HEADINGS, [table_row(result) for result in done.results])
    print(
        f"CCC is held against the {done.reference.name}. Open {done.page}; traces, streams and overlay lie beside it."
    )


@app.command(epilog="Example: lowbeam models --card accurate")
def models(card: Annotated[str | None, typer.Option(help="print the model card of this model")] = None) -> None:
    """List the models that ship, with their figures."""
    if card is not None:
        if card not in shipped_models():
            raise UsageError(f"model {card} does not ship; these do: {', '.join(shipped_models())}")
        print((WEIGHTS / f"{card}.md").read_text(encoding="utf-8"))
        return
    for name in shipped_models():
        results = json.loads((WEIGHTS / f"{name}.json").read_text())
        print(f"{name}  {(WEIGHTS / f'{name}.onnx').stat().st_size / 1e6:.1f} MB  card: {WEIGHTS / f'{name}.md'}")
        print_results(results, only=f"lowbeam {name}")


@app.command(epilog="Example: lowbeam info")
def info() -> None:
    """Say what is installed: versions, codecs, threads."""
    import av
    import dlib
    import numpy
    import onnxruntime

    codecs = ", ".join(f"{name}{'' if there else ' (missing)'}" for name, there in available_codecs().items())
    rows = [
        ("lowbeam", lowbeam.__version__), ("Python", sys.version.split()[0]),
        ("FFmpeg", f"PyAV {av.__version__}, libavcodec {'.'.join(map(str, av.library_versions['libavcodec']))}"),
        ("ONNX Runtime", f"{onnxruntime.__version__}, {', '.join(onnxruntime.get_available_providers())}"),
        ("dlib", dlib.__version__), ("NumPy", numpy.__version__), ("codecs", codecs),
        ("threads", f"{os.cpu_count()} cores; the recognizer uses 1 unless --threads says more"),
        ("models", ", ".join(shipped_models())),
    ]  # fmt: skip
    print_table(("what", "found"), rows)


def say_kept(kept: Kept) -> None:
    """How a budget was kept, on standard error."""
    counted = "on the wire" if kept.budget.counts == "wire" else "of video"
    asked, most = f"{kept.budget.bps / 1000:g} kbit/s {counted}", f"{kept.most_bps / 1000:.2f} kbit/s"
    if not kept.is_reachable:
        say(f"{asked} is below what standard codecs reach; this is the nearest, at up to {most}")
    else:
        say(f"{asked}: at most {most} in any ten seconds")
    for time_s, point in kept.chosen:
        say(f"from {time_s:.1f} s: {point}")
    if kept.held_back:
        say(f"{kept.held_back} faces were held back")
    say(f"CCC to expect, by the operating table: {kept.expected_ccc:.2f}")
