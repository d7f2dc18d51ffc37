"""The command line: each command is a thin call of the function of the same name."""

import json
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, ProgressColumn, SpinnerColumn, Task, TextColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text
from typer.exceptions import TyperException

import lowbeam
from lowbeam.codec import OperatingPoint, available_codecs
from lowbeam.errors import LowbeamError, UsageError
from lowbeam.files import check_outputs, make_folder, whole_file
from lowbeam.pipeline import FacesChoice, Kept
from lowbeam.recognize import DEFAULT_MODEL, WEIGHTS, shipped_models
from lowbeam.trace import check_figure_format, check_format

app = typer.Typer(
    name="lowbeam", add_completion=False, rich_markup_mode=None,
    help="Read emotion (valence and arousal over time) from face video that a thin link can carry.",
)  # fmt: skip
evaluate = typer.Typer(help="Measure systems, and write what was found.")
app.add_typer(evaluate, name="evaluate")
corpus_app = typer.Typer(help="Make corpora.")
app.add_typer(corpus_app, name="corpus")
DEFAULT_POINT = OperatingPoint()
INTERRUPTED = 130  # exit status after Ctrl-C: 128 and the signal's number

Source = Annotated[str, typer.Argument(help="a video file, camera:0, an rtsp or http URL, or - for standard input")]

Faces = Annotated[FacesChoice, typer.Option(help="primary: the largest, longest-lived face; all: every face")]
DetectorName = Annotated[str, typer.Option("--detector", help="dlib, or yunet:PATH with YuNet's ONNX file")]
Threads = Annotated[int, typer.Option(help="cores that the recognizer may use")]
ModelName = Annotated[str, typer.Option("--model", help="name of a model that ships, or an ONNX file")]
FerPlus = Annotated[Path, typer.Option("--corpus", help="FER+ folder")]
Corpus = Annotated[
    str,
    typer.Option("--corpus", help="KIND:PATH, ferplus, avec2016, afew-va, aff-wild2 or manifest; a bare path is FER+"),
]


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


@app.command(epilog="Example: lowbeam models --card one-for-all")
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


@app.command(epilog="Example: lowbeam table --corpus ../shared/data/ferplus -o table.json")
def table(
    corpus: Corpus,
    model: ModelName = DEFAULT_MODEL,
    split: Annotated[str, typer.Option(help="test for reporting; valid for choosing")] = "test",
    threads: Threads = 1,
    out: Annotated[str | None, typer.Option("-o", "--out", help="results as JSON")] = None,
) -> None:
    """Measure a model at every scale: RMSE, CC and CCC; beside it `fer`, where it is installed."""
    from lowbeam.evaluate.table import table as measure_table

    with progress_bar("measuring") as progress:
        done = 0

        def step() -> None:
            nonlocal done
            done += 1
            if progress is not None:
                progress(done, None)

        results = measure_table(corpus, model=model, split=split, threads=threads, progress=step)
    print_results(results)
    if out is not None:
        with whole_file(out) as beside:
            beside.write_text(json.dumps(results, indent=1) + "\n")


@app.command(epilog="Example: lowbeam train one-for-all --corpus ../shared/data/ferplus -o runs/one-for-all")
def train(
    recipe: Annotated[str, typer.Argument(help="a recipe file (YAML), or the name of one that ships")],
    corpus: FerPlus,
    out: Annotated[Path, typer.Option("-o", "--out", help="folder for checkpoints, logs and the ONNX file")],
    video: Annotated[
        list[str] | None, typer.Option(help="recordings, KIND:PATH, of a recipe for video; may be given again")
    ] = None,
    start: Annotated[
        Path | None, typer.Option(help="of a recipe for video: folder of a finished run of one-for-all to start from")
    ] = None,
) -> None:
    """Train a model; a run that was killed goes on where it was."""
    with _needs("train"):
        from lowbeam.train.recipe import load_recipe
        from lowbeam.train.video.recipe import load_video_recipe, video_recipe_path

        video_recipe = video_recipe_path(recipe)
        if video_recipe is None and (video or start):
            raise UsageError(f"recipe {recipe} is not one for video: --video and --start are not for it")
        if video_recipe is None:
            loaded = load_recipe(recipe)
            from lowbeam.train.run import train as run_training  # Lightning takes seconds to import

            print(run_training(loaded, corpus, out))
            return
        for_video = load_video_recipe(video_recipe)
        from lowbeam.train.video.run import train_video
    with progress_bar("preparing") as progress:
        print(train_video(for_video, corpus, video or [], out, start=start, say=say, progress=progress))


