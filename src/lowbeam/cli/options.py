"""Options that several commands share."""

from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Literal

import typer

from lowbeam.corpora.kinds import KINDS, RECORDING_KINDS
from lowbeam.pipeline.options import FacesChoice

Source = Annotated[
    str, typer.Argument(help="a video or picture file, camera:0, an rtsp or http URL, or - for standard input")
]

Faces = Annotated[FacesChoice, typer.Option(help="primary: the face with the largest area over time; all: every face")]
Threads = Annotated[int, typer.Option(help="number of cores for the recognizer")]
ModelName = Annotated[str, typer.Option("--model", help="a shipped model (see lowbeam models), or an ONNX file")]


def _listed(kinds: Iterable[str]) -> str:
    *most, last = kinds
    return f"{', '.join(most)} or {last}"


ANY_CORPUS = f"KIND:PATH, of kind {_listed(KINDS)}; a bare path is FER+"
RECORDED = f"KIND:PATH, of kind {_listed(RECORDING_KINDS)}"
Corpus = Annotated[str, typer.Option("--corpus", help=ANY_CORPUS)]
Recordings = Annotated[str, typer.Argument(help=f"recordings, {RECORDED}")]

BudgetOf = Annotated[
    str, typer.Option(help="what a budget counts: wire (RTP/UDP/IPv4 packets), payload (the video alone) or file")
]
TruthOption = Annotated[
    Literal["labels", "self"],
    typer.Option(help="what estimates are compared with: labels, or self, the model's estimates of the uncoded faces"),
]
Cache = Annotated[Path | None, typer.Option(help="folder for faces and estimates [default: ~/.cache/lowbeam]")]
Workers = Annotated[int, typer.Option(min=1, max=256, help="number of processes")]

# Of sweeps, which take lists.
ALL_SCALES, ALL_QPS = "1,2,3,4,6,8,12,16", "22,27,32,37,42,47"
Codecs = Annotated[str, typer.Option(help="comma-separated")]
Scales = Annotated[str, typer.Option(help="comma-separated")]
Qps = Annotated[str, typer.Option(help="comma-separated; each on its codec's own scale")]
FrameRates = Annotated[str, typer.Option(help="comma-separated, in frames per second")]
Models = Annotated[
    str, typer.Option(help="comma-separated, each MODEL or NAME=MODEL: a name, MODEL/each, an ONNX file, fer")
]
OnnxModels = Annotated[
    str, typer.Option("--models", help="comma-separated, each MODEL or NAME=MODEL: a name, MODEL/each, an ONNX file")
]
Split = Annotated[str, typer.Option(help="test for reporting; valid for choosing")]
