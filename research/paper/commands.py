"""Commands of the replication of Cheng et al. 2017."""

from pathlib import Path
from typing import Annotated

import typer

from lowbeam.cli.options import ANY_CORPUS
from lowbeam.cli.show import Commands, needs
from lowbeam.files import check_outputs, make_folder
from research.options import Page, Plots, Results
from research.result_files import command_line, write_json

app = Commands()


@app.command(epilog="Example: python -m research handover ferplus:PATH runs/handover -o handover.json")
def handover(
    faces: Annotated[str, typer.Argument(metavar="CORPUS", help=f"labelled faces, {ANY_CORPUS}")],
    runs: Annotated[Path, typer.Argument(help="folder for networks; an interrupted study continues from it")],
    out: Results,
) -> None:
    """Compare ways to transfer SR-FCN's convolutions to a recognizer."""
    with needs("train"):
        import torch

        from research.paper.handover_study import study
    torch.set_num_threads(1)
    make_folder(out.parent)
    study(faces, runs, out)


@app.command("step-time", epilog="Example: python -m research step-time -o step-time.json")
def step_time(out: Results) -> None:
    """Time a training step of the paper's recognizer, in float32 and bfloat16, with and without compiled pooling."""
    check_outputs(out)
    with needs("train"):
        from research.paper.step_time import measure_step_time
    write_json(out, measure_step_time(command_line()))


@app.command(
    "paper-page", epilog="Example: python -m research paper-page --results docs/replication -o docs/replication.md"
)
def paper_page(
    results: Annotated[Path, typer.Option(help="folder of results written by lowbeam replicate")],
    out: Page,
    plots: Plots = True,
) -> None:
    """Write the page on the replication of Cheng et al. 2017, with a verdict on each claim."""
    with needs("train"):
        from research.paper.replication_page import write_replication_page
    print(write_replication_page(results, out, plots=plots))
