"""The head that remembers, and the training that codecs are in the loop of: small, but whole."""

from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch", reason="training needs the train extra")

import torch
from hypothesis import given
from hypothesis import strategies as st

from lowbeam.corpora.labelled import LabelledFaces, Track
from lowbeam.errors import UsageError
from lowbeam.faces import Face
from lowbeam.faces.crop import Box
from lowbeam.models.export import export_video_onnx
from lowbeam.models.one_for_all import OneForAll, Trunk
from lowbeam.models.temporal import MAX_GAP_S, LeakyAverages, TemporalHead
from lowbeam.pipeline import Sight, readings
from lowbeam.recognize import Recognizer
from lowbeam.scale import SCALES, Faces, resample, shrink, side_of
from lowbeam.train.recipe import load_recipe
from lowbeam.train.video import mixture
from lowbeam.train.video.coded_stills import CODECS, coded_stills
from lowbeam.train.video.coded_tracks import PLAIN, coded_tracks
from lowbeam.train.video.recipe import RECIPES, load_video_recipe, video_recipe_path
from lowbeam.train.video.run import train_video
from lowbeam.train.video.temporal import gaps, run_head


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model that remembers, with weights at random."""
    torch.manual_seed(1)
    head = TemporalHead(OneForAll.FEATURES).eval()
    torch.nn.init.normal_(head.readout[-1].weight, std=0.3)
    path = tmp_path_factory.mktemp("model") / "video.onnx"
    export_video_onnx(OneForAll(Trunk()).eval(), head, path)
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


def test_a_model_that_does_not_remember_reads_each_face_by_itself(hr_faces: Faces) -> None:
    recognizer = Recognizer("one-for-all")
    reading, memory = recognizer.follow(hr_faces, np.arange(len(hr_faces)))
    assert memory is None
    assert np.array_equal(reading.valence, recognizer(hr_faces).valence)


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
        sights.append(Sight(time_s, [one, other] if index % 2 else [other, one]))
        of_one.append(one)
    memory, expected = None, []
    for face in of_one:
        reading, memory = recognizer.follow(face.pixels[None], [face.time_s], memory)
        expected.append(float(reading.valence[0]))
    rows = [row for _, found in readings(sights, recognizer, 32, keep_frames=False) for row in found if row[1] == 1]
    assert np.allclose([row[2] for row in rows], expected, atol=1e-4)
    still = [Sight(1.0, [Face(1.0, 1, Box(0, 0, 90), small[0])]) for _ in range(3)]
    assert len(list(readings(still, recognizer, 2, keep_frames=False))) == 3


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
    text = (RECIPES / "one-for-all-video.yaml").read_text()
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


def test_a_whole_run_ends_in_a_model_that_remembers_and_goes_on_when_it_was_killed(
    tiny_corpora: Path, hr_faces: Faces, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    people = {"train": [track(hr_faces, 0), track(hr_faces[::-1], 1)], "valid": [track(hr_faces, 2)]}
    monkeypatch.setattr("lowbeam.train.video.run._tracks", lambda video, split, progress: [people[split]])
    monkeypatch.setattr("lowbeam.train.video.mixture.SAVE_EVERY", 2)
    path = video_recipe_path("one-for-all-video")
    assert path is not None
    recipe = load_video_recipe(path)
    short = {"mixture": recipe.mixture.model_copy(update={"steps": 4, "batch": 16}),
             "temporal": recipe.temporal.model_copy(update={"steps": 3, "tracks": 2, "stills": 8}),
             "coded": recipe.coded.model_copy(update={"still_rounds": 1, "track_draws": 1})}  # fmt: skip
    said: list[str] = []
    made = train_video(recipe.model_copy(update=short), tiny_corpora, ["x"], tmp_path / "run", say=said.append)
    recognizer = Recognizer(made)
    assert recognizer.remembers
    assert any("with memory" in line for line in said)
    reading, _ = recognizer.follow(hr_faces, np.arange(50) / 25)
    assert np.isfinite(reading.valence_std).all()
    other = {**short, "mixture": short["mixture"].model_copy(update={"learning_rate": 1e-3})}
    with pytest.raises(UsageError, match="another recipe"):
        train_video(recipe.model_copy(update=other), tiny_corpora, ["x"], tmp_path / "run", say=said.append)
    whole = torch.load(tmp_path / "run" / "mixture" / "last.pt", weights_only=False)
    saves = []

    def killed(*given: object) -> None:
        save(*given)
        saves.append(given)
        raise KeyboardInterrupt

    save = mixture._save
    monkeypatch.setattr(mixture, "_save", killed)
    with pytest.raises(KeyboardInterrupt):
        train_video(recipe.model_copy(update=short), tiny_corpora, ["x"], tmp_path / "again", say=said.append)
    monkeypatch.setattr(mixture, "_save", save)
    train_video(recipe.model_copy(update=short), tiny_corpora, ["x"], tmp_path / "again", say=said.append)
    resumed = torch.load(tmp_path / "again" / "mixture" / "last.pt", weights_only=False)
    assert resumed["step"] == whole["step"] == 4
    for name, value in whole["network"].items():
        assert torch.allclose(resumed["network"][name].float(), value.float(), atol=2e-2), name
    with pytest.raises(UsageError, match="needs recordings"):
        train_video(recipe, tiny_corpora, [], tmp_path / "other")
    with pytest.raises(UsageError, match="not the folder of a finished run"):
        train_video(recipe, tiny_corpora, ["x"], tmp_path / "other", start=tmp_path)
