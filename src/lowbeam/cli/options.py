"""Options that several commands share."""

from collections.abc import Iterable
from typing import Annotated

import typer

from lowbeam.corpora.kinds import KINDS, RECORDING_KINDS
from lowbeam.pipeline.options import FacesChoice

Source = Annotated[
    str, typer.Argument(help="a video or picture file, camera:0, an rtsp or http URL, or - for standard input")
]

Faces = Annotated[FacesChoice, typer.Option(help="primary: the largest, longest-lived face; all: every face")]
DetectorName = Annotated[str, typer.Option("--detector", help="dlib, or yunet:PATH with YuNet's ONNX file")]
Threads = Annotated[int, typer.Option(help="number of cores for the recognizer")]
ModelName = Annotated[str, typer.Option("--model", help="a shipped model (see lowbeam models), or an ONNX file")]


def _listed(kinds: Iterable[str]) -> str:
    *most, last = kinds
    return f"{', '.join(most)} or {last}"


ANY_CORPUS = f"KIND:PATH, of kind {_listed(KINDS)}; a bare path is FER+"
RECORDED = f"KIND:PATH, of kind {_listed(RECORDING_KINDS)}"
Corpus = Annotated[str, typer.Option("--corpus", help=ANY_CORPUS)]
Recordings = Annotated[str, typer.Argument(help=f"recordings with labels, {RECORDED}")]