@app.command(epilog="Example: lowbeam replicate reduced --corpus ../shared/data/ferplus -o runs/paper --minutes 110")
def replicate(
    experiment: Annotated[str, typer.Argument(help="full, reduced, restoration, … or an experiment file (YAML)")],
    corpus: Corpus,
    out: Annotated[Path, typer.Option("-o", "--out", help="folder for networks, logs and figures")],
    results: Annotated[Path | None, typer.Option(help="folder in which all that is finished is gathered")] = None,
    system: Annotated[list[str] | None, typer.Option(help="only this system; may be given again")] = None,
    scale: Annotated[list[int] | None, typer.Option(help="only this scale S; may be given again")] = None,
    seed: Annotated[list[int] | None, typer.Option(help="only this seed; may be given again")] = None,
    minutes: Annotated[float | None, typer.Option(help="stop after this time; the same command goes on")] = None,
    device: Annotated[str | None, typer.Option(help="cpu or cuda; else what there is")] = None,
    threads: Annotated[int | None, typer.Option(min=1, help="cores that training may use on the CPU")] = None,
) -> None:
    """Carry out the experiment of Cheng et al. 2017, or a part of it, or go on with it."""
    with _needs("train"):
        import torch

        from lowbeam.evaluate.paper.replicate import replicate as run_replication
    if threads is not None:
        torch.set_num_threads(threads)
    with progress_bar("cutting faces") as progress:
        run_replication(
            experiment, corpus, out, results=results, systems=system or (), scales=scale or (), seeds=seed or (),
            minutes=minutes, device=device, say=say, progress=progress,
        )  # fmt: skip


@app.command(epilog="Example: lowbeam curve avec2016:people --codecs hevc --fps 25,5,1 --workers 2 -o runs/curve")
def curve(
    corpus: Annotated[str, typer.Argument(help="recordings with labels, KIND:PATH")],
    out: Annotated[Path, typer.Option("-o", "--out", help="folder for results.json and curve.html")],
    codecs: Annotated[str, typer.Option(help="commas between")] = "hevc,avc,av1,vp9",
    scales: Annotated[str, typer.Option(help="commas between")] = "1,2,3,4,6,8,12,16",
    qps: Annotated[str, typer.Option(help="commas between; each on its codec's own scale")] = "22,27,32,37,42,47",
    fps: Annotated[str, typer.Option(help="commas between")] = "25,12.5,5,2.5,1",
    models: Annotated[
        str, typer.Option(help="MODEL or NAME=MODEL, commas between: a name, MODEL/each, an ONNX file, fer")
    ] = f"{DEFAULT_MODEL},{DEFAULT_MODEL}/each",
    split: Annotated[str, typer.Option(help="test for reporting; valid for choosing")] = "test",
    cache: Annotated[Path | None, typer.Option(help="folder for what is coded and read; else ~/.cache/lowbeam")] = None,
    workers: Annotated[int, typer.Option(min=1, max=256, help="processes that share the work")] = 1,
) -> None:
    """Measure what emotion costs: CCC over bits at every operating point; goes on where it was stopped."""
    from lowbeam.evaluate.curve.grid import parse_grid
    from lowbeam.evaluate.curve.results import write_results
    from lowbeam.evaluate.curve.sweep import sweep
    from lowbeam.evaluate.curve.systems import parse_systems

    grid, systems = parse_grid(codecs, scales, qps, fps), parse_systems(models)
    with _needs("curve"):
        from lowbeam.evaluate.curve.interactive import write_interactive
    make_folder(out)
    with progress_bar("measuring") as progress:
        results = sweep(corpus, grid, systems, split=split, cache=cache, workers=workers, progress=progress)
        write_results(results, out / "results.json")
        write_interactive(results, out / "curve.html")
    for failure in results["failed"]:
        say(f"not measured: {failure['point']}: {failure['reason']}")
    say(f"{out}: {len(results['points'])} points over {results['seconds'] / 60:.1f} minutes; open {out / 'curve.html'}")


@evaluate.command("paper", epilog="Example: lowbeam evaluate paper --results docs/replication -o docs/replication.md")
def evaluate_paper(
    results: Annotated[Path, typer.Option(help="folder that lowbeam replicate gathered results in")],
    out: Annotated[Path, typer.Option("-o", "--out", help="the page (Markdown); its plots go beside the results")],
) -> None:
    """Judge the paper's claims by what was measured, and write the page."""
    with _needs("train"):
        from lowbeam.evaluate.paper.page import write_page
    print(write_page(results, out))


