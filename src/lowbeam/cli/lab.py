"""Commands of the lab: measure, and write what was found."""

import json
import shlex
import sys
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import typer

from lowbeam.cli.options import ANY_CORPUS, RECORDED, Corpus, ModelName, Recordings, Threads
from lowbeam.cli.show import (
    Commands,
    needs,
    operating_table_line,
    print_by_side,
    print_checks,
    print_followed,
    print_results,
    progress_bar,
    say,
)
from lowbeam.files import check_outputs, make_folder, whole_file
from lowbeam.recognize import DEFAULT_MODEL

app = Commands()
evaluate = Commands(help="Measure systems, and write what was found.")


@app.command(epilog="Example: lowbeam table --corpus ferplus -o table.json")
def table(
    corpus: Corpus,
    model: ModelName = DEFAULT_MODEL,
    split: Annotated[str, typer.Option(help="test for reporting; valid for choosing")] = "test",
    threads: Threads = 1,
    out: Annotated[str | None, typer.Option("-o", "--out", help="results as JSON")] = None,
    recordings: Annotated[
        bool, typer.Option("--recordings", help="print a row for each recording, however many there are")
    ] = False,
) -> None:
    """Measure a model at every scale: RMSE, CC and CCC with its 95 % confidence interval; beside it `fer`, where it is
    installed."""
    from lowbeam.evaluate.table import table as measure_table

    with progress_bar("measuring", "scales") as progress:
        done = 0

        def step() -> None:
            nonlocal done
            done += 1
            if progress is not None:
                progress(done, None)

        results = measure_table(corpus, model=model, split=split, threads=threads, progress=step)
    print_results(results, all_recordings=recordings)
    if out is not None:
        _write_json(out, results)


Codecs = Annotated[str, typer.Option(help="commas between")]
Scales = Annotated[str, typer.Option(help="commas between")]
Qps = Annotated[str, typer.Option(help="commas between; each on its codec's own scale")]
Models = Annotated[str, typer.Option(help="MODEL or NAME=MODEL, commas between: a name, MODEL/each, an ONNX file, fer")]
OnnxModels = Annotated[
    str, typer.Option("--models", help="MODEL or NAME=MODEL, commas between: a name, MODEL/each, an ONNX file")
]
Split = Annotated[str, typer.Option(help="test for reporting; valid for choosing")]
Results = Annotated[Path, typer.Option("-o", "--out", help="results as JSON")]
ALL_SCALES, ALL_QPS = "1,2,3,4,6,8,12,16", "22,27,32,37,42,47"
DEFAULT_MODELS = f"{DEFAULT_MODEL},{DEFAULT_MODEL}/each"


@app.command(epilog="Example: lowbeam curve avec2016:people --codecs hevc --fps 25,5,1 --workers 2 -o runs/curve")
def curve(
    corpus: Recordings,
    out: Annotated[Path, typer.Option("-o", "--out", help="folder for results.json and curve.html")],
    codecs: Codecs = "hevc,avc,av1,vp9",
    scales: Scales = ALL_SCALES,
    qps: Qps = ALL_QPS,
    fps: Annotated[str, typer.Option(help="commas between")] = "25,12.5,5,2.5,1",
    models: Models = DEFAULT_MODELS,
    split: Split = "test",
    cache: Annotated[Path | None, typer.Option(help="folder for what is coded and read; else ~/.cache/lowbeam")] = None,
    workers: Annotated[int, typer.Option(min=1, max=256, help="processes that share the work")] = 1,
) -> None:
    """Measure what emotion costs: CCC over bits at every operating point; goes on where it was stopped."""
    from lowbeam.evaluate.curve.grid import parse_grid
    from lowbeam.evaluate.curve.results import write_results
    from lowbeam.evaluate.curve.sweep import sweep
    from lowbeam.evaluate.curve.systems import parse_systems

    grid, systems = parse_grid(codecs, scales, qps, fps), parse_systems(models)
    with needs("curve"):
        from lowbeam.evaluate.curve.interactive import write_interactive
    make_folder(out)
    try:
        with progress_bar("measuring", "recordings") as progress:
            results = sweep(corpus, grid, systems, split=split, cache=cache, workers=workers, progress=progress)
    except BaseException:
        with suppress(OSError):
            out.rmdir()  # where it is empty
        raise
    write_results(results | {"command": _command()}, out / "results.json")
    write_interactive(results, out / "curve.html")
    for failure in results["failed"]:
        say(f"not measured: {failure['point']}: {failure['reason']}")
    say(f"{out}: {len(results['points'])} points over {results['seconds'] / 60:.1f} minutes; open {out / 'curve.html'}")


@evaluate.command("stills", epilog="Example: lowbeam evaluate stills --corpus ferplus -o stills.json")
def evaluate_stills(
    corpus: Corpus,
    out: Results,
    codecs: Codecs = "hevc",
    scales: Scales = "1,4,8,16",
    qps: Qps = ALL_QPS,
    models: Models = DEFAULT_MODEL,
    split: Split = "test",
) -> None:
    """Measure readings of stills that were really coded, each by itself, at every scale and QP."""
    from lowbeam.evaluate.curve.grid import parse_grid
    from lowbeam.evaluate.curve.stills import measure_stills
    from lowbeam.evaluate.curve.systems import parse_systems

    check_outputs(corpus, out)
    grid, systems = parse_grid(codecs, scales, qps, "1"), parse_systems(models)
    results = _measured_into(out, partial(measure_stills, corpus, grid, systems, split=split), "points")
    print_by_side(
        results, "coded by", lambda row: "nothing" if row["codec"] is None else f"{row['codec']} QP {row['qp']}"
    )


