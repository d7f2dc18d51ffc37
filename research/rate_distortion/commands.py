"""Commands that measure rate and distortion, and make the operating table."""

from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from lowbeam.cli.options import (
    ALL_QPS,
    ANY_CORPUS,
    RECORDED,
    Codecs,
    Corpus,
    ModelName,
    Models,
    Qps,
    Scales,
    Split,
    Workers,
)
from lowbeam.cli.show import Commands, needs, print_budgets
from lowbeam.files import check_outputs
from lowbeam.recognize import DEFAULT_MODEL
from research.options import Page, Plots, Results
from research.result_files import measure_into, origin, write_json
from research.show import operating_table_line, print_by_side, print_checks

app = Commands()


@app.command(epilog="Example: python -m research stills --corpus ferplus -o stills.json")
def stills(
    corpus: Corpus,
    out: Results,
    codecs: Codecs = "hevc",
    scales: Scales = "1,4,8,16",
    qps: Qps = ALL_QPS,
    models: Models = DEFAULT_MODEL,
    split: Split = "test",
) -> None:
    """Measure estimates from single coded faces at every scale and QP."""
    from lowbeam.evaluate.curve.grid import parse_grid
    from lowbeam.evaluate.curve.systems import parse_systems
    from research.rate_distortion.coded_stills import measure_stills

    check_outputs(corpus, out)
    grid, systems = parse_grid(codecs, scales, qps, "1"), parse_systems(models)
    results = measure_into(out, partial(measure_stills, corpus, grid, systems, split=split), "points")
    print_by_side(
        results, "coded by", lambda row: "nothing" if row["codec"] is None else f"{row['codec']} QP {row['qp']}"
    )


@app.command(
    epilog="Example: python -m research corpus avec2016:people --real ferplus "
    "--of-rendered runs/rendered-only/rendered-only.onnx --of-real runs/one-for-all/one-for-all.onnx -o corpus.json",
)
def corpus(
    rendered: Annotated[str, typer.Argument(help=f"rendered recordings, {RECORDED}")],
    real: Annotated[str, typer.Option(help=f"real faces, {ANY_CORPUS}")],
    of_rendered: Annotated[str, typer.Option(help="a model trained on rendered faces only")],
    of_real: Annotated[str, typer.Option(help="a model trained on real faces only")],
    out: Results,
    sheet: Annotated[Path, typer.Option(help="picture of the rendered faces: .png")] = Path("people.png"),
) -> None:
    """Measure how models trained on rendered faces generalise to real faces, and vice versa."""
    from research.rate_distortion.corpus_check import check_corpus

    check_outputs(rendered, out, sheet)
    results = check_corpus(rendered, real, of_rendered, of_real, sheet)
    write_json(out, results | origin())
    print_checks(results["checks"])


@app.command(
    "operating-points",
    epilog="Example: python -m research operating-points --real videos:real --rendered avec2016:people -o points.json",
)
def operating_points(
    real: Annotated[str, typer.Option(help=f"recordings of real people without labels, {RECORDED}")],
    rendered: Annotated[str, typer.Option(help=f"rendered people, {RECORDED}; their split valid is used")],
    out: Results,
    codecs: Codecs = "hevc,avc,av1,vp9",
    model: ModelName = DEFAULT_MODEL,
    workers: Workers = 1,
) -> None:
    """Measure rate control at every scale, QP and budget."""
    from research.rate_distortion.operating_table import Corpora, measure_points

    check_outputs(real, out)
    named = tuple(codecs.split(","))
    results = measure_into(out, partial(measure_points, Corpora(real, rendered), named, model, workers or 1), "points")
    print(f"{len(results['rows'])} rows")


@app.command("operating-table", epilog="Example: python -m research operating-table points.json -o table.json")
def operating_table(
    points: Annotated[list[Path], typer.Argument(help="results of python -m research operating-points")], out: Results
) -> None:
    """Write the operating table of `lowbeam pack --budget`: the best scale and QP for each codec and budget."""
    from research.rate_distortion.operating_table import make_operating_table, read_points

    check_outputs(points[0], out)
    table = make_operating_table(read_points(points))
    write_json(out, table)
    print(operating_table_line(table))


@app.command(
    "held-out-budgets", epilog="Example: python -m research held-out-budgets videos:real points.json -o held-out.json"
)
def held_out_budgets(
    real: Annotated[str, typer.Argument(help=f"recordings of real people without labels, {RECORDED}")],
    points: Annotated[Path, typer.Argument(help="results of python -m research operating-points")],
    out: Results,
    workers: Workers = 1,
) -> None:
    """Measure budgets on real people with an operating table that was made of rendered people alone."""
    from lowbeam.codec.budget import Budget
    from lowbeam.codec.operating_table import entries_of
    from lowbeam.evaluate.curve.budgets import measure_budgets
    from research.rate_distortion.budget_shares import RATES_KBPS
    from research.rate_distortion.operating_table import make_operating_table, read_points

    check_outputs(real, out)
    table = entries_of(make_operating_table(read_points([points]), ("rendered",)))
    budgets = [Budget(1000 * kbps) for kbps in RATES_KBPS]
    measure = partial(measure_budgets, real, budgets, DEFAULT_MODEL, truth="self", table=table, workers=workers or 1)
    print_budgets(measure_into(out, measure, "recordings"))


@app.command(
    "curve-page",
    epilog="Example: python -m research curve-page --results docs/rate-distortion -o docs/rate-distortion.md",
)
def curve_page(
    results: Annotated[Path, typer.Option(help="folder written by lowbeam curve, or with all files of the page")],
    out: Page,
    plots: Plots = True,
) -> None:
    """Write the page on rate and distortion from result files."""
    with needs("curve"):
        from research.rate_distortion.sweep_page import write_curve_page
    print(write_curve_page(results, out, plots=plots))
