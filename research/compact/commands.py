"""Commands that measure the codecs of features and of estimates."""

from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from lowbeam.cli.options import ANY_CORPUS, RECORDED, ModelName, Split
from lowbeam.cli.show import Commands, needs
from lowbeam.codec.budget import parse_budget
from lowbeam.errors import UsageError
from lowbeam.files import check_outputs
from lowbeam.recognize import DEFAULT_MODEL
from research.options import Page, Plots, Results
from research.result_files import measure_into, origin, write_json
from research.show import print_anchors, print_identity

app = Commands()


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
    write_json(out, results | origin())
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
