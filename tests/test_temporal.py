"""The head that remembers, and the training that codecs are in the loop of: small, but whole."""

from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch", reason="training needs the train extra")

import onnx
import onnxruntime
import torch
from hypothesis import given
from hypothesis import strategies as st

from lowbeam.corpora import ferplus
from lowbeam.corpora.labelled import LabelledFaces, Track
from lowbeam.errors import UsageError
from lowbeam.face import Box, Face
from lowbeam.faces import FrameFaces
from lowbeam.models.export import export_onnx, export_video_onnx
from lowbeam.models.one_for_all import GRID, SIZES, OneForAll, Size, Trunk
from lowbeam.models.temporal import MAX_GAP_S, LeakyAverages, TemporalHead
from lowbeam.pipeline.estimate import estimates_of
from lowbeam.recognize import Recognizer
from lowbeam.scale import SCALES, Faces, resample, resample_matrix, shrink, side_of
from lowbeam.train.calibrate import calibrate, fit
from lowbeam.train.degrade import on_grid
from lowbeam.train.recipe import load_recipe
from lowbeam.train.video import mixture
from lowbeam.train.video.coded_stills import CODECS, coded_stills
from lowbeam.train.video.coded_tracks import PLAIN, coded_tracks
from lowbeam.train.video.learner import Learner
from lowbeam.train.video.recipe import RECIPES, load_video_recipe, video_recipe_path
from lowbeam.train.video.run import train_video
from lowbeam.train.video.sources import Group
from lowbeam.train.video.teacher import Teacher, finished
from lowbeam.train.video.temporal import gaps, run_head


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model that remembers, with weights at random."""
    torch.manual_seed(1)
    network = OneForAll(Trunk()).eval()
    head = TemporalHead(network.width).eval()
    torch.nn.init.normal_(head.readout[-1].weight, std=0.3)
    path = tmp_path_factory.mktemp("model") / "video.onnx"
    export_video_onnx(network, head, path)
    return path


def memory_of(values: list[float], gaps_s: list[float]) -> torch.Tensor:
    """Averages of a single channel after the last of `values`, over each span, with full trust."""
    averages = LeakyAverages()
    state = torch.zeros(1, len(averages.log_span), 2)
    given_ = torch.tensor(values)[None, :, None]
    out, _, _ = averages(given_, torch.ones(1, len(values)), torch.tensor(gaps_s)[None], state)
    return out[0, -1, :, 0].detach()


def test_a_memory_of_what_never_changes_is_that() -> None:
    assert torch.allclose(memory_of([0.7] * 20, [MAX_GAP_S, *[0.1] * 19]), torch.tensor(0.7), atol=1e-3)


def test_what_is_long_ago_is_forgotten_the_sooner_the_shorter_the_span() -> None:
    found = memory_of([1.0] * 5 + [0.0] * 5, [MAX_GAP_S, *[0.2] * 9])
    assert (found[:-1] < found[1:]).all()
    after_an_hour = memory_of([1.0, 0.0], [MAX_GAP_S, MAX_GAP_S])
    assert after_an_hour.abs().max() < 1e-3


@given(seed=st.integers(0, 1000), rate=st.sampled_from([5.0, 12.5, 25.0]))
def test_memory_is_of_time_and_not_of_frames(seed: int, rate: float) -> None:
    """A signal that moves slowly leaves nearly the same memory at any frame rate."""
    phase = np.random.default_rng(seed).uniform(0, 6)

    def at(fps: float) -> torch.Tensor:
        times = np.arange(0, 20, 1 / fps)
        return memory_of(np.sin(0.3 * times + phase).tolist(), [MAX_GAP_S, *np.diff(times).tolist()])

    assert (at(rate) - at(50.0))[1:].abs().max() < 0.08


@given(cut=st.integers(1, 29))
def test_a_run_may_be_cut_anywhere(cut: int) -> None:
    torch.manual_seed(0)
    head = TemporalHead(6).eval()
    torch.nn.init.normal_(head.readout[-1].weight)
    features, still, gaps_s = torch.randn(2, 30, 6), torch.randn(2, 30, 4), torch.rand(2, 30)
    with torch.no_grad():
        whole, _, end = head(features, still, gaps_s, torch.zeros(2, *head.state_shape))
        first, _, state = head(features[:, :cut], still[:, :cut], gaps_s[:, :cut], torch.zeros(2, *head.state_shape))
        rest, _, last = head(features[:, cut:], still[:, cut:], gaps_s[:, cut:], state)
        chunked, _ = run_head(head, features, still, gaps_s)
    assert torch.allclose(torch.cat([first, rest], 1), whole, atol=1e-4)
    assert torch.allclose(chunked, whole, atol=1e-4)
    assert torch.allclose(last, end, atol=1e-4)


def test_untrained_the_head_reads_what_the_network_reads() -> None:
    head = TemporalHead(6).eval()
    still = torch.randn(1, 9, 4)
    affect, log_variance, _ = head(torch.randn(1, 9, 6), still, torch.rand(1, 9), torch.zeros(1, *head.state_shape))
    assert torch.equal(torch.cat([affect, log_variance], 2), still)


def test_gaps_begin_with_nothing_before() -> None:
    assert gaps(np.array([3.0, 3.5, 5.0])).tolist() == [MAX_GAP_S, 0.5, 1.5]


def test_the_state_is_carried_between_calls(model: Path, hr_faces: Faces) -> None:
    recognizer = Recognizer(model)
    lr, times = shrink(np.concatenate([hr_faces] * 3), 8), np.arange(150) / 25
    whole, end = recognizer.follow(lr, times)
    parts, memory = [], None
    for start in range(0, 150, 13):
        reading, memory = recognizer.follow(lr[start : start + 13], times[start : start + 13], memory)
        parts.append(reading.valence)
    assert np.allclose(np.concatenate(parts), whole.valence, atol=1e-4)
    assert end is not None
    assert memory is not None
    assert np.allclose(memory.state, end.state, atol=1e-4)
    assert memory.time_s == times[-1]
    each = recognizer(lr)
    assert not np.allclose(each.valence, whole.valence, atol=1e-3)
    assert np.allclose(recognizer.follow_both(lr, times)[1].valence, each.valence, atol=1e-5)


def test_a_model_that_does_not_remember_reads_each_face_by_itself(hr_faces: Faces, tmp_path: Path) -> None:
    export_onnx(OneForAll(Trunk(SIZES["fast"])).eval(), tmp_path / "still.onnx")
    recognizer = Recognizer(tmp_path / "still.onnx")
    reading, memory = recognizer.follow(hr_faces, np.arange(len(hr_faces)))
    assert memory is None
    assert np.array_equal(reading.valence, recognizer(hr_faces).valence)


@pytest.mark.parametrize("size", [SIZES["fast"], Size(4, ((16, 0), (24, 2)))])
def test_eight_bits_read_nearly_what_floating_point_reads(size: Size, hr_faces: Faces, tmp_path: Path) -> None:
    torch.manual_seed(3)
    network = OneForAll(Trunk(size))
    with torch.no_grad():  # batch normalisation as after training, and readings that differ
        for pixels in (hr_faces, shrink(hr_faces, 8)):
            network.train()(on_grid(torch.from_numpy(pixels)))
        network.readout.weight *= 4
    typical = [{"faces": shrink(hr_faces, s), "resample": resample_matrix(side_of(s), GRID)} for s in SCALES]
    export_onnx(network.eval(), tmp_path / "float.onnx")
    export_onnx(network.eval(), tmp_path / "int8.onnx", typical)
    exact, near = (Recognizer(tmp_path / f"{name}.onnx")(hr_faces) for name in ("float", "int8"))
    assert (tmp_path / "int8.onnx").stat().st_size < 0.6 * (tmp_path / "float.onnx").stat().st_size
    assert np.corrcoef(exact.valence, near.valence)[0, 1] > 0.98
    assert np.abs(exact.valence - near.valence).max() < 0.1 * np.ptp(exact.valence) + 0.02
    graph = onnx.load(tmp_path / "int8.onnx").graph
    kernels = [w for w in graph.initializer if w.data_type == onnx.TensorProto.INT8 and len(w.dims) == 4]
    weights = [onnx.numpy_helper.to_array(w) for w in kernels]
    assert len(weights) == len([m for m in network.modules() if isinstance(m, torch.nn.Conv2d)])
    assert max(int(np.abs(w.astype(int)).max()) for w in weights) <= 64  # seven bits


def test_the_head_that_remembers_may_be_left_out_of_a_call(model: Path, hr_faces: Faces) -> None:
    """Whoever runs the file without lowbeam needs two inputs only."""
    session = onnxruntime.InferenceSession(str(model), providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    assert names == ["affect", "std", "steady_affect", "steady_std", "next_state"]
    found = session.run(None, {"faces": hr_faces[:3], "resample": resample_matrix(96, GRID)})
    assert [len(value) for value in found] == [3, 3, 0, 0, 0]
    assert np.allclose(found[0][:, 0], Recognizer(model)(hr_faces[:3]).valence)


def test_time_that_does_not_rise_is_named(model: Path, hr_faces: Faces) -> None:
    recognizer = Recognizer(model)
    _, memory = recognizer.follow(hr_faces[:2], [0.0, 1.0])
    for times, before in (([0.0, 0.0], None), ([1.0, 2.0], memory), ([0.0], None), ([0.0, np.nan], None)):
        with pytest.raises(UsageError):
            recognizer.follow(hr_faces[:2], times, before)


def test_reading_remembers_each_person_through_changes_of_size_and_clocks_that_stand_still(
    model: Path, hr_faces: Faces
) -> None:
    recognizer = Recognizer(model)
    small, large = shrink(hr_faces, 8), shrink(hr_faces, 4)
    sights, of_one = [], []
    for index in range(40):
        time_s = index / 10
        one = Face(time_s, 1, Box(0, 0, 90), (small if index % 7 < 4 else large)[index])
        other = Face(time_s, 2, Box(200, 0, 90), small[-1 - index])
        sights.append(FrameFaces(time_s, [one, other] if index % 2 else [other, one]))
        of_one.append(one)
    memory, expected = None, []
    for face in of_one:
        reading, memory = recognizer.follow(face.pixels[None], [face.time_s], memory)
        expected.append(float(reading.valence[0]))
    rows = [row for _, found in estimates_of(sights, recognizer, 32, keep_frames=False) for row in found if row[1] == 1]
    assert np.allclose([row[2] for row in rows], expected, atol=1e-4)
    still = [FrameFaces(1.0, [Face(1.0, 1, Box(0, 0, 90), small[0])]) for _ in range(3)]
    assert len(list(estimates_of(still, recognizer, 2, keep_frames=False))) == 3


def test_stills_are_coded_once_and_taken_up_again(tmp_path: Path, hr_faces: Faces) -> None:
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


@pytest.mark.parametrize("name", sorted(path.stem for path in RECIPES.glob("*.yaml")))
def test_recipes_that_ship_are_whole(name: str) -> None:
    path = video_recipe_path(name)
    assert path is not None
    assert load_video_recipe(path).name == name


def test_a_recipe_for_stills_is_not_one_for_video(tmp_path: Path) -> None:
    assert video_recipe_path("one-for-all") is None
    assert video_recipe_path("no-such-recipe") is None
    assert load_recipe("one-for-all").name == "one-for-all"
    text = (RECIPES / "accurate.yaml").read_text()
    (tmp_path / "r.yaml").write_text(text.replace("loss: ccc", "loss: hope"))
    path = video_recipe_path(tmp_path / "r.yaml")
    assert path is not None
    with pytest.raises(UsageError, match=r"temporal\.loss"):
        load_video_recipe(path)


@pytest.fixture(scope="module")
def tiny_corpora(hr_faces: Faces, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("ferplus")
    for split in ("train", "valid"):
        votes = np.zeros((48, 10), np.uint8)
        votes[np.arange(48), np.arange(48) % 8] = 10
        np.savez(folder / f"{split}.npz", pixels=resample(hr_faces[:48], 48), votes=votes)
    return folder


def test_deviations_are_stretched_by_what_links_do_to_faces(tiny_corpora: Path, tmp_path: Path) -> None:
    torch.manual_seed(4)
    valid = ferplus.load(tiny_corpora, "valid")
    path = tmp_path / "still.onnx"
    export_onnx(OneForAll(Trunk(SIZES["fast"])).eval(), path)
    plain = calibrate(path, valid)
    assert plain == calibrate(path, valid, [{s: shrink(valid.faces(), s) for s in SCALES}])
    swapped = {s: shrink(valid.faces()[::-1], s) for s in SCALES}  # faces with the labels of others
    assert calibrate(path, valid, [swapped]) != plain
    truth = valid.affect[:, 0]
    reading = Recognizer(path)(shrink(valid.faces(), 8))
    assert np.mean(np.abs(reading.valence - truth) <= 2 * reading.valence_std) > 0.8


@given(seed=st.integers(0, 20), power=st.sampled_from([0.7, 1.0, 1.5]), factor=st.floats(0.7, 1.5))
def test_a_calibration_finds_what_was_done_to_the_deviations(seed: int, power: float, factor: float) -> None:
    rng = np.random.default_rng(seed)
    groups = []
    for low, high in ((0.1, 0.3), (0.2, 0.6)):  # faces as they are, and coded ones
        honest = rng.uniform(low, high, 6000)
        groups.append((np.abs(honest * rng.standard_normal(6000)), (honest / factor) ** (1 / power)))
    found = fit(groups)
    for errors, std in groups:
        within = [np.mean(errors <= n * found.factor * std**found.power) for n in (1, 2)]
        assert within == pytest.approx([0.683, 0.954], abs=0.02)


@pytest.fixture(scope="module")
def teacher_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a run whose network, with weights at random, can teach."""
    torch.manual_seed(2)
    folder = tmp_path_factory.mktemp("teacher") / "mixture"
    folder.mkdir()
    path = video_recipe_path("fast")
    assert path is not None
    weights = OneForAll(Trunk(SIZES["fast"])).state_dict()
    average = {f"module.{name}": value for name, value in weights.items()}
    recipe = mixture._settings(load_video_recipe(path))
    torch.save(
        {"average": average, "recipe": recipe, "step": load_video_recipe(path).mixture.steps}, folder / "last.pt"
    )
    return folder.parent


