"""``python -m research``: measure what the documentation reports, and write its generated pages."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Literal

import typer
from typer.exceptions import TyperException

from lowbeam.cli import main
from lowbeam.cli.options import (
    ALL_QPS,
    ANY_CORPUS,
    RECORDED,
    Codecs,
    Corpus,
    FrameRates,
    ModelName,
    Models,
    OnnxModels,
    Qps,
    Recordings,
    Scales,
    Split,
    Workers,
)
from lowbeam.cli.show import Commands, needs, print_budgets
from lowbeam.codec.budget import parse_budget
from lowbeam.demo import ASSETS
from lowbeam.errors import UsageError
from lowbeam.files import check_outputs, make_folder
from lowbeam.recognize import DEFAULT_MODEL
from research.result_files import command_line, measure_into, write_json
from research.show import (
    operating_table_line,
    print_anchors,
    print_blinks,
    print_boxes,
    print_by_side,
    print_checks,
    print_detectors,
    print_domains,
    print_followed,
    print_identity,
    print_nuisances,
)

app = Commands(
    name="python -m research", rich_markup_mode=None, context_settings={"help_option_names": ["-h", "--help"]},
    add_completion=False, help="Measure what the documentation reports, and write its generated pages.",
)  # fmt: skip

Results = Annotated[Path, typer.Option("-o", "--out", help="results as JSON")]
Page = Annotated[Path, typer.Option("-o", "--out", help="the page (Markdown)")]
Plots = Annotated[bool, typer.Option("--plots/--no-plots", help="draw the plots into the results folder")]


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
    from lowbeam.evaluate.curve.grid import parse_grid
    from lowbeam.evaluate.curve.systems import parse_systems

    with needs("render"):
        from research.recognizer.nuisances import measure_nuisances
    check_outputs(face_model, out)
    grid, systems = parse_grid("hevc", scales, "27", "1"), parse_systems(models)
    measured = partial(measure_nuisances, face_model, systems, grid.scales, people=people, frames=frames)
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
    from lowbeam.evaluate.curve.grid import parse_grid

    with needs("render"):
        from research.recognizer.blinks import measure_blinks
    check_outputs(face_model, out)
    grid = parse_grid("hevc", scales, "27", "1")
    measured = partial(
        measure_blinks, face_model, models.split(","), grid.scales, split=split, people=people, real=real
    )
    print_blinks(measure_into(out, measured, "people"))


LabelledStills = Annotated[list[str], typer.Option(help="a corpus of labelled stills, KIND:PATH; repeatable")]


@app.command(epilog="Example: python -m research boxes --stills ferplus:DIR --stills faces96:faces96.npz -o boxes.json")
def boxes(stills: LabelledStills, out: Results, split: Split = "valid") -> None:
    """Measure how far the detector's boxes are from the framing of labelled stills."""
    from research.recognizer.boxes import measure_boxes

    for corpus in stills:
        check_outputs(corpus, out)
    print_boxes(measure_into(out, partial(measure_boxes, stills, split=split), "faces"))


@app.command(
    epilog="Example: python -m research domains --stills ferplus:DIR --stills faces96:faces96.npz -o domains.json"
)
def domains(
    stills: LabelledStills,
    out: Results,
    models: Models = DEFAULT_MODEL,
    scales: Scales = "1,2,3,4,6,8,12,16",
    split: Split = "test",
) -> None:
    """Measure models on several corpora of real stills side by side: CCC, smiles told from rest, expressions."""
    from lowbeam.evaluate.curve.grid import parse_grid
    from lowbeam.evaluate.curve.systems import parse_systems
    from research.recognizer.domains import measure_domains

    for corpus in stills:
        check_outputs(corpus, out)
    grid, systems = parse_grid("hevc", scales, "27", "1"), parse_systems(models)
    measured = partial(measure_domains, stills, systems, grid.scales, split=split)
    print_domains(measure_into(out, measured, "measurements"))


def _measure_stills(
    measure: Callable[..., dict[str, Any]], corpus: str, out: Path, scales: str, models: str, split: str, heading: str,
    condition: Callable[[dict[str, Any]], str],
) -> None:  # fmt: skip
    """Measure models at several sizes of a corpus's stills under conditions that rows tell by `condition`."""
    from lowbeam.evaluate.curve.grid import parse_grid
    from lowbeam.evaluate.curve.systems import parse_systems

    check_outputs(corpus, out)
    grid, systems = parse_grid("hevc", scales, "27", "1"), parse_systems(models)
    measured = partial(measure, corpus, systems, grid.scales, split=split)
    print_by_side(measure_into(out, measured, "measurements"), heading, condition)


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
    write_json(out, results | {"command": command_line()})
    print_checks(results["checks"])


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
    "compact-page", epilog="Example: python -m research compact-page --results docs/rate-distortion -o page.md"
)
def compact_page(
    results: Annotated[Path, typer.Option(help="folder with the results of pixels, features and estimates")],
    out: Page,
    plots: Plots = True,
) -> None:
    """Write the page about features and estimates from its result files."""
    from research.compact.compact_page import write_compact_page

    print(write_compact_page(results, out, plots=plots))


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


@app.command("step-time", epilog="Example: python -m research step-time -o step-time.json")
def step_time(out: Results) -> None:
    """Time a training step of the paper's recognizer, in float32 and bfloat16, with and without compiled pooling."""
    check_outputs(out)
    with needs("train"):
        from research.paper.step_time import measure_step_time
    write_json(out, measure_step_time(command_line()))


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


