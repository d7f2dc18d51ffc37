"""Training with codecs in the loop, distillation and recordings: small, but whole; and fine-tuning a shipped model."""

import shutil
from copy import deepcopy
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="PyTorch comes with the train extra")

from hypothesis import given  # noqa: E402
from hypothesis import strategies as st  # noqa: E402

from lowbeam import CorpusError, ModelError, OutputError, UsageError  # noqa: E402
from lowbeam.corpora import ferplus  # noqa: E402
from lowbeam.corpora.labelled import LabelledFaces, Track  # noqa: E402
from lowbeam.files import exclusive  # noqa: E402
from lowbeam.metrics import ccc  # noqa: E402
from lowbeam.models.average import average_with  # noqa: E402
from lowbeam.models.export import export_onnx, export_video_onnx  # noqa: E402
from lowbeam.models.one_for_all import SIZES, OneForAll, Size, Trunk  # noqa: E402
from lowbeam.models.recover import recover, restore_statistics  # noqa: E402
from lowbeam.models.temporal import TemporalHead  # noqa: E402
from lowbeam.models.widen import can_widen, widened  # noqa: E402
from lowbeam.recognize import Recognizer  # noqa: E402
from lowbeam.scale import SCALES, Faces, resample, shrink, side_of  # noqa: E402
from lowbeam.train import loop  # noqa: E402
from lowbeam.train.calibrate import Sample, calibrate, fit, temperature  # noqa: E402
from lowbeam.train.coded_stills import CODECS, coded_stills  # noqa: E402
from lowbeam.train.coded_tracks import PLAIN, coded_tracks  # noqa: E402
from lowbeam.train.degrade import on_grid  # noqa: E402
from lowbeam.train.mixture import MixtureTask  # noqa: E402
from lowbeam.train.recognizer_recipe import load_recognizer_recipe  # noqa: E402
from lowbeam.train.run import train  # noqa: E402
from lowbeam.train.sampler import Group, GroupSampler  # noqa: E402
from lowbeam.train.start import load_finished, load_start, save_finished  # noqa: E402
from lowbeam.train.teacher import Teacher  # noqa: E402
from lowbeam.train.training_data import StillCorpus, TrainingData  # noqa: E402


def test_stills_are_coded_once_and_cached(tmp_path: Path, hr_faces: Faces) -> None:
    native = resample(hr_faces[:40], 48)
    stills = LabelledFaces(native, np.zeros((40, 2), np.float32), np.arange(40, dtype=np.int32))
    (first,) = coded_stills(stills, tmp_path, 1, 3, None, 1)
    for scale in SCALES:
        assert first.pixels[scale].shape == (40, side_of(scale), side_of(scale))
    assert len({int(codec) for point in first.point.values() for codec in point[:, 0]}) == len(CODECS)
    true = shrink(resample(native, 96), 4)
    assert 0.3 < np.abs(first.pixels[4].astype(int) - true).mean() < 25
    kept = {path: path.stat().st_mtime_ns for path in tmp_path.glob("part-*")}
    (again,) = coded_stills(stills, tmp_path, 1, 3, None, 1)
    assert {path: path.stat().st_mtime_ns for path in tmp_path.glob("part-*")} == kept
    assert np.array_equal(first.pixels[8], again.pixels[8])
    (other,) = coded_stills(stills, tmp_path, 1, 4, None, 1)
    assert not np.array_equal(first.point[8], other.point[8])


def track(faces: Faces, person: int) -> Track:
    times = np.arange(len(faces)) / 25
    affect = np.stack([np.sin(times + person), np.cos(times)], 1).astype(np.float32) / 2
    return Track(person, times, faces, affect, np.tile(np.float32([0, 0, 90]), (len(faces), 1)))


def test_tracks_are_coded_whole_at_their_frame_rates(tmp_path: Path, hr_faces: Faces) -> None:
    found = coded_tracks([track(hr_faces, 0)], tmp_path, 2, 5, 1)
    assert len(found) == 3 * len(SCALES)
    assert sum(coded.codec == PLAIN for coded in found) == len(SCALES)
    for coded in found:
        assert coded.pixels.shape == (len(coded.time_s), side_of(coded.scale), side_of(coded.scale))
        assert len(coded.affect) == len(coded.time_s)
        assert len(coded.time_s) == pytest.approx(2 * coded.fps, abs=1.5)


