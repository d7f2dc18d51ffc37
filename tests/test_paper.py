"""The paper's experiment: its networks, what is handed from stage to stage, and the whole of it in small."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="PyTorch comes with the train extra")
pytest.importorskip("torchmetrics", reason="torchmetrics comes with the train extra")

from test_evaluate import write_ferplus  # noqa: E402

from lowbeam.errors import CorpusError, UsageError  # noqa: E402
from lowbeam.evaluate.paper import run as running  # noqa: E402
from lowbeam.evaluate.paper.replicate import replicate  # noqa: E402
from lowbeam.models.paper import CnnD, SrFcn, parameter_count  # noqa: E402
from lowbeam.scale import Faces, resample, side_of  # noqa: E402
from lowbeam.train import loop  # noqa: E402
from lowbeam.train.checkpoint import load_checkpoint  # noqa: E402
from lowbeam.train.paper import tasks  # noqa: E402
from lowbeam.train.paper.jobs import jobs_of  # noqa: E402
from lowbeam.train.paper.networks import interpolated, make_cnn_d, make_sr_fcn, mixed  # noqa: E402
from lowbeam.train.paper.recipe import EXPERIMENTS, SYSTEMS, Experiment, load_experiment, load_system  # noqa: E402
from lowbeam.train.schedule import DivideOnPlateau  # noqa: E402
from research.paper.replication_page import write_replication_page  # noqa: E402

SHIPPED = sorted(path.stem for path in EXPERIMENTS.glob("*.yaml"))


def tiny(name: str = "reduced", **changes: object) -> Experiment:
    """A shipped experiment, cut down to a few steps."""
    experiment = load_experiment(name).model_dump()
    experiment |= {"channels": (2, 3, 4), "every_nth_face": 2, "precision": "float32", "seeds": (0, 1)}
    for part in ("restore", "recognize"):
        experiment[part] |= {"epochs": 1, "batch": 8, "divide_at": ()}
    return Experiment.model_validate(experiment | changes)


def write_recipe(experiment: Experiment, folder: Path) -> Path:
    path = folder / f"{experiment.name}.yaml"
    path.write_text(json.dumps(experiment.model_dump(mode="json")))  # JSON is YAML
    return path


@pytest.fixture(scope="module")
def corpus(hr_faces: Faces, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_ferplus(tmp_path_factory.mktemp("ferplus"), hr_faces[:24])


# --- recipes and jobs --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", SHIPPED)
def test_every_shipped_experiment_loads_and_trains_what_it_needs_first(name: str) -> None:
    jobs = jobs_of(load_experiment(name))
    done = set()
    for job in jobs:
        assert job.needs is None or job.needs in done, job.name
        done.add(job.name)
    assert len(done) == len(jobs)


@pytest.mark.parametrize("name", ["full", "reduced", "converged"])
def test_all_recognizers_that_are_compared_have_the_same_number_of_parameters(name: str) -> None:
    experiment = load_experiment(name)
    counts = set()
    for job in jobs_of(experiment):
        if job.system.learns_to == "recognize":
            convolutions = make_sr_fcn(experiment).convolutions if job.needs else None
            counts.add(parameter_count(make_cnn_d(experiment, convolutions)))
    assert len(counts) == 1


def test_the_published_settings_are_the_defaults() -> None:
    experiment = load_experiment("as-published")
    recognize, restore = experiment.recognize, experiment.restore
    assert (recognize.optimizer, recognize.batch, recognize.momentum) == ("sgd", 128, 0.9)
    assert (recognize.learning_rate, recognize.weight_decay, recognize.transferred_rate) == (0.01, 5e-4, 0.1)
    assert (restore.learning_rate, restore.weight_decay, restore.init) == (1e-4, 0.0, "gaussian")
    weights = make_sr_fcn(load_experiment("as-published")).convolutions.third.weight.detach()
    assert float(weights.std()) == pytest.approx(0.001, rel=0.05)


def test_a_part_of_an_experiment_brings_what_it_needs() -> None:
    experiment = load_experiment("full")
    names = [job.name for job in jobs_of(experiment, systems=["joint-oa"], scales=[3, 4], seeds=[1])]
    assert names == ["sr-fcn-4-seed1", "joint-oa-3.4-seed1"]
    with pytest.raises(UsageError, match="system best is not in full"):
        jobs_of(experiment, systems=["best"])
    with pytest.raises(UsageError, match="seed 9 is not in full: 0, 1, 2"):
        jobs_of(experiment, seeds=[9])
    with pytest.raises(UsageError, match="nothing of full is left"):
        jobs_of(experiment, systems=["lr"], scales=[2])


@pytest.mark.parametrize("load", [load_system, load_experiment])
def test_an_unknown_recipe_is_refused_with_those_that_ship(load) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(UsageError, match="these ship: "):
        load("best")


def test_every_system_file_is_in_an_experiment() -> None:
    used = {name for experiment in SHIPPED for name in load_experiment(experiment).systems}
    assert used == {path.stem for path in SYSTEMS.glob("*.yaml")}


def test_an_experiment_without_what_a_system_starts_from_is_refused() -> None:
    experiment = load_experiment("reduced").model_copy(update={"systems": ("joint",)})
    with pytest.raises(UsageError, match=r"lacks sr-fcn-3-seed0, from which joint-3-seed0 starts"):
        jobs_of(experiment)


# --- the schedule ----------------------------------------------------------------------------------------------------


def schedule_of(losses: list[float], **changes: object) -> tuple[list[float], int]:
    """The rates that each epoch ends with, and how many epochs there are."""
    training = load_experiment("full").recognize.model_copy(update={"epochs": 20, "patience": 1, **changes})
    parameter = torch.nn.Parameter(torch.zeros(1))
    optimizer = torch.optim.SGD([parameter], lr=1.0)
    schedule = DivideOnPlateau(optimizer, training.epochs, training.patience, training.divisions, training.divide_at)
    rates: list[float] = []
    for epoch, loss in enumerate(losses, 1):
        schedule.after_round(epoch, loss)
        rates.append(optimizer.param_groups[0]["lr"])
        if schedule.ended:
            break
    return rates, len(rates)


def test_rates_are_divided_by_ten_when_validation_stops_improving() -> None:
    rates, epochs = schedule_of([5, 4, 4, 4, 3, 3, 3, 3, 3, 3])
    assert np.allclose(rates, [1, 1, 1, 0.1, 0.1, 0.1, 0.01, 0.01, 0.01])
    assert epochs == 9  # a third division ends it


def test_rates_are_divided_at_the_latest_where_the_recipe_says() -> None:
    rates, epochs = schedule_of([10.0 - e for e in range(10)], epochs=10, divide_at=(0.5, 0.8))
    assert np.allclose(rates, [1, 1, 1, 1, 0.1, 0.1, 0.1, 0.01, 0.01, 0.01])
    assert epochs == 10


def test_a_loss_that_is_not_finite_ends_a_run_with_one_clear_error(corpus: Path, tmp_path: Path) -> None:
    experiment = tiny()
    wild = experiment.model_copy(update={"recognize": experiment.recognize.model_copy(update={"learning_rate": 1e30})})
    with pytest.raises(UsageError, match="the loss is not finite any more"):
        replicate(write_recipe(wild, tmp_path), corpus, tmp_path / "runs", systems=["hr"], seeds=[0])


@pytest.mark.parametrize(("each_face_at", "meetings"), [("every scale", 3), ("one scale", 1)])
def test_an_epoch_meets_each_face_at_every_scale_of_the_mixture_or_at_one(
    each_face_at: str, meetings: int, corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    met: list[tuple[bytes, int]] = []

    def look(pixels: torch.Tensor, mixture: tuple[int, ...], drawn: torch.Tensor) -> torch.Tensor:
        met.extend(zip((face.numpy().tobytes() for face in pixels), drawn.tolist(), strict=True))
        return mixed(pixels, mixture, drawn)

    monkeypatch.setattr(tasks, "mixed", look)
    experiment = tiny()
    settings = experiment.recognize.model_copy(update={"each_face_at": each_face_at})
    recipe = write_recipe(experiment.model_copy(update={"recognize": settings}), tmp_path)
    choice = {"systems": ["lr-oa"], "scales": [3, 4, 6], "seeds": [0], "say": lambda text: None}
    assert replicate(recipe, corpus, tmp_path / "runs", **choice)  # type: ignore[arg-type]
    with np.load(corpus / "train.npz") as archive:
        faces = {face.tobytes() for face in archive["pixels"][::2]}
    in_training = met[: meetings * 12]
    assert {face for face, _ in in_training} == faces
    assert len(set(in_training)) == meetings * len(faces)
    result = json.loads((tmp_path / "runs" / "reduced" / "lr-oa-3.4.6-seed0" / "result.json").read_text())
    assert result["faces_seen"] == meetings * 12


# --- the whole of it ---------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def whole(corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """All systems, mixtures and scales, trained for a few steps; the folder of its networks, and of its results."""
    folder = tmp_path_factory.mktemp("whole")
    recipe = write_recipe(tiny(), folder)
    assert replicate(recipe, corpus, folder / "runs", results=folder / "results", say=lambda text: None)
    return folder / "runs" / "reduced", folder / "results"


def state_of(folder: Path, job: str) -> dict[str, "torch.Tensor"]:
    return load_checkpoint(folder / job / "network.pt")["weights"]


def test_every_system_is_trained_and_tested_at_every_scale(whole: tuple[Path, Path]) -> None:
    result = json.loads((whole[1] / "reduced.json").read_text())
    assert result["unfinished"] == []
    tested = {
        (job["system"], tuple(job["mixture"])): set(job.get("scores", job.get("restoration"))) for job in result["jobs"]
    }
    every = {"1", "3", "4", "6", "8", "12", "16"}
    assert tested["hr", (1,)] == tested["joint-oa", (3, 4, 6)] == tested["lr-oa", (3, 4, 6, 8, 12, 16)] == every
    for system in ("lr", "joint", "non-joint", "non-joint-two-stage", "sr-fcn"):
        assert all(tested[system, (s,)] == {str(s)} for s in (3, 4, 6, 8, 12, 16))
    assert {job["parameters"] for job in result["jobs"] if "scores" in job} == {parameter_count(CnnD((2, 3, 4)))}


def test_frozen_convolutions_are_sr_fcn_s_for_the_same_scale_and_seed(whole: tuple[Path, Path]) -> None:
    for seed in (0, 1):
        restored = state_of(whole[0], f"sr-fcn-8-seed{seed}")
        frozen = state_of(whole[0], f"non-joint-8-seed{seed}")
        for name in (n for n in frozen if n.startswith("convolutions.")):
            assert torch.equal(frozen[name], restored[name]), name


@pytest.mark.parametrize(
    ("system", "mixture", "handed"),
    [("joint", (8,), "sr-fcn-8-seed1"), ("joint-oa", (3, 4, 6), "sr-fcn-6-seed1"),
     ("joint-oa", (3, 4, 6, 8, 12, 16), "sr-fcn-16-seed1"), ("lr-oa", (3, 4, 6), None), ("hr", (1,), None),
     ("non-joint-two-stage", (8,), None)],
)  # fmt: skip
def test_tuning_starts_from_the_sr_fcn_of_the_largest_scale_of_the_mixture(
    system: str, mixture: tuple[int, ...], handed: str | None, whole: tuple[Path, Path], corpus: Path, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    seen: list[object] = []

    def look(*args: object, convolutions: torch.nn.Module | None = None, **options: object) -> None:
        seen.append(None if convolutions is None else convolutions.state_dict())
        raise loop.OutOfTime

    monkeypatch.setattr(running, "train_cnn_d", look)
    folder = tmp_path / "reduced"
    folder.mkdir()
    tested = f"{system}-{'.'.join(map(str, mixture))}-seed1"
    for job in whole[0].iterdir():
        if job.name != tested:  # all else is finished
            (folder / job.name).symlink_to(job)
    replicate(write_recipe(tiny(), tmp_path), corpus, tmp_path, systems=[system], scales=mixture, seeds=[1])
    if handed is None:
        assert seen == [None]
    else:
        restored = state_of(whole[0], handed)
        (state,) = seen
        assert all(torch.equal(value, restored[f"convolutions.{name}"]) for name, value in state.items())  # type: ignore[attr-defined]


def test_two_networks_read_what_the_first_restored(
    whole: tuple[Path, Path], corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    got: list[torch.Tensor] = []

    def look(
        experiment: object, mixture: tuple[int, ...], train: running.DeviceFaces, *_: object, **__: object
    ) -> None:
        got.append(train.pixels)
        assert mixture == (1,)
        raise loop.OutOfTime

    monkeypatch.setattr(running, "train_cnn_d", look)
    (tmp_path / "reduced").mkdir()
    (tmp_path / "reduced" / "sr-fcn-8-seed0").symlink_to(whole[0] / "sr-fcn-8-seed0")
    recipe = write_recipe(tiny(), tmp_path)
    replicate(recipe, corpus, tmp_path, systems=["non-joint-two-stage"], scales=[8], seeds=[0])
    network = SrFcn((2, 3, 4))
    network.load_state_dict(state_of(whole[0], "sr-fcn-8-seed0"))
    with np.load(corpus / "train.npz") as archive:
        native = torch.from_numpy(archive["pixels"][::2])
    with torch.no_grad():
        expected = network.restore(interpolated(native, 8)).round()
    assert (got[0].float() - expected).abs().max() <= 1


def test_what_is_finished_is_skipped_and_a_stopped_run_ends_as_if_it_had_not_been(
    corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    experiment = tiny()
    longer = experiment.model_copy(update={"recognize": experiment.recognize.model_copy(update={"epochs": 3})})
    recipe = write_recipe(longer, tmp_path)
    choice = {"systems": ["lr-oa"], "scales": [3, 4, 6], "seeds": [0], "say": lambda text: None}
    assert replicate(recipe, corpus, tmp_path / "straight", **choice)  # type: ignore[arg-type]
    assert not replicate(recipe, corpus, tmp_path / "stopped", minutes=0, **choice)  # type: ignore[arg-type]

    steps = iter([None, None, None, loop.OutOfTime()])

    def check(self: loop.Deadline) -> None:
        step = next(steps, None)
        if step is not None:
            raise step

    with monkeypatch.context() as patch:
        patch.setattr(loop.Deadline, "check", check)
        assert not replicate(recipe, corpus, tmp_path / "stopped", **choice)  # type: ignore[arg-type]
    job = "reduced/lr-oa-3.4.6-seed0"
    assert len((tmp_path / "stopped" / job / "log.csv").read_text().splitlines()) == 3  # heading, two epochs
    assert replicate(recipe, corpus, tmp_path / "stopped", **choice)  # type: ignore[arg-type]
    assert not (tmp_path / "stopped" / job / "last.pt").exists()
    straight, stopped = (state_of(tmp_path / name / "reduced", "lr-oa-3.4.6-seed0") for name in ("straight", "stopped"))
    assert all(torch.equal(straight[name], stopped[name]) for name in straight)

    before = (tmp_path / "straight" / job / "network.pt").stat().st_mtime_ns
    assert replicate(recipe, corpus, tmp_path / "straight", **choice)  # type: ignore[arg-type]
    assert (tmp_path / "straight" / job / "network.pt").stat().st_mtime_ns == before


def test_two_processes_share_an_experiment(corpus: Path, tmp_path: Path, run_cli) -> None:  # type: ignore[no-untyped-def]
    recipe = write_recipe(tiny(seeds=(0,)), tmp_path)
    command = [sys.executable, "-m", "lowbeam.cli", "replicate", recipe, "--corpus", corpus, "-o", tmp_path / "runs",
               "--threads", "1", "--system", "lr", "--system", "joint"]  # fmt: skip
    processes = [subprocess.Popen(list(map(str, command)), stderr=subprocess.PIPE, text=True) for _ in range(2)]
    said = [process.communicate(timeout=240)[1] for process in processes]
    assert [process.returncode for process in processes] == [0, 0]
    trained = [line.partition(":")[0] for text in said for line in text.splitlines() if "seed0: " in line]
    assert sorted(trained) == sorted(job.name for job in jobs_of(tiny(seeds=(0,)), systems=["lr", "joint"]))


def test_networks_of_other_settings_or_faces_are_never_taken_for_this_experiment_s(
    corpus: Path, hr_faces: Faces, tmp_path: Path
) -> None:
    choice = {"systems": ["hr"], "seeds": [0], "say": lambda text: None}
    replicate(write_recipe(tiny(), tmp_path), corpus, tmp_path / "runs", **choice)  # type: ignore[arg-type]
    other = write_recipe(tiny(channels=(2, 3, 5)), tmp_path)
    with pytest.raises(UsageError, match="was made with another channels"):
        replicate(other, corpus, tmp_path / "runs", **choice)  # type: ignore[arg-type]
    relabelled = write_ferplus(tmp_path / "relabelled", hr_faces[:24], seed=1)
    with pytest.raises(UsageError, match="was made with another faces"):
        replicate(write_recipe(tiny(), tmp_path), relabelled, tmp_path / "runs", **choice)  # type: ignore[arg-type]


def test_only_restoration_is_learned_from_faces_without_labels(hr_faces: Faces, tmp_path: Path) -> None:
    identity = np.array([f"person {n}" for n in range(len(hr_faces))])
    np.savez(tmp_path / "faces.npz", pixels=hr_faces, identity=identity)
    corpus = f"faces96:{tmp_path / 'faces.npz'}"
    with pytest.raises(CorpusError, match="only restoration"):
        replicate(write_recipe(tiny(), tmp_path), corpus, tmp_path / "runs", systems=["hr"])
    recipe = write_recipe(tiny("restorer", seeds=(0,)), tmp_path)
    assert replicate(recipe, corpus, tmp_path / "runs", results=tmp_path / "results", say=lambda text: None)
    result = json.loads((tmp_path / "results" / "restorer.json").read_text())
    for job in result["jobs"]:
        for scale, measured in job["restoration"].items():
            assert 10 < measured["psnr_db"] < 60 or scale == "1"
            assert 0 < measured["ssim"] <= 1
    assert (tmp_path / "results" / "restorer-faces.png").stat().st_size > 10_000
    assert "lowbeam's restorer, PSNR" in write_replication_page(tmp_path / "results", tmp_path / "page.md").read_text()


def test_bicubic_s_psnr_is_what_numpy_says(whole: tuple[Path, Path], corpus: Path) -> None:
    with np.load(corpus / "test.npz") as archive:
        native = archive["pixels"]
    hr = resample(native, 96).astype(np.float64)
    back = resample(resample(resample(native, 96), side_of(8)), 96).astype(np.float64)
    expected = (10 * np.log10(255**2 / ((hr - back) ** 2).mean((1, 2)))).mean()
    result = json.loads((whole[0] / "sr-fcn-8-seed0" / "result.json").read_text())
    assert result["restoration"]["8"]["bicubic_psnr_db"] == pytest.approx(expected, abs=0.02)


def test_the_page_says_only_what_the_result_files_say(whole: tuple[Path, Path]) -> None:
    page = write_replication_page(whole[1], whole[1].parent / "page.md").read_text()
    result = json.loads((whole[1] / "reduced.json").read_text())
    values = [
        job["scores"]["8"]["valence"]["ccc"]
        for job in result["jobs"]
        if job["system"] == "lr" and job["mixture"] == [8]
    ]
    assert f"{np.mean(values):.3f} ± {np.std(values, ddof=1):.3f}" in page
    for link in ("reduced-systems.png", "reduced-mixtures.png", "reduced-contrasts.png", "reduced-faces.png"):
        assert f"(results/{link})" in page
        assert (whole[1] / link).stat().st_size > 5000
    assert page.count("| LR-S |") == 7  # of six tables, and of the list of systems
    assert "not measured" not in page


@pytest.mark.parametrize("content", ["", "{}", '{"experiment": {"name": "x"}}', "[1]"])
def test_a_damaged_result_file_is_an_error(content: str, tmp_path: Path) -> None:
    (tmp_path / "x.json").write_text(content)
    with pytest.raises(UsageError, match=r"x\.json is damaged"):
        write_replication_page(tmp_path, tmp_path / "page.md")
    with pytest.raises(UsageError, match="holds no results"):
        write_replication_page(tmp_path / "nothing", tmp_path / "page.md")


@pytest.mark.parametrize(
    ("options", "message"), [({"device": "tpu"}, "device tpu is not one of"), ({"minutes": -1}, "minutes must be 0")]
)
def test_options_out_of_range_are_refused(options: dict, message: str, corpus: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=message):
        replicate("full", corpus, tmp_path / "runs", **options)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("replicate", "best", "--corpus", "{corpus}", "-o", "runs"), "there is no experiment best"),
        (("replicate", "full", "--corpus", "sewa:x", "-o", "runs"), "corpus sewa is not one of"),
        (("replicate", "full", "--corpus", "gone", "-o", "runs"), "is missing"),
    ],
)
def test_mistakes_on_the_command_line_are_one_line(
    arguments: tuple[str, ...],
    message: str,
    run_cli,
    corpus: Path,
    tmp_path: Path,  # type: ignore[no-untyped-def]
) -> None:
    done = run_cli(*(argument.format(corpus=corpus) for argument in arguments), cwd=tmp_path)
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert message in done.stderr
    assert not list(tmp_path.iterdir())
