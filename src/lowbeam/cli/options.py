"""Options that several commands have."""

from pathlib import Path
from typing import Annotated

import typer

from lowbeam.pipeline.options import FacesChoice

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
