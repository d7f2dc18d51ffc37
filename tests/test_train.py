"""The school: recipes, degradation, and a whole run in small."""

from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="PyTorch comes with the train extra")
pytest.importorskip("lightning", reason="Lightning comes with the train extra")

from test_evaluate import write_ferplus  # noqa: E402

from lowbeam import Recognizer, UsageError  # noqa: E402
from lowbeam.models.one_for_all import GRID, OneForAll, Trunk, to_grid  # noqa: E402
from lowbeam.scale import SCALES, Faces, resample_matrix, shrink  # noqa: E402
from lowbeam.train import run as training  # noqa: E402
from lowbeam.train.degrade import augment, received  # noqa: E402
from lowbeam.train.losses import ccc_loss, gaussian_nll  # noqa: E402
from lowbeam.train.recipe import RECIPES, Recipe, load_recipe  # noqa: E402


def tiny(**finetune: object) -> Recipe:
    """The shipped recipe, cut down to a few steps."""
    recipe = load_recipe("one-for-all").model_dump()
    recipe["precision"] = "32-true"
    recipe["restore"] |= {"epochs": 1, "batch": 25}
    recipe["finetune"] |= {"epochs": 2, "batch": 25, "groups": 5, "validate_every": 1} | finetune
    return Recipe.model_validate(recipe)


def test_training_degrades_exactly_as_the_sender_does(hr_faces: Faces) -> None:
    hr = torch.from_numpy(hr_faces.astype(np.float32))
    for scale in SCALES:
        lr = shrink(hr_faces, scale)
        sent = to_grid(torch.from_numpy(lr), torch.from_numpy(resample_matrix(lr.shape[1], GRID).copy()))
        assert torch.allclose(received(hr, scale), sent, atol=0.03), scale


def test_augmentation_keeps_faces_faces(hr_faces: Faces) -> None:
    torch.manual_seed(0)
    native = torch.from_numpy(shrink(hr_faces, 2))
    moved = augment(native, load_recipe("one-for-all").augmentation)
    assert moved.shape == (len(native), 96, 96)
    assert float(moved.min()) >= 0
    assert float(moved.max()) <= 255
    still = augment(native, load_recipe("one-for-all").augmentation.model_copy(
        update={"rotation_deg": 0, "zoom": 0, "shift": 0, "gamma": 0, "erase": 0}))  # fmt: skip
    mirrored = still.flip(2)
    hr = torch.from_numpy(hr_faces.astype(np.float32))
    error = torch.minimum((still - hr).abs().mean((1, 2)), (mirrored - hr).abs().mean((1, 2)))
    assert float(error.max()) < 4  # all but the mirroring is gone; the kernels differ a little
    assert float((moved - still).abs().mean()) > 4


def test_losses_are_zero_where_they_should_be() -> None:
    truth = torch.randn(64, 2)
    assert float(ccc_loss(truth, truth)) == pytest.approx(0, abs=1e-5)
    assert float(ccc_loss(-truth, truth)) > 1.5
    error = 0.5
    at_best = gaussian_nll(truth + error, torch.full((64, 2), 2 * np.log(error)), truth)
    for off in (-0.5, 0.5):
        assert float(gaussian_nll(truth + error, torch.full((64, 2), 2 * np.log(error) + off), truth)) > float(at_best)


def test_the_deviation_s_loss_leaves_the_mean_alone() -> None:
    predicted = torch.zeros(4, 2, requires_grad=True)
    log_variance = torch.zeros(4, 2, requires_grad=True)
    gaussian_nll(predicted, log_variance, torch.ones(4, 2)).backward()
    assert predicted.grad is None
    assert log_variance.grad is not None


