"""Training: recipes, degradation, losses, the loop, and a whole run with stills in small."""

import math
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="PyTorch comes with the train extra")

from test_evaluate import write_ferplus  # noqa: E402

from lowbeam import Recognizer, UsageError  # noqa: E402
from lowbeam.models.one_for_all import GRID, SIZES, Size, to_grid, to_patches  # noqa: E402
from lowbeam.scale import SCALES, Faces, resample, resample_matrix, shrink  # noqa: E402
from lowbeam.train import loop  # noqa: E402
from lowbeam.train.checkpoint import load_checkpoint, save_checkpoint  # noqa: E402
from lowbeam.train.degrade import augment, received  # noqa: E402
from lowbeam.train.losses import ccc_loss, gaussian_nll  # noqa: E402
from lowbeam.train.recognizer_recipe import RECIPES, load_recognizer_recipe  # noqa: E402
from lowbeam.train.run import train  # noqa: E402
from lowbeam.train.schedule import OneCycle  # noqa: E402
from lowbeam.train.start import load_finished  # noqa: E402

TINY = (
    "precision='32'", "pretrain.steps=4", "pretrain.batch=16", "mixture.steps=4", "mixture.batch=25",
    "mixture.groups=5", "network={patch: 4, stages: [[8, 0], [12, 1]]}",
)  # fmt: skip


def test_training_degrades_exactly_as_the_sender_does(hr_faces: Faces) -> None:
    hr = torch.from_numpy(hr_faces.astype(np.float32))
    for scale in SCALES:
        lr = shrink(hr_faces, scale)
        sent = to_grid(torch.from_numpy(lr), torch.from_numpy(resample_matrix(lr.shape[1], GRID).copy()))
        assert torch.allclose(received(hr, scale), sent, atol=0.03), scale


def test_augmentation_keeps_faces_faces(hr_faces: Faces) -> None:
    torch.manual_seed(0)
    native = torch.from_numpy(shrink(hr_faces, 2))
    bounds = load_recognizer_recipe("one-for-all").augmentation
    moved = augment(native, bounds)
    assert moved.shape == (len(native), 96, 96)
    assert float(moved.min()) >= 0
    assert float(moved.max()) <= 255
    nothing = {"rotation_deg": 0, "zoom": 0, "shift": 0, "gamma": 0, "erase": 0}
    still = augment(native, bounds.model_copy(update=nothing))
    mirrored = still.flip(2)
    hr = torch.from_numpy(hr_faces.astype(np.float32))
    error = torch.minimum((still - hr).abs().mean((1, 2)), (mirrored - hr).abs().mean((1, 2)))
    assert float(error.max()) < 4  # only the mirroring is left; the kernels differ a little
    assert float((moved - still).abs().mean()) > 4


def test_light_darkens_and_brightens_a_share_of_faces_and_leaves_the_rest(hr_faces: Faces) -> None:
    torch.manual_seed(0)
    native = torch.from_numpy(np.concatenate([hr_faces] * 8))
    nothing = dict.fromkeys(("rotation_deg", "zoom", "shift", "gamma", "erase"), 0)
    bounds = load_recognizer_recipe("one-for-all").augmentation.model_copy(update={**nothing, "light": 0.5})
    found = augment(native, bounds)
    before, after = native.float().mean((1, 2)), found.mean((1, 2))
    same = (after / before - 1).abs() < 0.02
    assert 0.4 < float(same.float().mean()) < 0.65
    assert float((after / before).min()) < 0.2
    assert float((after / before).max()) > 1.3
    assert float(found.min()) >= 0
    assert float(found.max()) <= 255
    assert torch.equal(found, found.round())


def test_losses_are_zero_where_they_should_be() -> None:
    truth = torch.randn(64, 2)
    assert float(ccc_loss(truth, truth)) == pytest.approx(0, abs=1e-5)
    assert float(ccc_loss(-truth, truth)) > 1.5
    error = 0.5
    at_best = gaussian_nll(truth + error, torch.full((64, 2), 2 * np.log(error)), truth)
    for off in (-0.5, 0.5):
        assert float(gaussian_nll(truth + error, torch.full((64, 2), 2 * np.log(error) + off), truth)) > float(at_best)