@app.command(
    "feature-anchors",
    epilog="Example: python -m research feature-anchors --corpus videos:real --truth self -o feature-anchors.json",
)
def feature_anchors(
    corpus: Annotated[list[str], typer.Option(help=f"recordings, {RECORDED}; may be repeated, each with its truth")],
    truth: Annotated[list[str], typer.Option(help="labels, or self: the model's estimates of the uncoded faces")],
    out: Results,
    split: Split = "test",
    seconds: Annotated[float | None, typer.Option(min=1, help="of each recording [default: all]")] = None,
) -> None:
    """Measure features of the shipped models, cut at each depth, quantised and deflated: bits per second and CCC."""
    with needs("train"):
        from research.compact.anchors import measure_corpora
    check_outputs(corpus[0], out)
    measure = partial(measure_corpora, corpus, truth, split=split, seconds=seconds)
    print_anchors(measure_into(out, measure, "cuts"))


@app.command(epilog="Example: python -m research identity --stills faces96.npz -o identity.json")
def identity(
    stills: Annotated[Path, typer.Option(help="npz file of faces with identities, of kind faces96")],
    out: Results,
    latents: Annotated[Path | None, typer.Option(help="an encoder: ONNX, with output latents")] = None,
    gains: Annotated[
        Path | None, typer.Option(help="tables.json, or an npy file (levels, k): latents × gains are rounded")
    ] = None,
    only: Annotated[str, typer.Option(help="comma-separated: 96px, 24px, 12px, estimates, features, latents")] = "all",
    model: ModelName = DEFAULT_MODEL,
) -> None:
    """Measure how well trained attackers tell whether two pictures are of one person, from what crosses the link.

    Rows of an existing file of results are kept, unless they are measured again.
    """
    with needs("train"):
        import torch

        from research.compact.identity import kept_rows, measure_identity
        from research.compact.sources import choose_sources
    check_outputs(stills, out)
    torch.set_num_threads(1)
    sources = choose_sources(only, model, latents, gains)
    measure = partial(measure_identity, stills, sources, before=kept_rows(out, sources))
    print_identity(measure_into(out, measure, "sources"))


@app.command("identity-terms", epilog="Example: python -m research identity-terms --stills faces96.npz --corpus "
             "ferplus:/data/fer -o identity-terms.json")  # fmt: skip
def identity_terms(
    stills: Annotated[Path, typer.Option(help="npz file of faces with identities, of kind faces96")],
    corpus: Annotated[str, typer.Option(help="labelled stills, ferplus:PATH")],
    out: Results,
    model: ModelName = DEFAULT_MODEL,
) -> None:
    """Measure what fewer latents, or latents trained against an adversary, take from identity and cost in affect."""
    with needs("train"):
        import torch

        from research.compact.identity_terms import measure_identity_terms, print_identity_terms
    check_outputs(stills, out)
    torch.set_num_threads(1)
    measure = partial(measure_identity_terms, stills, corpus, model)
    print_identity_terms(measure_into(out, measure, "terms"))


@app.command(
    epilog="Example: python -m research pictures --corpus videos:real --least 30 --sheet real.png -o pictures.json"
)
def pictures(
    corpus: Annotated[list[str], typer.Option(help=f"recordings, {RECORDED}; may be repeated")],
    out: Results,
    sheet: Annotated[list[Path], typer.Option(help="contact sheet: .png; one for each corpus")],
    video: Annotated[Path | None, typer.Option(help="faces side by side, of all corpora: .mp4")] = None,
    budget: Annotated[str, typer.Option(help="of RTP packets, such as 1kbps")] = "1kbps",
    split: Split = "test",
    seconds: Annotated[float | None, typer.Option(min=1, help="of each recording [default: all]")] = None,
    least: Annotated[
        float | None, typer.Option(min=1, help="seconds: shorter recordings are played to and fro until then")
    ] = None,
    model: ModelName = DEFAULT_MODEL,
) -> None:
    """Measure what a viewer sees at a budget: faces drawn from features and a key face, and pixels."""
    with needs("train"):
        import torch

        from research.compact.picture_sheets import draw_sheet, write_video
        from research.compact.pictures import measure_pictures, print_pictures
    if len(sheet) != len(corpus):
        raise UsageError(f"{len(corpus)} corpora need as many --sheet, not {len(sheet)}")
    check_outputs(corpus[0], out, video, *sheet)
    torch.set_num_threads(1)
    results, views = measure_pictures(
        corpus, parse_budget(budget), split=split, most_s=seconds, least_s=least, model=model
    )
    write_json(out, results | {"command": command_line()})
    for seen, path in zip(views, sheet, strict=True):
        draw_sheet(seen, path)
    if video is not None:
        write_video([one for seen in views for one in seen], video)
    print_pictures(results)


@app.command(epilog="Example: python -m research reread --stills ferplus:ferplus -o reread.json")
def reread(
    stills: Annotated[str, typer.Option(help=f"labelled faces, {ANY_CORPUS}; all splits are used")],
    out: Results,
    model: ModelName = DEFAULT_MODEL,
) -> None:
    """Train a recognizer on latents of the features codec alone, and measure it beside the shipped readout, and the
    speed of the encoder beside that of a model that reads pixels."""
    with needs("train"):
        import torch

        from research.compact.reread import measure_reread, print_reread
    check_outputs(stills, out)
    torch.set_num_threads(1)
    print_reread(measure_into(out, partial(measure_reread, stills, model), "steps"))


def run(arguments: list[str]) -> int:
    """Run a command; returns the exit status. Raises `LowbeamError`."""
    try:
        command = typer.main.get_command(app)
        status = command.main(arguments or ["--help"], prog_name="python -m research", standalone_mode=False)
    except TyperException as error:
        raise UsageError(getattr(error, "format_message", error.__str__)()) from error
    return int(status or 0)


if __name__ == "__main__":
    main(run)
