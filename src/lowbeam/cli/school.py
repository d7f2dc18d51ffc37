"""Commands of the school: corpora, training, the paper's experiment."""

from pathlib import Path
from typing import Annotated

import typer

from lowbeam.cli.options import ANY_CORPUS, RECORDED, Corpus, FerPlus
from lowbeam.cli.show import Commands, needs, progress_bar, say
from lowbeam.errors import UsageError
from lowbeam.files import check_outputs

app = Commands()
corpus_app = Commands(help="Make corpora.")


@app.command(epilog="Example: lowbeam train one-for-all --corpus ferplus -o runs/one-for-all")
def train(
    recipe: Annotated[str, typer.Argument(help="a recipe file (YAML), or the name of one that ships")],
    corpus: FerPlus,
    out: Annotated[Path, typer.Option("-o", "--out", help="folder for checkpoints, logs and the ONNX file")],
    video: Annotated[
        list[str] | None, typer.Option(help=f"of a recipe for video: recordings, {RECORDED}; may be given again")
    ] = None,
    start: Annotated[
        Path | None, typer.Option(help="of a recipe for video: folder of a finished run to start from")
    ] = None,
    teacher: Annotated[
        Path | None, typer.Option(help="of a recipe that is taught: folder of a finished run that teaches")
    ] = None,
    unlabelled: Annotated[
        str | None,
        typer.Option(help=f"of a recipe that uses them: stills that only the teacher labels, {ANY_CORPUS}"),
    ] = None,
    change: Annotated[
        list[str] | None,
        typer.Option("--set", help="of a recipe for video: a change, such as mixture.steps=100; may be given again"),
    ] = None,
) -> None:
    """Train a model; a run that was killed goes on where it was."""
    with needs("train"):
        from lowbeam.train.recipe import load_recipe
        from lowbeam.train.video.recipe import load_video_recipe, video_recipe_path

        video_recipe = video_recipe_path(recipe)
        if video_recipe is None and (video or start or teacher or unlabelled or change):
            raise UsageError(f"recipe {recipe} is not one for video: it takes --corpus and -o alone")
        if video_recipe is None:
            loaded = load_recipe(recipe)
            from lowbeam.train.run import train as run_training  # Lightning takes seconds to import

            print(run_training(loaded, corpus, out))
            return
        for_video = load_video_recipe(video_recipe, change or [])
        from lowbeam.train.video.run import train_video
    with progress_bar("preparing", "parts") as progress:
        path = train_video(
            for_video, corpus, video or [], out, start=start, teacher=teacher, unlabelled=unlabelled, say=say,
            progress=progress,
        )  # fmt: skip
    print(path)


@app.command(epilog="Example: lowbeam replicate reduced --corpus ferplus -o runs/paper --minutes 110")
def replicate(
    experiment: Annotated[str, typer.Argument(help="full, reduced, restoration, … or an experiment file (YAML)")],
    corpus: Corpus,
    out: Annotated[Path, typer.Option("-o", "--out", help="folder for networks, logs and figures")],
    results: Annotated[Path | None, typer.Option(help="folder in which all that is finished is gathered")] = None,
    system: Annotated[list[str] | None, typer.Option(help="only this system; may be given again")] = None,
    scale: Annotated[list[int] | None, typer.Option(help="only this scale S; may be given again")] = None,
    seed: Annotated[list[int] | None, typer.Option(help="only this seed; may be given again")] = None,
    minutes: Annotated[float | None, typer.Option(help="stop after this time; the same command goes on")] = None,
    device: Annotated[str | None, typer.Option(help="cpu or cuda; else what there is")] = None,
    threads: Annotated[int | None, typer.Option(min=1, help="cores that training may use on the CPU")] = None,
) -> None:
    """Carry out the experiment of Cheng et al. 2017, or a part of it, or go on with it."""
    with needs("train"):
        import torch

        from lowbeam.evaluate.paper.replicate import replicate as run_replication
    if threads is not None:
        torch.set_num_threads(threads)
    with progress_bar("cutting faces", "recordings") as progress:
        run_replication(
            experiment, corpus, out, results=results, systems=system or (), scales=scale or (), seeds=seed or (),
            minutes=minutes, device=device, say=say, progress=progress,
        )  # fmt: skip


@app.command(epilog="Example: lowbeam export runs/paper/reduced/lr-8-seed0 -o lr-8.onnx")
def export(
    job: Annotated[Path, typer.Argument(help="folder of a finished recognizer of lowbeam replicate")],
    out: Annotated[Path, typer.Option("-o", "--out", help="ONNX file, for --model and --models")],
) -> None:
    """Bring a network of the paper's experiment to the form of the models that ship."""
    check_outputs(job, out)
    with needs("train"):
        from lowbeam.evaluate.paper.export import export_job
    export_job(job, out)


@corpus_app.command("render", epilog="Example: lowbeam corpus render people --face-model ict_face.npz --workers 2")
def corpus_render(
    out: Annotated[Path, typer.Argument(help="folder for the corpus, in the layout of AVEC 2016")],
    face_model: Annotated[str, typer.Option(help="ict_face.npz, or a clone of the public ICT-FaceKit")],
    subjects: Annotated[int, typer.Option(help="people; train, dev and test share none")] = 24,
    minutes: Annotated[float, typer.Option(help="minutes of each person")] = 2.0,
    fps: Annotated[float, typer.Option(help="frames a second")] = 25.0,
    size: Annotated[int, typer.Option(help="side of the picture in pixels")] = 192,
    seed: Annotated[int, typer.Option(help="the same seed gives the same corpus")] = 7,
    workers: Annotated[int, typer.Option(help="processes that share the work")] = 1,
) -> None:
    """Render talking people with the valence and arousal that move their faces."""
    with needs("render"):
        from lowbeam.corpora.rendered.write import Settings, render_corpus
    with progress_bar("rendering", "frames") as progress:
        manifest = render_corpus(
            out, face_model, Settings(subjects, minutes, fps, size, seed), workers=workers, progress=progress
        )
    say(f"{out}: {len(manifest['people'])} people, {subjects * minutes:g} minutes; open it as --corpus avec2016:{out}")