def test_the_likelihood_does_not_move_the_mean() -> None:
    predicted = torch.zeros(4, 2, requires_grad=True)
    log_variance = torch.zeros(4, 2, requires_grad=True)
    gaussian_nll(predicted, log_variance, torch.ones(4, 2)).backward()
    assert predicted.grad is None
    assert log_variance.grad is not None


# --- recipes -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["best", "accurate", "fast", "fine-tune", "one-for-all"])
def test_recipes_that_ship_are_whole(name: str) -> None:
    assert load_recognizer_recipe(name).name == name


def test_no_other_recipe_ships() -> None:
    assert {path.stem for path in RECIPES.glob("*.yaml")} == {
        "accurate",
        "best",
        "fast",
        "features",
        "fine-tune",
        "one-for-all",
    }


def test_the_ablations_of_the_docs_are_whole() -> None:
    found = sorted((Path(__file__).parents[1] / "research" / "recipes").glob("*.yaml"))
    assert [load_recognizer_recipe(path).name for path in found] == ["hr-only", "rendered-only", "scales-only"]


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("name: [", "is not YAML"), ("seed: 1", "must begin with `kind: recognizer`"),
        ("kind: recognizer\nseed: 1", "name: Field required"), ("kind: recogniser", "must begin with"),
        ("kind: experiment", "is of kind experiment: use `lowbeam replicate`"), ("- 1", "must begin with"),
        ("", "must begin with"),
    ],
)  # fmt: skip
def test_a_wrong_recipe_names_what_is_wrong(text: str, reason: str, tmp_path: Path) -> None:
    (tmp_path / "r.yaml").write_text(text)
    with pytest.raises(UsageError, match=reason):
        load_recognizer_recipe(tmp_path / "r.yaml")


def test_an_unknown_recipe_lists_those_that_ship() -> None:
    with pytest.raises(UsageError, match="there is no recognizer slow; these ship: accurate, best, fast"):
        load_recognizer_recipe("slow")


@pytest.mark.parametrize(
    "change", ["mixture", "mixture.steps", "nothing.steps=1", "mixture.steps.x=1", "mixture.steps=[", "seed=2020-13-45"]
)
def test_a_change_without_a_place_and_a_value_is_refused(change: str) -> None:
    with pytest.raises(UsageError, match="does not change a recipe"):
        load_recognizer_recipe("fast", [change])


def test_changes_are_made_before_the_check() -> None:
    changed = load_recognizer_recipe(
        "fast", ["mixture.steps=7", "temporal=null", "network={patch: 4, stages: [[8, 1], [9, 0]]}"]
    )
    assert (changed.mixture.steps, changed.temporal, changed.size) == (7, None, Size(4, ((8, 1), (9, 0))))
    with pytest.raises(UsageError, match=r"mixture.scales.1: Value error, scale 5 is not one of"):
        load_recognizer_recipe("fast", ["mixture.scales=[1, 5]"])
    with pytest.raises(UsageError, match=r"temporal\.loss"):
        load_recognizer_recipe("fast", ["temporal.loss=hope"])


@pytest.mark.parametrize(
    "network", ["slow", "{patch: 0, stages: [[8, 1]]}", "{patch: 8, stages: []}", "{patch: 2, stages: [[8, 1]]}"]
)
def test_an_impossible_network_is_refused(network: str) -> None:
    with pytest.raises(UsageError, match="recognizer"):
        load_recognizer_recipe("fast", [f"network={network}"])


# --- the loop ----------------------------------------------------------------------------------------------------