def test_a_teacher_reads_a_face_and_its_mirror_image_alike(teacher_run: Path) -> None:
    teacher, grid = Teacher(finished(teacher_run)), torch.randn(3, 1, 48, 48)
    lesson, mirrored = teacher(grid), teacher(grid.flip(3))
    assert torch.allclose(lesson.affect, mirrored.affect, atol=1e-5)
    assert torch.allclose(lesson.emotion, mirrored.emotion, atol=1e-5)
    assert torch.allclose(lesson.emotion.sum(1), torch.ones(3), atol=1e-5)
    # Of the features, what is seen on the left goes where the right was.
    swapped = mirrored.features.unflatten(1, (-1, 2, 2)).flip(3).flatten(1)
    assert torch.allclose(lesson.features, swapped, atol=1e-5)


def test_what_is_taught_is_between_label_and_teacher(teacher_run: Path) -> None:
    """A student whose readings are the teacher's loses nothing to a teacher who is believed alone, and something to
    labels that say otherwise."""
    teacher, network = Teacher(finished(teacher_run)), finished(teacher_run).eval()
    grid = torch.randn(8, 1, 48, 48)
    grid = torch.cat([grid, grid.flip(3)])  # no student differs from a teacher on faces that are their own mirror image
    grid = (grid + grid.flip(3)) / 2
    group = Group(grid, torch.full((16, 2), 0.9), torch.full((16, 8), torch.nan), grid)

    def mse(share: float) -> float:
        path = video_recipe_path("fast")
        assert path is not None
        settings = load_video_recipe(path, [f"mixture.teacher_share={share}", "mixture.feature_weight=0"])
        with torch.no_grad():
            return float(Learner(network, teacher, settings.mixture)([group])[0])

    assert mse(1) < 1e-6 < mse(0.5) < mse(0)
    assert mse(0.5) == pytest.approx(mse(0) / 4, rel=0.01)