@corpus_app.command(
    "render", epilog="Example: lowbeam corpus render people --face-model ../shared/data/ict_face.npz --workers 2"
)
def corpus_render(
    out: Annotated[Path, typer.Argument(help="folder for the corpus, in the layout of AVEC 2016")],
    face_model: Annotated[str, typer.Option(help="ict_face.npz, or a clone of the public ICT-FaceKit")],
    subjects: Annotated[int, typer.Option(help="people; train, dev and test share none")] = 24,
    minutes: Annotated[float, typer.Option(help="minutes of each person")] = 2.0,
    fps: Annotated[float, typer.Option(help="frames a second")] = 25.0,
    size: Annotated[int, typer.Option(help="side of the picture in pixels")] = 192,
    seed: Annotated[int, typer.Option(help="the same seed gives the same corpus")] = 7,
    workers: Annotated[int, typer.Option(help="processes that share the work")] = 1,
) -> None:
    """Render talking people with the valence and arousal that move their faces."""
    with _needs("render"):
        from lowbeam.corpora.rendered.write import Settings, render_corpus
    with progress_bar("rendering") as progress:
        manifest = render_corpus(
            out, face_model, Settings(subjects, minutes, fps, size, seed), workers=workers, progress=progress
        )
    say(f"{out}: {len(manifest['people'])} people, {subjects * minutes:g} minutes; open it as --corpus avec2016:{out}")


@contextmanager
def _needs(extra: str) -> Iterator[None]:
    try:
        yield
    except ImportError as error:
        raise UsageError(f"this needs {error.name}: pip install 'lowbeam[{extra}]'") from error


class _FramesPerSecond(ProgressColumn):
    def render(self, task: Task) -> Text:
        return Text(f"{task.speed or 0:.0f} frames/s")


@contextmanager
def progress_bar(doing: str) -> Iterator[Any]:
    """A progress bar on standard error, as the `progress` argument of `pack` and `read`; None where that is no
    terminal."""
    if not sys.stderr.isatty():
        yield None
        return
    columns = (
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(),
        _FramesPerSecond(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(stderr=True), transient=True,
    ) as bar:  # fmt: skip
        task = bar.add_task(doing, total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)


def say(text: str) -> None:
    """A note to the user, on standard error."""
    with suppress(OSError):
        print(text, file=sys.stderr)


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


def print_table(headings: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> None:
    """A table on standard output, as wide as it needs to be."""
    grid = Table(box=None, pad_edge=False, header_style="bold")
    for index, heading in enumerate(headings):
        grid.add_column(heading, justify="left" if index == 0 else "right", no_wrap=True)
    for row in rows:
        grid.add_row(*row)
    Console(width=None if sys.stdout.isatty() else 160, highlight=False).print(grid)


def print_results(results: dict[str, Any], only: str | None = None) -> None:
    """The table of `lowbeam.evaluate.table.table`."""
    rows = []
    for system, by_scale in results["systems"].items():
        if only is not None and system != only:
            continue
        for scale, scored in by_scale.items():
            cells = [f"{scored[v][m]:.3f}" for v in ("valence", "arousal") for m in ("rmse", "cc", "ccc")]
            rows.append((system, scale, f"{96 // int(scale)}", *cells))
    print(f"{results['corpus']} {results['split']}, {results['faces']} faces")
    headings = ("system", "s", "px", "V rmse", "V cc", "V ccc", "A rmse", "A cc", "A ccc")
    print_table(headings, rows)


def main() -> None:
    """Entry point: every error is one line on standard error and exit status 2."""
    for name in ("stdin", "stdout", "stderr"):
        if getattr(sys, name) is None:  # closed by whoever started us
            setattr(sys, name, Path(os.devnull).open("r+"))  # noqa: SIM115  (for as long as the program runs)
    try:
        status = typer.main.get_command(app).main(args=sys.argv[1:] or ["--help"], standalone_mode=False)
        sys.stdout.flush()
    except LowbeamError as error:
        _fail(str(error))
    except TyperException as error:
        _fail(getattr(error, "format_message", error.__str__)())
    except OSError as error:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # what is left in its buffer has nowhere to go
        _fail(f"{error.filename or 'standard output'}: {(error.strerror or str(error)).lower()}")
    else:
        if status == INTERRUPTED:
            say("lowbeam: interrupted; no half file is left")
        sys.exit(status)


def _fail(message: str) -> None:
    say(f"lowbeam: {' '.join(message.split())}")
    sys.exit(2)


if __name__ == "__main__":
    main()