class Line(loop.Task[list[int]]):
    """Fits y = 2 x by a weight, and counts its own draws."""

    loss_names = ("error",)

    def __init__(self, blow_up: bool = False) -> None:
        self._rng, self._blow_up = np.random.default_rng(0), blow_up
        super().__init__(torch.nn.Linear(1, 1, bias=False), rng=self._rng)
        torch.nn.init.zeros_(self.network.weight)

    def batches(self):  # type: ignore[no-untyped-def]
        while True:
            yield self._rng.normal(size=4).tolist()

    def losses(self, batch: list[float]) -> "torch.Tensor":
        x = torch.tensor(batch)[:, None]
        noise = 0.1 * torch.randn(len(x), 1)
        loss = (self.network(x) - 2 * x + noise).square().mean()[None]
        return loss * math.inf if self._blow_up else loss

    def valid_loss(self, network: torch.nn.Linear) -> float:
        return abs(float(network.weight) - 2)


def fitted(folder: Path, deadline: loop.Deadline | None = None, **options: object) -> tuple[float, loop.Fitted]:
    torch.manual_seed(1)
    task = Line()
    optimizer = torch.optim.AdamW(task.network.parameters(), lr=0.1)
    took = loop.fit(task, optimizer, OneCycle(optimizer, 25), folder, deadline=deadline, **options)  # type: ignore[arg-type]
    return float(task.network.weight.detach()), took