def test_a_recipe_and_what_teaches_must_agree(teacher_run: Path, tiny_corpora: Path, tmp_path: Path) -> None:
    path = video_recipe_path("fast")
    assert path is not None
    untaught = load_video_recipe(path, ["mixture.teacher_share=0", "mixture.feature_weight=0"])
    with pytest.raises(UsageError, match="needs a teacher"):
        train_video(load_video_recipe(path), tiny_corpora, ["x"], tmp_path / "a")
    with pytest.raises(UsageError, match="no use for a teacher"):
        train_video(untaught, tiny_corpora, ["x"], tmp_path / "b", teacher=teacher_run)
    with pytest.raises(UsageError, match="unlabelled"):
        train_video(untaught, tiny_corpora, ["x"], tmp_path / "c", unlabelled="faces96:x")
    accurate = video_recipe_path("accurate")
    assert accurate is not None
    with pytest.raises(UsageError, match="another size"):
        train_video(load_video_recipe(accurate), tiny_corpora, ["x"], tmp_path / "d", start=teacher_run)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "change", ["mixture", "mixture.steps", "nothing.steps=1", "mixture.steps.x=1", "mixture.steps=["]
)
def test_a_change_that_is_none_is_named(change: str) -> None:
    path = video_recipe_path("fast")
    assert path is not None
    with pytest.raises(UsageError, match="is no change"):
        load_video_recipe(path, [change])
    changed = load_video_recipe(
        path, ["mixture.steps=7", "temporal=null", "network={patch: 4, stages: [[8, 1], [9, 0]]}"]
    )
    assert changed.mixture.steps == 7
    assert changed.size == Size(4, ((8, 1), (9, 0)))