@evaluate.command("framing", epilog="Example: lowbeam evaluate framing --corpus ferplus -o framing.json")
def evaluate_framing(
    corpus: Corpus,
    out: Results,
    scales: Scales = "1,4,8,16",
    models: Models = DEFAULT_MODEL,
    split: Split = "test",
) -> None:
    """Measure what boxes cost that are off by a tenth of the face."""
    from lowbeam.evaluate.curve.grid import parse_grid
    from lowbeam.evaluate.curve.systems import parse_systems
    from lowbeam.evaluate.framing import measure_framing

    check_outputs(corpus, out)
    grid, systems = parse_grid("hevc", scales, "27", "1"), parse_systems(models)
    measure = partial(measure_framing, corpus, systems, grid.scales, split=split)
    print_by_side(_measured_into(out, measure, "measurements"), "box is off by", lambda row: row["error"])


@evaluate.command("followed", epilog="Example: lowbeam evaluate followed avec2016:people -o followed.json")
def evaluate_followed(
    corpus: Recordings,
    out: Results,
    codecs: Codecs = "hevc",
    scales: Scales = "1,4,8",
    qps: Qps = "27,37",
    fps: Annotated[str, typer.Option(help="commas between")] = "12.5,5,1",
    models: OnnxModels = DEFAULT_MODEL,
    split: Split = "test",
) -> None:
    """Measure how honest deviations are where people are followed through coded video."""
    from lowbeam.evaluate.curve.grid import parse_grid
    from lowbeam.evaluate.curve.systems import parse_systems
    from lowbeam.evaluate.followed import measure_followed

    check_outputs(corpus, out)
    grid, systems = parse_grid(codecs, scales, qps, fps), parse_systems(models, only_with_deviations=True)
    print_followed(_measured_into(out, partial(measure_followed, corpus, grid, systems, split=split), "points"))


@evaluate.command(
    "corpus",
    epilog="Example: lowbeam evaluate corpus avec2016:people --real ferplus "
    "--of-rendered runs/rendered-only/rendered-only.onnx --of-real runs/one-for-all/one-for-all.onnx -o corpus.json",
)
def evaluate_corpus(
    rendered: Annotated[str, typer.Argument(help=f"rendered people, {RECORDED}")],
    real: Annotated[str, typer.Option(help=f"real faces, {ANY_CORPUS}")],
    of_rendered: Annotated[str, typer.Option(help="a model that was trained on rendered people alone")],
    of_real: Annotated[str, typer.Option(help="a model that was trained on real faces alone")],
    out: Results,
    sheet: Annotated[Path, typer.Option(help="picture of the rendered people: .png")] = Path("people.png"),
) -> None:
    """Measure what rendered people are worth: each corpus read by what the other taught."""
    from lowbeam.evaluate.curve.corpus_check import check_corpus

    check_outputs(rendered, out, sheet)
    results = check_corpus(rendered, real, of_rendered, of_real, sheet)
    _write_json(out, results | {"command": _command()})
    print_checks(results["checks"])


@evaluate.command(
    "operating-table", epilog="Example: lowbeam evaluate operating-table valid/results.json -o table.json"
)
def evaluate_operating_table(
    results: Annotated[Path, typer.Argument(help="results.json of lowbeam curve --split valid")], out: Results
) -> None:
    """Write the table that `lowbeam pack --budget` chooses from: the points that no other beats."""
    from lowbeam.evaluate.curve.results import read_results
    from lowbeam.evaluate.curve.statements import operating_table

    check_outputs(results, out)
    table = operating_table(read_results(results))
    _write_json(out, table)
    print(operating_table_line(table))


@evaluate.command(
    "curve", epilog="Example: lowbeam evaluate curve --results docs/rate-distortion -o docs/rate-distortion.md"
)
def evaluate_curve(
    results: Annotated[Path, typer.Option(help="folder that lowbeam curve wrote, or that holds all files of the page")],
    out: Annotated[Path, typer.Option("-o", "--out", help="the page (Markdown); its plots go beside the results")],
) -> None:
    """Write the page on rate and distortion from what was measured."""
    with needs("curve"):
        from lowbeam.evaluate.curve.sweep_page import write_curve_page
    print(write_curve_page(results, out))


@evaluate.command("paper", epilog="Example: lowbeam evaluate paper --results docs/replication -o docs/replication.md")
def evaluate_paper(
    results: Annotated[Path, typer.Option(help="folder that lowbeam replicate gathered results in")],
    out: Annotated[Path, typer.Option("-o", "--out", help="the page (Markdown); its plots go beside the results")],
) -> None:
    """Judge the paper's claims by what was measured, and write the page."""
    with needs("train"):
        from lowbeam.evaluate.paper.page import write_page
    print(write_page(results, out))


def _measured_into(out: Path, measure: Callable[..., dict[str, Any]], unit: str) -> dict[str, Any]:
    """Write what `measure` finds, counting `unit`, and the command beside it; returns what it found."""
    with progress_bar("measuring", unit) as progress:
        results = measure(progress=progress)
    _write_json(out, results | {"command": _command()})
    return results


def _command() -> str:
    """The command that is running, to stand beside what it measures."""
    return shlex.join(["lowbeam", *sys.argv[1:]])


def _write_json(path: str | Path, results: dict[str, Any]) -> None:
    with whole_file(path) as beside:
        beside.write_text(json.dumps(results, indent=1) + "\n")