@pytest.mark.parametrize("options", [{}, {"average_decay": 0.9}, {"max_gradient_norm": 0.5}])
def test_a_run_that_is_stopped_and_resumed_ends_as_one_that_was_not(
    options: dict[str, float], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    straight = fitted(tmp_path / "straight", **options)[0]
    stops = iter([None, None, loop.OutOfTime()])

    def check(self: loop.Deadline) -> None:
        if (stop := next(stops, None)) is not None:
            raise stop

    with monkeypatch.context() as patch:
        patch.setattr(loop.Deadline, "check", check)
        with pytest.raises(loop.OutOfTime):
            fitted(tmp_path / "stopped", loop.Deadline(), **options)
    assert len((tmp_path / "stopped" / "log.csv").read_text().splitlines()) == 3  # heading, two rounds
    weight, took = fitted(tmp_path / "stopped", **options)
    assert (took.rounds, took.steps) == (9, 25)
    assert weight == straight
    assert fitted(tmp_path / "stopped", **options)[0] == straight  # finished: nothing is trained
    logs = [(tmp_path / name / "log.csv").read_text().splitlines() for name in ("straight", "stopped")]
    in_straight, in_stopped = ([row.rpartition(",")[0] for row in rows] for rows in logs)  # without the seconds
    assert in_straight == in_stopped


def test_a_folder_of_another_run_or_a_damaged_checkpoint_is_refused(tmp_path: Path) -> None:
    fitted(tmp_path, about={"recipe": "this"})
    with pytest.raises(UsageError, match="another recipe, start, teacher or corpus"):
        fitted(tmp_path, about={"recipe": "that"})
    save_checkpoint(tmp_path / "last.pt", kind="of another layout")
    with pytest.raises(UsageError, match="is damaged or from another version"):
        fitted(tmp_path, about={"recipe": "this"})
    (tmp_path / "last.pt").write_bytes(b"no checkpoint")
    with pytest.raises(UsageError, match="is damaged or from another version"):
        fitted(tmp_path, about={"recipe": "this"})


def test_a_loss_that_is_not_finite_ends_a_run_with_one_clear_error(tmp_path: Path) -> None:
    task = Line(blow_up=True)
    optimizer = torch.optim.SGD(task.network.parameters(), lr=0.1)
    with pytest.raises(UsageError, match="lower the learning rate"):
        loop.fit(task, optimizer, OneCycle(optimizer, 10), tmp_path)
    assert not (tmp_path / "last.pt").exists()


def test_a_checkpoint_cannot_execute_code(tmp_path: Path) -> None:
    class Evil:
        def __reduce__(self) -> tuple[object, tuple[str]]:
            return (Path.touch, (tmp_path / "owned",))  # type: ignore[return-value]

    torch.save({"format": 1, "kind": Evil()}, tmp_path / "network.pt")
    with pytest.raises(UsageError, match="not the folder of a finished run"):
        load_finished(tmp_path)
    assert not (tmp_path / "owned").exists()


# --- a whole run -------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def finished(hr_faces: Faces, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A corpus folder, and the folder of a whole tiny run on it."""
    corpus = write_ferplus(tmp_path_factory.mktemp("ferplus"), hr_faces)
    out = tmp_path_factory.mktemp("run")
    recipe = load_recognizer_recipe("one-for-all", TINY)
    assert train(recipe, [f"ferplus:{corpus}"], out) == out / "one-for-all.onnx"
    return corpus, out


def test_a_run_leaves_its_network_and_a_calibrated_onnx_file_of_it(
    finished: tuple[Path, Path], hr_faces: Faces
) -> None:
    network, head = load_finished(finished[1])
    assert head is None
    lr = shrink(hr_faces, 8)
    with torch.no_grad():
        grid = to_grid(torch.from_numpy(lr), torch.from_numpy(resample_matrix(12, GRID).copy()))
        affect, log_variance, _ = network(grid)
    estimates = Recognizer(finished[1] / "one-for-all.onnx")(lr)
    assert np.allclose(estimates.valence, affect[:, 0].clamp(-1, 1), atol=1e-4)
    std = torch.exp(0.5 * log_variance[:, 0]).numpy()
    power = np.polyfit(np.log(std), np.log(estimates.valence_std), 1)
    assert np.allclose(np.polyval(power, np.log(std)), np.log(estimates.valence_std), atol=1e-3)


def test_the_mixture_starts_from_the_pretrained_trunk(
    finished: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    corpus, out = finished
    best = load_checkpoint(out / "pretrain" / "last.pt")["best"]
    seen: dict[str, torch.Tensor] = {}

    def look(task: loop.Task, *given: object, **options: object) -> None:  # type: ignore[type-arg]
        if "average_decay" in options:
            seen.update({name: value.clone() for name, value in task.network.state_dict().items()})
            raise loop.OutOfTime
        fit(task, *given, **options)  # type: ignore[arg-type]

    fit = loop.fit
    monkeypatch.setattr("lowbeam.train.run.fit", look)
    (tmp_path / "pretrain").symlink_to(out / "pretrain")
    with pytest.raises(loop.OutOfTime):
        train(load_recognizer_recipe("one-for-all", TINY), [f"ferplus:{corpus}"], tmp_path)
    names = [name for name in best if name.startswith("trunk.")]
    assert len(names) > 15
    assert all(torch.equal(best[name], seen[name]) for name in names)


def test_a_bare_path_is_a_ferplus_folder(finished: tuple[Path, Path], tmp_path: Path) -> None:
    recipe = load_recognizer_recipe("one-for-all", TINY)
    again = train(recipe, [str(finished[0])], finished[1])
    assert again.is_file()


def test_a_run_of_another_version_is_refused(finished: tuple[Path, Path], tmp_path: Path) -> None:
    content = load_checkpoint(finished[1] / "network.pt")
    save_checkpoint(tmp_path / "network.pt", **{**content, "format": 0})
    with pytest.raises(UsageError, match="not the folder of a finished run"):
        load_finished(tmp_path)
    assert SIZES["accurate"] != load_finished(finished[1])[0].trunk.size


@pytest.mark.parametrize(("side", "patch"), [(6, 2), (13, 2), (96, 4)])
def test_patches_are_the_grid_cut_up(hr_faces: Faces, side: int, patch: int) -> None:
    faces, matrix = torch.from_numpy(resample(hr_faces[:3], side)), torch.from_numpy(resample_matrix(side, GRID).copy())
    expected = torch.nn.PixelUnshuffle(patch)(to_grid(faces, matrix))
    assert torch.allclose(to_patches(faces, matrix, patch), expected, atol=1e-5)