@pytest.mark.parametrize(
    "network", ["slow", "{patch: 0, stages: [[8, 1]]}", "{patch: 8, stages: []}", "{patch: 2, stages: [[8, 1]]}"]
)
def test_a_network_that_cannot_be_is_named(network: str) -> None:
    path = video_recipe_path("fast")
    assert path is not None
    with pytest.raises(UsageError, match="recipe"):
        load_video_recipe(path, [f"network={network}"])


@pytest.mark.parametrize("content", [b"", b"no checkpoint", None])
def test_what_is_no_finished_run_teaches_nothing(content: bytes | None, teacher_run: Path, tmp_path: Path) -> None:
    (tmp_path / "mixture").mkdir()
    if content is None:  # one that was stopped
        kept = torch.load(teacher_run / "mixture" / "last.pt", weights_only=False)
        torch.save(kept | {"step": 200}, tmp_path / "mixture" / "last.pt")
    else:
        (tmp_path / "mixture" / "last.pt").write_bytes(content)
    with pytest.raises(UsageError, match="not the folder of a finished run"):
        finished(tmp_path)


def test_a_whole_run_ends_in_a_model_that_remembers_and_goes_on_when_it_was_killed(
    tiny_corpora: Path, teacher_run: Path, hr_faces: Faces, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    people = {"train": [track(hr_faces, 0), track(hr_faces[::-1], 1)], "valid": [track(hr_faces, 2)]}
    monkeypatch.setattr("lowbeam.train.video.run._tracks", lambda video, split, progress: [people[split]])
    monkeypatch.setattr("lowbeam.train.video.mixture.SAVE_EVERY", 2)
    path = video_recipe_path("fast")
    assert path is not None
    recipe = load_video_recipe(path)
    short = {"mixture": recipe.mixture.model_copy(update={"steps": 4, "batch": 16}),
             "temporal": recipe.temporal.model_copy(update={"steps": 3, "tracks": 2, "stills": 8}),
             "coded": recipe.coded.model_copy(update={"still_rounds": 1, "track_draws": 1})}  # fmt: skip
    said: list[str] = []

    def train(out: Path, update: dict[str, object]) -> Path:
        changed = recipe.model_copy(update=update)
        return train_video(changed, tiny_corpora, ["x"], out, teacher=teacher_run, say=said.append)

    made = train(tmp_path / "run", short)
    recognizer = Recognizer(made)
    assert recognizer.remembers
    assert any("with memory" in line for line in said)
    reading, _ = recognizer.follow(hr_faces, np.arange(50) / 25)
    assert np.isfinite(reading.valence_std).all()
    other = {**short, "mixture": short["mixture"].model_copy(update={"learning_rate": 1e-3})}
    torch.manual_seed(5)
    kept = torch.load(teacher_run / "mixture" / "last.pt", weights_only=False)
    other_teacher = {name: torch.randn_like(v.float()) for name, v in kept["average"].items()}
    (tmp_path / "other" / "mixture").mkdir(parents=True)
    torch.save(kept | {"average": other_teacher}, tmp_path / "other" / "mixture" / "last.pt")
    changed = recipe.model_copy(update=short)
    with pytest.raises(UsageError, match="another recipe, start or teacher"):
        train_video(changed, tiny_corpora, ["x"], tmp_path / "run", teacher=tmp_path / "other", say=said.append)
    with pytest.raises(UsageError, match="another recipe"):
        train(tmp_path / "run", other)
    whole = torch.load(tmp_path / "run" / "mixture" / "last.pt", weights_only=False)
    saves = []

    def killed(*given: object) -> None:
        save(*given)
        saves.append(given)
        raise KeyboardInterrupt

    save = mixture._save
    monkeypatch.setattr(mixture, "_save", killed)
    with pytest.raises(KeyboardInterrupt):
        train(tmp_path / "again", short)
    monkeypatch.setattr(mixture, "_save", save)
    train(tmp_path / "again", short)
    resumed = torch.load(tmp_path / "again" / "mixture" / "last.pt", weights_only=False)
    assert resumed["step"] == whole["step"] == 4
    for name, value in whole["learner"].items():
        assert torch.allclose(resumed["learner"][name].float(), value.float(), atol=2e-2), name
    with pytest.raises(UsageError, match="needs recordings"):
        train_video(recipe, tiny_corpora, [], tmp_path / "third")
    with pytest.raises(UsageError, match="not the folder of a finished run"):
        train_video(recipe, tiny_corpora, ["x"], tmp_path / "third", start=tmp_path)
