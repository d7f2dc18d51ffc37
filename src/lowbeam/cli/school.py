"""Commands that make corpora and models: training, the paper's experiment."""

from pathlib import Path
from typing import Annotated

import typer

from lowbeam.cli.options import ANY_CORPUS, Corpus, Ray, Workers, team
from lowbeam.cli.show import Commands, needs, progress_bar, say
from lowbeam.errors import UsageError
from lowbeam.files import check_outputs

app = Commands()
corpus_app = Commands(help="Make corpora.")

Device = Annotated[str | None, typer.Option(help="cpu or cuda; by default a GPU where there is one")]
TrainingThreads = Annotated[int | None, typer.Option("--threads", min=1, help="CPU cores that training may use")]


@app.command(
    epilog="Example: lowbeam train fine-tune --start accurate --corpus manifest:my.csv -o runs/mine",
)
def train(
    recipe: Annotated[
        str,
        typer.Argument(help="recipe file (YAML), or a name: best, accurate, fast, one-for-all, fine-tune, features"),
    ],
    corpus: Annotated[list[str], typer.Option("--corpus", help=f"stills or recordings, {ANY_CORPUS}; repeatable")],
    out: Annotated[Path, typer.Option("-o", "--out", help="folder for checkpoints, logs and the ONNX file")],
    start: Annotated[
        str | None, typer.Option(help="model to start from: a name, an ONNX file, or the folder of a finished run")
    ] = None,
    teacher: Annotated[str | None, typer.Option(help="teacher of a recipe with distillation: as --start")] = None,
    unlabelled: Annotated[str | None, typer.Option(help=f"stills that only the teacher labels, {ANY_CORPUS}")] = None,
    change: Annotated[
        list[str] | None, typer.Option("--set", help="change to the recipe, such as mixture.steps=100; repeatable")
    ] = None,
    device: Device = None,
    threads: TrainingThreads = None,
) -> None:
    """Train a model, or fine-tune one on your own recordings; a stopped run resumes."""
    with needs("train"):
        import torch

        from lowbeam.train.features.recipe import load_features_recipe
        from lowbeam.train.features.run import train_features
        from lowbeam.train.recipe import kind_of
        from lowbeam.train.recognizer_recipe import RECIPES, load_recognizer_recipe
        from lowbeam.train.run import train as run_training
    if threads is not None:
        torch.set_num_threads(threads)
    if kind_of(recipe, RECIPES) == "features":
        features = load_features_recipe(recipe, change or [])
        if start is None or unlabelled is None:
            raise UsageError(f"recipe {features.name} needs --start and --unlabelled")
        if device not in (None, "cpu"):
            raise UsageError(f"recipe {features.name} runs on the CPU; leave out --device")
        with progress_bar("preparing", "parts") as progress:
            print(train_features(
                features, corpus, out, start=start, teacher=teacher, unlabelled=unlabelled, say=say, progress=progress
            ))  # fmt: skip
        return
    loaded = load_recognizer_recipe(recipe, change or [])
    with progress_bar("preparing", "parts") as progress:
        path = run_training(
            loaded, corpus, out, start=start, teacher=teacher, unlabelled=unlabelled, device=device, say=say,
            progress=progress,
        )  # fmt: skip
    print(path)


@app.command(epilog="Example: lowbeam replicate reduced --corpus ferplus:DIR -o runs/paper --minutes 110")
def replicate(
    experiment: Annotated[str, typer.Argument(help="full, reduced, restoration, … or an experiment file (YAML)")],
    corpus: Corpus,
    out: Annotated[Path, typer.Option("-o", "--out", help="folder for networks, logs and results")],
    results: Annotated[Path | None, typer.Option(help="folder for the result file of all finished networks")] = None,
    system: Annotated[list[str] | None, typer.Option(help="only this system; repeatable")] = None,
    scale: Annotated[list[int] | None, typer.Option(help="only this scale S; repeatable")] = None,
    seed: Annotated[list[int] | None, typer.Option(help="only this seed; repeatable")] = None,
    minutes: Annotated[float | None, typer.Option(help="stop after this time; the same command continues")] = None,
    device: Device = None,
    threads: TrainingThreads = None,
) -> None:
    """Carry out the experiment of Cheng et al. 2017, or a part of it, or continue it."""
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
    out: Annotated[Path, typer.Option("-o", "--out", help="ONNX file, for the options --model and --models")],
) -> None:
    """Export a network of the paper's experiment as an ONNX file."""
    check_outputs(job, out)
    with needs("train"):
        from lowbeam.evaluate.paper.export import export_job
    export_job(job, out)


@corpus_app.command("render", epilog="Example: lowbeam corpus render people --face-model ict_face.npz --workers 2")
def corpus_render(
    out: Annotated[Path, typer.Argument(help="folder for the corpus, in the layout of AVEC 2016")],
    face_model: Annotated[str, typer.Option(help="ict_face.npz, or a clone of the public ICT-FaceKit")],
    subjects: Annotated[int, typer.Option(help="number of people; each is in one of train, dev and test")] = 24,
    minutes: Annotated[float, typer.Option(help="minutes of video per person")] = 2.0,
    fps: Annotated[float, typer.Option(help="frames per second")] = 25.0,
    size: Annotated[int, typer.Option(help="side of the square frame in pixels")] = 192,
    seed: Annotated[int, typer.Option(help="the same seed gives the same corpus")] = 7,
    unconstrained: Annotated[
        bool, typer.Option("--unconstrained", help="as outside a laboratory: light from any side, turns, masks, noise")
    ] = False,
    workers: Workers = None,
    ray: Ray = None,
) -> None:
    """Render videos of talking people, labelled with the valence and arousal that drive their faces."""
    with needs("render"):
        from lowbeam.corpora.rendered.write import Settings, render_corpus
    with progress_bar("rendering", "frames") as progress:
        manifest = render_corpus(
            out, face_model, Settings(subjects, minutes, fps, size, seed, unconstrained), progress=progress,
            **team(workers, ray),
        )  # fmt: skip
    say(f"{out}: {len(manifest['people'])} people, {subjects * minutes:g} minutes; open it as --corpus avec2016:{out}")