@pytest.fixture(scope="module")
def stills_folder(hr_faces: Faces, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("ferplus")
    for split in ("train", "valid"):
        votes = np.zeros((48, 10), np.uint8)
        votes[np.arange(48), np.arange(48) % 8] = 10
        np.savez(folder / f"{split}.npz", pixels=resample(hr_faces[:48], 48), votes=votes)
    return folder


def test_deviations_are_calibrated_on_the_group_with_the_largest_miss(stills_folder: Path, tmp_path: Path) -> None:
    torch.manual_seed(4)
    valid = ferplus.load(stills_folder, "valid")
    path = tmp_path / "still.onnx"
    export_onnx(OneForAll(Trunk(SIZES["fast"])).eval(), path)
    uncoded = [Sample("uncoded", shrink(valid.faces(), s), valid.affect) for s in SCALES]
    plain = calibrate(path, uncoded)
    assert plain == calibrate(path, [*uncoded, *(sample._replace(group="coded") for sample in uncoded)])
    wrong = [Sample("coded", sample.pixels[::-1].copy(), sample.affect) for sample in uncoded]  # labels of others
    assert calibrate(path, [*uncoded, *wrong]) != plain
    truth = valid.affect[:, 0]
    estimates = Recognizer(path)(shrink(valid.faces(), 8))
    assert np.mean(np.abs(estimates.valence - truth) <= 2 * estimates.valence_std) > 0.8


@given(seed=st.integers(0, 20), power=st.sampled_from([0.7, 1.0, 1.5]), factor=st.floats(0.7, 1.5))
def test_calibration_inverts_a_power_and_a_factor(seed: int, power: float, factor: float) -> None:
    rng = np.random.default_rng(seed)
    groups = []
    for low, high in ((0.1, 0.3), (0.2, 0.6)):  # uncoded and coded faces
        true_std = rng.uniform(low, high, 6000)
        groups.append((np.abs(true_std * rng.standard_normal(6000)), (true_std / factor) ** (1 / power)))
    found = fit(groups)
    for errors, std in groups:
        within = [np.mean(errors <= n * found.factor * std**found.power) for n in (1, 2)]
        assert within == pytest.approx([0.683, 0.954], abs=0.02)


# --- distillation ------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def teacher_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a finished run whose network has random weights."""
    torch.manual_seed(2)
    folder = tmp_path_factory.mktemp("teacher")
    save_finished(OneForAll(Trunk(SIZES["fast"])), None, folder)
    return folder


def test_a_teacher_estimates_a_face_and_its_mirror_image_alike(teacher_run: Path) -> None:
    teacher, grid = Teacher(load_finished(teacher_run)[0]), torch.randn(3, 1, 48, 48)
    targets, mirrored = teacher(grid), teacher(grid.flip(3))
    assert torch.allclose(targets.affect, mirrored.affect, atol=1e-5)
    assert torch.allclose(targets.emotion, mirrored.emotion, atol=1e-5)
    assert torch.allclose(targets.emotion.sum(1), torch.ones(3), atol=1e-5)
    # Features of the left quarters go where those of the right were.
    swapped = mirrored.features.unflatten(1, (-1, 2, 2)).flip(3).flatten(1)
    assert torch.allclose(targets.features, swapped, atol=1e-5)


def test_targets_lie_between_label_and_teacher(teacher_run: Path) -> None:
    """A student with the teacher's outputs has no loss where the target is the teacher's alone, and some where labels
    say otherwise."""
    teacher, network = Teacher(load_finished(teacher_run)[0]), load_finished(teacher_run)[0].eval()
    grid = torch.randn(8, 1, 48, 48)
    grid = torch.cat([grid, grid.flip(3)])  # on faces that equal their mirror image, student and teacher agree
    grid = (grid + grid.flip(3)) / 2
    group = Group(grid, torch.full((16, 2), 0.9), torch.full((16, 8), torch.nan), grid)

    def mse(share: float) -> float:
        changes = [f"mixture.teacher_share={share}", "mixture.feature_weight=0", "precision='32'"]
        recipe = load_recognizer_recipe("fast", changes)
        sampler = GroupSampler(TrainingData(), recipe.mixture, recipe.augmentation, 0, torch.device("cpu"))
        task = MixtureTask(network, recipe, sampler, teacher)
        with torch.no_grad():
            return float(task.losses([group])[0])

    assert mse(1) < 1e-6 < mse(0.5) < mse(0)
    assert mse(0.5) == pytest.approx(mse(0) / 4, rel=0.01)


def test_several_corpora_of_stills_are_drawn_from_by_their_size(hr_faces: Faces) -> None:
    def corpus(count: int, side: int, valence: float) -> StillCorpus:
        affect = np.full((count, 2), valence, np.float32)
        pixels = resample(np.concatenate([hr_faces, hr_faces])[:count], side)
        return StillCorpus(
            ferplus.Stills(pixels, affect, np.arange(count, dtype=np.int32), np.eye(8, dtype=np.float32)[[0] * count])
        )

    recipe = load_recognizer_recipe("fast", ["mixture.shares={stills: 1}"])
    data = TrainingData([corpus(60, 48, 0.25), corpus(20, 96, 0.75)])
    sampler = GroupSampler(data, recipe.mixture, recipe.augmentation, 0, torch.device("cpu"))
    drawn = [float(sampler.group(2).affect[0, 0]) for _ in range(400)]
    assert set(drawn) == {0.25, 0.75}
    assert np.mean([value == 0.25 for value in drawn]) == pytest.approx(0.75, abs=0.08)


def test_the_temperature_of_expressions_undoes_overconfidence() -> None:
    rng = np.random.default_rng(0)
    logits = rng.normal(size=(4000, 8)) * 2
    shares = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    assert temperature(logits, shares) == pytest.approx(1, rel=0.03)
    assert temperature(3 * logits, shares) == pytest.approx(3, rel=0.03)
    assert temperature(logits / 2, shares) == pytest.approx(0.5, rel=0.03)


def test_an_average_of_networks_lies_between_them() -> None:
    torch.manual_seed(1)
    grid = torch.randn(16, 1, 48, 48)

    def network() -> OneForAll:
        made = OneForAll(Trunk(Size(2, ((4, 0), (6, 1), (8, 1)))))
        restore_statistics(made, [3 * torch.randn(8, 1, 48, 48)])
        return made.eval()

    one, other = network(), network()
    expected, of_other = one(grid), other(grid)
    for share, computed in ((0.0, expected), (1.0, of_other)):
        between = deepcopy(one)
        average_with(between, deepcopy(other), share)
        assert all(torch.allclose(a, b, atol=1e-5) for a, b in zip(between(grid), computed, strict=True))
    half = deepcopy(one)
    average_with(half, deepcopy(other), 0.5)
    middle = (one.readout.weight + other.readout.weight) / 2
    assert torch.allclose(half.readout.weight, middle)
    assert all((a - b).abs().max() > 1e-3 for a, b in zip(half(grid), expected, strict=True))


def test_a_widened_network_computes_the_same_and_its_copies_can_part() -> None:
    torch.manual_seed(0)
    network, to = OneForAll(Trunk(Size(2, ((4, 0), (6, 1), (8, 1))))), Size(2, ((5, 1), (12, 1), (9, 3)))
    restore_statistics(network, [torch.randn(8, 1, 48, 48)])
    grid = torch.randn(16, 1, 48, 48)
    expected, same, noisy = (net.eval()(grid) for net in (network, widened(network, to, 0, 0), widened(network, to, 0)))
    for one, other in zip(expected, same, strict=True):
        assert torch.allclose(one, other, atol=1e-5)
    assert 0 < float((expected[0] - noisy[0]).abs().max()) < 0.5
    assert not can_widen(to, network.trunk.size)
    assert not can_widen(network.trunk.size, Size(4, ((8, 1), (8, 1))))


# --- recordings --------------------------------------------------------------------------------------------------


@pytest.fixture
def people(hr_faces: Faces, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """A corpus of recordings: two people to train on, one to validate on."""
    tracks = {"train": [track(hr_faces, 0), track(hr_faces[::-1], 1)], "valid": [track(hr_faces, 2)]}
    monkeypatch.setattr("lowbeam.train.training_data._tracks", lambda corpus, split, progress: tracks[split])
    return ["manifest:people.csv"]


def test_recipe_corpora_start_and_teacher_must_fit_together(
    teacher_run: Path, stills_folder: Path, tmp_path: Path
) -> None:
    both = [f"ferplus:{stills_folder}", "manifest:x.csv"]
    fast = load_recognizer_recipe("fast")
    untaught = load_recognizer_recipe("fast", ["mixture.teacher_share=0", "mixture.feature_weight=0"])
    with pytest.raises(UsageError, match="trains on recordings: name a corpus of them with --corpus"):
        train(fast, both[:1], tmp_path / "a")
    with pytest.raises(UsageError, match="trains on stills"):
        train(fast, both[1:], tmp_path / "a")
    with pytest.raises(UsageError, match="does not train on recordings"):
        train(load_recognizer_recipe("one-for-all"), both, tmp_path / "a")
    with pytest.raises(UsageError, match="does not train on stills"):
        train(load_recognizer_recipe("fine-tune"), both, tmp_path / "a", start="accurate")
    with pytest.raises(UsageError, match="needs a teacher"):
        train(fast, both, tmp_path / "a")
    with pytest.raises(UsageError, match="does not use a teacher"):
        train(untaught, both, tmp_path / "b", teacher=teacher_run)
    with pytest.raises(UsageError, match="does not use unlabelled stills"):
        train(untaught, both, tmp_path / "c", unlabelled="faces96:x")
    with pytest.raises(UsageError, match="another size"):
        train(load_recognizer_recipe("accurate"), both, tmp_path / "d", start=teacher_run)
    with pytest.raises(UsageError, match="adapts a model: name it with --start"):
        train(load_recognizer_recipe("fine-tune"), both[1:], tmp_path / "e")
    head_alone = load_recognizer_recipe("fast", ["mixture.steps=0"])
    with pytest.raises(UsageError, match="trains a head alone: name the model with --start"):
        train(head_alone, both, tmp_path / "e")
    with pytest.raises(UsageError, match="does not use a teacher"):
        train(head_alone, both, tmp_path / "e", start=teacher_run, teacher=teacher_run)
    sharing = load_recognizer_recipe("fast", ["mixture.start_share=0.5"])
    with pytest.raises(UsageError, match="has a start_share: name the start with --start"):
        train(sharing, both, tmp_path / "e", teacher=teacher_run)
    with pytest.raises(UsageError, match="not the folder of a finished run"):
        train(untaught, both, tmp_path / "f", start=tmp_path)
    with pytest.raises(UsageError, match="one of cpu, cuda"):
        train(untaught, both, tmp_path / "g", device="tpu")
    assert not list(tmp_path.iterdir())


SHORT = (
    "mixture.steps=4", "mixture.batch=16", "temporal.steps=3", "temporal.tracks=2", "temporal.stills=8",
    "coded.still_rounds=1", "coded.track_draws=1",
)  # fmt: skip


def test_without_steps_of_the_mixture_a_head_alone_is_trained(
    stills_folder: Path, teacher_run: Path, people: list[str], tmp_path: Path
) -> None:
    recipe = load_recognizer_recipe("fast", [*SHORT, "mixture.steps=0"])
    assert Recognizer(train(recipe, [f"ferplus:{stills_folder}", *people], tmp_path, start=teacher_run)).remembers
    network, head = load_finished(tmp_path)
    assert head is not None
    for name, weights in load_finished(teacher_run)[0].state_dict().items():
        assert torch.equal(network.state_dict()[name], weights), name


def test_a_run_may_keep_a_share_of_its_start(
    stills_folder: Path, teacher_run: Path, people: list[str], tmp_path: Path
) -> None:
    grid, start = torch.randn(4, 1, 48, 48), load_finished(teacher_run)[0]

    def estimates(share: float, out: Path) -> torch.Tensor:
        recipe = load_recognizer_recipe("fast", [*SHORT, f"mixture.start_share={share}"])
        train(recipe, [f"ferplus:{stills_folder}", *people], out, start=teacher_run, teacher=teacher_run)
        found: torch.Tensor = load_finished(out)[0](grid)[0]
        return found

    trained = estimates(0, tmp_path / "trained")
    for stage in ("coded", "mixture"):  # the share decides only what comes of the mixture
        shutil.copytree(tmp_path / "trained" / stage, tmp_path / "kept" / stage)
    kept = estimates(1, tmp_path / "kept")
    assert torch.allclose(kept, start(grid)[0], atol=1e-4)
    assert not torch.allclose(trained, kept, atol=1e-4)


def test_a_whole_run_ends_in_a_model_with_a_temporal_head_and_resumes_when_it_was_killed(
    stills_folder: Path, teacher_run: Path, people: list[str], hr_faces: Faces, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    corpora, said = [f"ferplus:{stills_folder}", *people], list[str]()

    def run(out: Path, *changes: str, teacher: Path = teacher_run) -> Path:
        recipe = load_recognizer_recipe("fast", [*SHORT, *changes])
        return train(recipe, corpora, out, teacher=teacher, say=said.append)

    recognizer = Recognizer(run(tmp_path / "run"))
    assert recognizer.remembers
    assert any("with memory" in line for line in said)
    estimates, _ = recognizer.follow(hr_faces, np.arange(50) / 25)
    assert np.isfinite(estimates.valence_std).all()
    torch.manual_seed(5)
    save_finished(OneForAll(Trunk(SIZES["fast"])), None, tmp_path)
    with pytest.raises(UsageError, match="another recipe, start, teacher or corpus"):
        run(tmp_path / "run", teacher=tmp_path)
    with pytest.raises(UsageError, match="another recipe"):
        run(tmp_path / "run", "mixture.learning_rate=0.001")

    def killed(*given: object) -> None:
        save(*given)  # type: ignore[arg-type]
        raise KeyboardInterrupt

    save = loop._Progress.save
    with monkeypatch.context() as patch:
        patch.setattr(loop._Progress, "save", killed)
        with pytest.raises(KeyboardInterrupt):  # after the first round of the mixture
            run(tmp_path / "again")
    run(tmp_path / "again")
    whole, resumed = (load_finished(tmp_path / name) for name in ("run", "again"))
    for one, other in zip(whole, resumed, strict=True):
        assert one is not None
        assert other is not None
        for (name, value), (_, again) in zip(one.state_dict().items(), other.state_dict().items(), strict=True):
            assert torch.allclose(value.float(), again.float(), atol=2e-2), name


def test_a_trained_mixture_serves_runs_that_differ_in_what_comes_after_it(
    stills_folder: Path, teacher_run: Path, people: list[str], tmp_path: Path
) -> None:
    corpora = [f"ferplus:{stills_folder}", *people]
    for name, changes in (("whole", []), ("float", ["temporal=null", "int8=false"])):
        if name == "float":  # as research/scripts do it
            for part in ("coded", "mixture"):
                shutil.copytree(tmp_path / "whole" / part, tmp_path / name / part)
        recipe = load_recognizer_recipe("fast", [*SHORT, *changes])
        train(recipe, corpora, tmp_path / name, teacher=teacher_run, say=lambda text: None)
    whole, alone = (load_finished(tmp_path / name)[0] for name in ("whole", "float"))
    assert all(torch.equal(a, b) for a, b in zip(whole.state_dict().values(), alone.state_dict().values(), strict=True))


# --- fine-tuning -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["accurate", "best", "fast"])
def test_a_shipped_model_is_recovered_as_a_float_network(name: str, hr_faces: Faces) -> None:
    network, head = recover(Path(ferplus.__file__).parents[1] / "weights" / f"{name}.onnx")
    assert network.trunk.size == SIZES[name]
    recognizer, lr = Recognizer(name), shrink(hr_faces, 4)
    with torch.no_grad():
        affect = network(on_grid(torch.from_numpy(lr)))[0].clamp(-1, 1).numpy()
    estimates = recognizer(lr)
    assert np.abs(affect[:, 0] - estimates.valence).mean() < 0.02
    assert np.abs(affect[:, 1] - estimates.arousal).mean() < 0.02
    assert head is not None


@pytest.mark.parametrize("name", ["accurate", "best", "fast"])
def test_a_recovered_network_agrees_with_labels_as_the_shipped_model_does(name: str, shared: Path) -> None:
    network, _ = load_start(name)
    stills = ferplus.load(shared / "data" / "ferplus", "test")
    hr = stills.faces()
    for scale in (1, 4, 8, 16):
        lr = shrink(hr, scale)
        estimates = Recognizer(name)(lr)
        with torch.no_grad():
            parts = [network(on_grid(part))[0] for part in torch.from_numpy(lr).split(256)]
        affect = torch.cat(parts).clamp(-1, 1).numpy()
        for index, values in enumerate((estimates.valence, estimates.arousal)):
            truth = stills.affect[:, index]
            assert ccc(affect[:, index], truth) == pytest.approx(ccc(values, truth), abs=0.002)


def test_an_exported_network_is_recovered_with_its_head(hr_faces: Faces, tmp_path: Path) -> None:
    torch.manual_seed(3)
    network = OneForAll(Trunk(SIZES["fast"]))
    network.train()(on_grid(torch.from_numpy(hr_faces)))  # batch normalization as after training
    head = TemporalHead(network.width)
    torch.nn.init.normal_(head.readout[-1].weight, std=0.3)
    export_video_onnx(network.eval(), head.eval(), tmp_path / "float.onnx")
    found, found_head = recover(tmp_path / "float.onnx")
    grid = on_grid(torch.from_numpy(shrink(hr_faces, 4)))
    with torch.no_grad():
        for one, other in zip(network(grid), found(grid), strict=True):
            assert torch.allclose(one, other, atol=1e-4)
    assert found_head is not None
    for key, value in head.state_dict().items():
        assert torch.allclose(value, found_head.state_dict()[key], atol=1e-5), key
    export_onnx(network, tmp_path / "without.onnx")
    assert recover(tmp_path / "without.onnx")[1] is None


def test_statistics_of_batch_normalization_leave_the_function_as_it_is(hr_faces: Faces) -> None:
    network, _ = load_start("fast")
    grid = on_grid(torch.from_numpy(shrink(hr_faces, 4)))
    with torch.no_grad():
        before = network(grid)[0]
        untuned = load_start("fast")[0].train().features(grid)
        restore_statistics(network, [grid[:20], grid[20:]])
        assert torch.allclose(network.eval()(grid)[0], before, atol=1e-5)
        features = network.features(grid)
        in_training = network.train().features(grid)
    assert (in_training - features).abs().mean() < 0.1 * (untuned - features).abs().mean()


def test_what_is_not_a_model_of_ours_cannot_be_a_start(tmp_path: Path) -> None:
    with pytest.raises(ModelError):
        load_start("no-such-model")
    for content in (b"", b"no model"):
        (tmp_path / "x.onnx").write_bytes(content)
        with pytest.raises(ModelError, match="cannot be trained further"):
            load_start(tmp_path / "x.onnx")
    restorer = Path(ferplus.__file__).parents[1] / "weights" / "restorers" / "face-restorer.onnx"
    with pytest.raises(ModelError, match="cannot be trained further"):
        load_start(restorer)


def test_a_shipped_model_is_fine_tuned_on_recordings_alone(people: list[str], hr_faces: Faces, tmp_path: Path) -> None:
    recipe = load_recognizer_recipe("fine-tune", [*SHORT[:-2], "temporal.stills=0", "coded.track_draws=1"])
    path = train(recipe, people, tmp_path, start="fast", say=lambda text: None)
    network, head = load_finished(tmp_path)
    assert network.trunk.size == SIZES["fast"]
    assert head is not None
    tuned, shipped = Recognizer(path), Recognizer("fast")
    assert tuned.remembers
    lr = shrink(hr_faces, 8)
    assert np.abs(tuned(lr).valence - shipped(lr).valence).mean() < 0.2  # four small steps away
    again = train(recipe, people, tmp_path / "more", start=path, say=lambda text: None)
    assert again.is_file()


def test_a_run_is_not_continued_with_other_labels_or_by_a_second_process(
    people: list[str], hr_faces: Faces, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = load_recognizer_recipe("fine-tune", [*SHORT[:-2], "temporal=null", "coded.track_draws=1"])
    train(recipe, people, tmp_path, start="fast", say=lambda text: None)
    with exclusive(tmp_path / "lock", wait=False), pytest.raises(UsageError, match="in use by another run"):
        train(recipe, people, tmp_path, start="fast", say=lambda text: None)
    other = [track(hr_faces, 5)]
    monkeypatch.setattr("lowbeam.train.training_data._tracks", lambda corpus, split, progress: other)
    with pytest.raises(UsageError, match="another recipe, start, teacher or corpus"):
        train(recipe, people, tmp_path, start="fast", say=lambda text: None)
    part = next((tmp_path / "coded").rglob("part-*.npz"))
    part.write_bytes(part.read_bytes()[:1000])
    with pytest.raises(OutputError, match="is damaged; delete it"):
        train(recipe, people, tmp_path, start="fast", say=lambda text: None)


def test_validation_without_variance_is_refused(
    people: list[str], hr_faces: Faces, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = [track(hr_faces[:1], 0)]
    monkeypatch.setattr("lowbeam.train.training_data._tracks", lambda corpus, split, progress: one)
    recipe = load_recognizer_recipe("fine-tune", [*SHORT[:-2], "temporal=null", "coded.track_draws=1"])
    with pytest.raises(CorpusError, match="nothing can be selected"):
        train(recipe, people, tmp_path, start="fast", say=lambda text: None)
