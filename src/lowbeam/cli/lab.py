"""Commands of the lab: measure models on labelled corpora."""

import json
import shlex
import sys
from contextlib import suppress
from pathlib import Path
from typing import Annotated, Any

import typer

from lowbeam.cli.options import (
    ALL_QPS,
    ALL_SCALES,
    BudgetOf,
    Cache,
    Codecs,
    Corpus,
    FrameRates,
    ModelName,
    Models,
    Qps,
    Ray,
    Recordings,
    Scales,
    Split,
    Threads,
    TruthOption,
    Workers,
    team,
)
from lowbeam.cli.show import Commands, needs, print_budgets, print_results, progress_bar, say
from lowbeam.files import check_outputs, make_folder, whole_file
from lowbeam.recognize import DEFAULT_MODEL, shipped_weights

app = Commands()
DEFAULT_MODELS = f"{DEFAULT_MODEL},{DEFAULT_MODEL}/each"


@app.command(epilog="Example: lowbeam table --corpus ferplus --model accurate --model my.onnx -o table.json")
def table(
    corpus: Corpus,
    model: Annotated[
        list[str] | None, typer.Option(help="name of a shipped model, or an ONNX file; repeatable")
    ] = None,
    split: Split = "test",
    threads: Threads = 1,
    out: Annotated[str | None, typer.Option("-o", "--out", help="results as JSON")] = None,
    recordings: Annotated[
        bool, typer.Option("--recordings", help="print a row for each recording, also if there are many")
    ] = False,
) -> None:
    """Measure models at every scale, on the same faces: RMSE, CC and CCC with its 95 % confidence interval; also `fer`,
    if it is installed."""
    from lowbeam.evaluate.table import table as measure_table

    with progress_bar("measuring", "scales") as progress:
        done = 0

        def step() -> None:
            nonlocal done
            done += 1
            if progress is not None:
                progress(done, None)

        models = model or [DEFAULT_MODEL]
        results = measure_table(corpus, models=models, split=split, threads=threads, progress=step)
    print_results(results, all_recordings=recordings)
    if out is not None:
        _write_json(out, results | {"weights": shipped_weights()})


@app.command(epilog="Example: lowbeam curve avec2016:people --codecs hevc --fps 25,5,1 --workers 2 -o runs/curve")
def curve(
    corpus: Recordings,
    out: Annotated[Path, typer.Option("-o", "--out", help="folder for results.json and curve.html")],
    codecs: Codecs = "hevc,avc,av1,vp9",
    scales: Scales = ALL_SCALES,
    qps: Qps = ALL_QPS,
    fps: FrameRates = "25,12.5,5,2.5,1",
    models: Models = DEFAULT_MODELS,
    split: Split = "test",
    truth: TruthOption = "labels",
    cache: Cache = None,
    workers: Workers = None,
    ray: Ray = None,
) -> None:
    """Measure CCC against bit rate at every operating point; an interrupted run continues."""
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
            results = sweep(
                corpus, grid, systems, split=split, truth=truth, cache=cache, progress=progress, **team(workers, ray)
            )
    except BaseException:
        with suppress(OSError):
            out.rmdir()  # where it is empty
        raise
    write_results(results | _origin(), out / "results.json")
    write_interactive(results, out / "curve.html")
    for failure in results["failed"]:
        say(f"not measured: {failure['point']}: {failure['reason']}")
    say(f"{out}: {len(results['points'])} points over {results['seconds'] / 60:.1f} minutes; open {out / 'curve.html'}")


@app.command(epilog="Example: lowbeam budgets videos:calls --truth self -o budgets.json")
def budgets(
    corpus: Recordings,
    out: Annotated[Path | None, typer.Option("-o", "--out", help="results as JSON")] = None,
    budget: Annotated[str, typer.Option("--budgets", help="bit rates, separated by commas")] = (
        "1kbps,2kbps,4kbps,8kbps,16kbps"
    ),
    budget_of: BudgetOf = "wire",
    codec: Annotated[
        str | None,
        typer.Option(help="hevc, avc, av1, vp9, features or estimates [default: pixels, the best for each budget]"),
    ] = None,
    layers: Annotated[
        str | None, typer.Option(help="two layers, the lean one of estimates, such as estimates,pixels")
    ] = None,
    model: ModelName = DEFAULT_MODEL,
    split: Split = "test",
    truth: TruthOption = "labels",
    cache: Cache = None,
    workers: Workers = None,
    ray: Ray = None,
) -> None:
    """Measure what `lowbeam pack --budget` keeps of recordings: the CCC of held, joined and smoothed estimates."""
    from lowbeam.codec.budget import parse_budget
    from lowbeam.evaluate.curve.budgets import measure_budgets

    if out is not None:
        check_outputs(corpus, out)
    wanted = [parse_budget(word, budget_of) for word in budget.split(",")]
    with progress_bar("measuring", "recordings") as progress:
        results = measure_budgets(
            corpus, wanted, model, split=split, truth=truth, codec=codec, layers=layers, cache=cache,
            progress=progress, **team(workers, ray),
        )  # fmt: skip
    print_budgets(results)
    if out is not None:
        _write_json(out, results | _origin())


def _origin() -> dict[str, Any]:
    """The command that is running and the weights that ship, to be stored with its results."""
    return {"command": shlex.join(["lowbeam", *sys.argv[1:]]), "weights": shipped_weights()}


def _write_json(path: str | Path, results: dict[str, Any]) -> None:
    with whole_file(path) as beside:
        beside.write_text(json.dumps(results, indent=1) + "\n")
