"""Commands that measure how faces are found."""

from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from lowbeam.cli.show import Commands, needs
from lowbeam.demo import ASSETS
from lowbeam.files import make_folder
from research.options import Page, Results
from research.result_files import measure_into
from research.show import print_detectors

app = Commands()


@app.command(epilog="Example: python -m research detectors ict_face.npz clips --timed clips/talk.mp4 -o detectors.json")
def detectors(
    face_model: Annotated[Path, typer.Argument(help="ict_face.npz, or a clone of ICT-FaceKit")],
    clips: Annotated[Path, typer.Argument(help="folder of videos; estimates are compared in its sub-folder real")],
    out: Results,
    timed: Annotated[Path, typer.Option(help="the video in which time is measured")] = ASSETS / "clip.mp4",
    people: Annotated[int, typer.Option(min=1, help="number of rendered people")] = 4,
    seconds: Annotated[float, typer.Option(min=0.2, help="of each person in each condition")] = 2.0,
) -> None:
    """Measure the face finder beside dlib's, which was used before: on rendered people and real clips, and in time."""
    with needs("bench"):
        import dlib  # noqa: F401
    with needs("render"):
        from research.faces.detectors import measure_detectors

    make_folder(out.parent)
    measure = partial(measure_detectors, face_model, clips, timed, people=people, seconds=seconds)
    print_detectors(measure_into(out, measure, "takes"))


@app.command("faces-page", epilog="Example: python -m research faces-page --results detectors.json -o docs/faces.md")
def faces_page(
    results: Annotated[Path, typer.Option(help="the results of python -m research detectors")], out: Page
) -> None:
    """Write the page on finding faces."""
    from research.faces.faces_page import write_faces_page

    print(write_faces_page(results, out))