@pytest.fixture(scope="module")
def finished(hr_faces: Faces, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A corpus folder, and the folder of a whole tiny run on it."""
    corpus = write_ferplus(tmp_path_factory.mktemp("ferplus"), hr_faces)
    out = tmp_path_factory.mktemp("run")
    assert training.train(tiny(), corpus, out) == out / "one-for-all.onnx"
    return corpus, out


def test_a_run_leaves_a_calibrated_onnx_file_of_its_best_weights(finished: tuple[Path, Path], hr_faces: Faces) -> None:
    _, out = finished
    network = OneForAll(Trunk())
    state = torch.load(out / "finetune" / "best.ckpt", weights_only=False)["state_dict"]
    network.load_state_dict({name.removeprefix("network."): value for name, value in state.items()})
    lr = shrink(hr_faces, 8)
    with torch.no_grad():
        grid = to_grid(torch.from_numpy(lr), torch.from_numpy(resample_matrix(12, GRID).copy()))
        affect, log_variance, _ = network.eval()(grid)
    reading = Recognizer(out / "one-for-all.onnx")(lr)
    assert np.allclose(reading.valence, affect[:, 0].clamp(-1, 1), atol=1e-4)
    factor = reading.valence_std / torch.exp(0.5 * log_variance[:, 0]).numpy()
    assert np.allclose(factor, factor[0], rtol=1e-3)
    assert 0.3 <= factor[0] <= 5


def test_finetuning_starts_from_the_restored_trunk(
    finished: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    corpus, out = finished
    restored = torch.load(out / "restore" / "last.ckpt", weights_only=False)["state_dict"]
    handed: dict[str, torch.Tensor] = {}

    class Stop(Exception):  # noqa: N818
        pass

    def look(stage: torch.nn.Module, folder: Path, *_: object) -> None:
        if folder.name == "finetune":
            handed.update({name: value.clone() for name, value in stage.state_dict().items()})
            raise Stop
        real_fit(stage, folder, *_)

    real_fit = training._fit
    monkeypatch.setattr(training, "_fit", look)
    (tmp_path / "restore").symlink_to(out / "restore")
    with pytest.raises(Stop):
        training.train(tiny(), corpus, tmp_path)
    names = [name for name in restored if name.startswith("restorer.trunk.")]
    assert len(names) > 20
    for name in names:
        assert torch.equal(restored[name], handed[name.replace("restorer.", "network.")]), name


def test_a_killed_run_goes_on_where_it_was(finished: tuple[Path, Path], tmp_path: Path) -> None:
    corpus, _ = finished

    class Killed(BaseException):
        pass

    def die(stage: object, *_: object) -> None:
        if stage.current_epoch == 1 and isinstance(stage, training.FinetuneStage):  # type: ignore[attr-defined]
            raise Killed

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(training.FinetuneStage, "on_train_epoch_start", die)
        with pytest.raises(Killed):
            training.train(tiny(), corpus, tmp_path)
    assert torch.load(tmp_path / "finetune" / "last.ckpt", weights_only=False)["epoch"] == 0
    before = (tmp_path / "restore" / "last.ckpt").stat().st_mtime_ns
    training.train(tiny(), corpus, tmp_path)
    assert torch.load(tmp_path / "finetune" / "last.ckpt", weights_only=False)["epoch"] == 1
    assert (tmp_path / "one-for-all.onnx").exists()
    assert (tmp_path / "restore" / "last.ckpt").stat().st_mtime_ns == before


def test_every_shipped_recipe_loads() -> None:
    for path in RECIPES.glob("*.yaml"):
        assert load_recipe(path).name == path.stem


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("name: [", "is not YAML"), ("seed: 1", "name: Field required"), ("speed: 1", "Field required"),
    ],
)  # fmt: skip
def test_a_wrong_recipe_names_its_field(text: str, reason: str, tmp_path: Path) -> None:
    (tmp_path / "r.yaml").write_text(text)
    with pytest.raises(UsageError, match=reason):
        load_recipe(tmp_path / "r.yaml")


def test_a_run_whose_last_epoch_would_not_be_validated_is_refused(tmp_path: Path) -> None:
    text = (RECIPES / "one-for-all.yaml").read_text().replace("epochs: 60", "epochs: 58")
    (tmp_path / "r.yaml").write_text(text)
    with pytest.raises(UsageError, match=r"epochs must be a multiple of validate_every \(5\)"):
        load_recipe(tmp_path / "r.yaml")


def test_a_scale_that_is_not_offered_is_refused_in_a_recipe(tmp_path: Path) -> None:
    text = (RECIPES / "one-for-all.yaml").read_text().replace("[1, 2, 3,", "[1, 2, 5,")
    (tmp_path / "r.yaml").write_text(text)
    with pytest.raises(UsageError, match=r"finetune.scales.2: Value error, scale 5 is not one of"):
        load_recipe(tmp_path / "r.yaml")
