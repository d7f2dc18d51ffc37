"""Metrics, FER+, and the table of what ships."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lowbeam import CorpusError, UsageError
from lowbeam.cli.show import print_results
from lowbeam.corpora import ferplus
from lowbeam.evaluate.fer_peer import FER_SIDE, bilinear_matrix
from lowbeam.evaluate.paper.bootstrap import resampling
from lowbeam.evaluate.table import confidence, table
from lowbeam.metrics import cc, ccc, coverage, rmse
from lowbeam.recognize import DEFAULT_MODEL, WEIGHTS, shipped_models
from lowbeam.scale import SCALES, Faces, shrink

# DATA: the quick probe that the shipped weights must at least match, valence CCC on test.
PROBE = {1: 0.837, 3: 0.833, 4: 0.817, 6: 0.759, 8: 0.690, 12: 0.525, 16: 0.353}


def write_ferplus(folder: Path, faces: Faces, seed: int = 0) -> Path:
    """A FER+ folder of the given HR faces, each half happy and half something else, in various shares."""
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(seed)
    for split in ferplus.SPLITS:
        votes = np.zeros((len(faces), 10), np.uint8)
        happy = rng.integers(0, 10, len(faces))
        votes[:, 1], votes[:, 3] = happy, 10 - happy
        np.savez(folder / f"{split}.npz", pixels=shrink(faces, 2), votes=votes)
    return folder


@given(st.lists(st.tuples(st.floats(-1, 1, width=16), st.floats(-1, 1, width=16)), min_size=3, max_size=30))
def test_metrics_agree_with_torchmetrics(pairs: list[tuple[float, float]]) -> None:
    torch = pytest.importorskip("torch", reason="PyTorch comes with the train extra")
    reference = pytest.importorskip("torchmetrics.functional.regression", reason="torchmetrics comes with dev")
    p, t = np.array(pairs).T
    if p.std() < 1e-2 or t.std() < 1e-2:
        return  # torchmetrics gives nan where one is constant; ours is tested below
    tensors = torch.tensor(p), torch.tensor(t)
    assert rmse(p, t) == pytest.approx(float(reference.mean_squared_error(*tensors, squared=False)), abs=1e-6)
    assert cc(p, t) == pytest.approx(float(reference.pearson_corrcoef(*tensors)), abs=1e-5)
    # torchmetrics has the sample's variance and covariance, Lin's paper the population's: the means differ in weight.
    n = len(p)
    expected = 2 * np.cov(p, t)[0, 1] / (p.var(ddof=1) + t.var(ddof=1) + (p.mean() - t.mean()) ** 2)
    assert float(reference.concordance_corrcoef(*tensors)) == pytest.approx(expected, abs=1e-5)
    assert ccc(p, t) == pytest.approx(
        2 * np.cov(p, t)[0, 1] / (p.var(ddof=1) + t.var(ddof=1) + n / (n - 1) * (p.mean() - t.mean()) ** 2), abs=1e-9
    )


def test_metrics_of_constants() -> None:
    assert ccc([1, 1, 1], [0, 1, 2]) == 0
    assert np.isnan(cc([1, 1, 1], [0, 1, 2]))
    assert rmse([1, 1], [1, 1]) == 0


def test_coverage_counts_truths_within_the_deviations() -> None:
    assert coverage([0, 0, 0, 0], [1, 1, 1, 1], [0.5, -0.9, 1.5, 3], 1) == 0.5
    assert coverage([0, 0, 0, 0], [1, 1, 1, 1], [0.5, -0.9, 1.5, 3], 2) == 0.75


def test_affect_is_the_votes_place_on_the_circumplex(hr_faces: Faces, tmp_path: Path) -> None:
    stills = ferplus.load(write_ferplus(tmp_path, hr_faces), "train")
    happy = stills.emotion[:, 1]
    assert np.allclose(stills.affect[:, 0], 0.81 * happy - 0.63 * (1 - happy), atol=1e-6)
    assert np.allclose(stills.affect[:, 1], 0.51 * happy - 0.27 * (1 - happy), atol=1e-6)


def test_faces_with_few_votes_are_left_out(hr_faces: Faces, tmp_path: Path) -> None:
    votes = np.zeros((3, 10), np.uint8)
    votes[0, 1], votes[1, 1], votes[2, 1] = 5, 6, 10
    votes[:, 9] = 10 - votes[:, 1]
    np.savez(tmp_path / "test.npz", pixels=shrink(hr_faces[:3], 2), votes=votes)
    assert len(ferplus.load(tmp_path, "test")) == 2


def test_a_damaged_corpus_is_named(tmp_path: Path, hr_faces: Faces) -> None:
    with pytest.raises(CorpusError, match=r"train.npz is missing: a FER\+ folder holds"):
        ferplus.load(tmp_path, "train")
    (tmp_path / "train.npz").write_bytes(b"PK\x03\x04 not really")
    np.savez(tmp_path / "valid.npz", pixels=hr_faces)
    np.savez(tmp_path / "test.npz", pixels=hr_faces, votes=np.zeros((3, 10), np.uint8))
    for split in ferplus.SPLITS:
        with pytest.raises(CorpusError, match=rf"{split}.npz is (damaged|not)"):
            ferplus.load(tmp_path, split)
    np.savez(tmp_path / "test.npz", pixels=hr_faces, votes=np.zeros((len(hr_faces), 10), np.uint8))
    with pytest.raises(CorpusError, match="no face with 6 votes"):
        ferplus.load(tmp_path, "test")


def test_the_table_has_every_metric_at_every_scale(hr_faces: Faces, tmp_path: Path) -> None:
    results = table(write_ferplus(tmp_path, hr_faces), split="valid")
    scored = results["systems"][f"lowbeam {DEFAULT_MODEL}"]
    assert set(scored) == {str(scale) for scale in SCALES}
    assert {"rmse", "cc", "ccc", "within_1_std"} <= set(scored["8"]["valence"])
    json.dumps(results)


@given(seed=st.integers(0, 20), n=st.integers(20, 200), people=st.integers(2, 8))
@settings(max_examples=10)
def test_the_interval_of_a_ccc_is_that_of_recordings_drawn_again(seed: int, n: int, people: int) -> None:
    rng = np.random.default_rng(seed)
    recording = np.concatenate([np.arange(people), rng.integers(0, people, n)])
    truth = rng.normal(size=(len(recording), 2)).astype(np.float32)
    affect = (truth + rng.normal(size=truth.shape)).astype(np.float32)
    found = confidence(affect, truth, resampling(recording, 300))
    again = np.random.default_rng(0)  # as `resampling` draws
    drawn = [again.integers(0, people, people) for _ in range(300)]
    drawn[0] = np.arange(people)
    for column, ends in enumerate(found):
        values = []
        for chosen in drawn:
            rows = np.concatenate([np.flatnonzero(recording == number) for number in chosen])
            values.append(ccc(affect[rows, column], truth[rows, column]))
        assert ends == pytest.approx(np.quantile(values, [0.025, 0.975]), abs=1e-3)


def test_the_table_says_how_sure_a_ccc_is_and_of_a_single_recording_it_does_not(
    hr_faces: Faces, tmp_path: Path
) -> None:
    results = table(write_ferplus(tmp_path, hr_faces))
    scored = results["systems"][f"lowbeam {DEFAULT_MODEL}"]["1"]["arousal"]
    low, high = scored["ccc_interval"]
    assert low < scored["ccc"] < high
    assert "recordings" not in results
    one = np.zeros(len(hr_faces), np.int32)
    assert confidence(np.ones((50, 2)), np.zeros((50, 2)), resampling(one, 10)) == [None, None]


def test_the_table_has_a_row_for_each_recording(
    short_clip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    rows = ["recording,split,time_s,valence,arousal"]
    for number, name in enumerate(("b.mp4", "a.mp4")):
        (tmp_path / name).symlink_to(short_clip)
        rows += [f"{name},test,{0.1 * i:.1f},{number * i / 20},{0.3 - i / 40}" for i in range(20 - 5 * number)]
    (tmp_path / "my.csv").write_text("\n".join(rows) + "\n")
    results = table(f"manifest:{tmp_path / 'my.csv'}", models=["fast"])
    first, second = results["recordings"]
    assert [(r["recording"], r["faces"]) for r in (first, second)] == [("b.mp4", 48), ("a.mp4", 36)]
    assert first["systems"]["lowbeam fast"]["8"]["valence"]["ccc"] == 0  # its labels are constant
    assert set(second["systems"]["lowbeam fast"]) == {str(scale) for scale in SCALES}
    json.dumps(results["recordings"], allow_nan=False)
    assert "b.mp4" in shown(results, capsys)
    monkeypatch.setattr("lowbeam.cli.show.FEW_RECORDINGS", 1)
    assert "b.mp4" not in shown(results, capsys)
    assert "b.mp4" in shown(results, capsys, all_recordings=True)


def test_models_are_measured_side_by_side(hr_faces: Faces, tmp_path: Path) -> None:
    write_ferplus(tmp_path, hr_faces[:12])
    (tmp_path / "mine.onnx").symlink_to(WEIGHTS / "fast.onnx")
    systems = table(tmp_path, models=["accurate", tmp_path / "mine.onnx"])["systems"]
    assert list(systems)[:2] == ["lowbeam accurate", "lowbeam mine"]
    assert systems["lowbeam mine"] == table(tmp_path, models=["fast"])["systems"]["lowbeam fast"]
    with pytest.raises(UsageError, match="two models are called fast"):
        table(tmp_path, models=["fast", WEIGHTS / "fast.onnx"])


def shown(results: dict[str, Any], capsys: pytest.CaptureFixture[str], **options: bool) -> str:
    print_results(results, **options)
    return capsys.readouterr().out


@pytest.mark.parametrize("model", shipped_models())
def test_the_published_figures_beat_the_probe(model: str) -> None:
    scored = json.loads((WEIGHTS / f"{model}.json").read_text())["systems"][f"lowbeam {model}"]
    assert all(scored[str(scale)]["valence"]["ccc"] > least for scale, least in PROBE.items())


@pytest.mark.parametrize("model", shipped_models())
def test_the_shipped_weights_give_the_published_figures(model: str, shared: Path) -> None:
    published = json.loads((WEIGHTS / f"{model}.json").read_text())["systems"][f"lowbeam {model}"]
    measured = table(shared / "data" / "ferplus", models=[model])["systems"][f"lowbeam {model}"]
    for scale in published:
        for name in ("valence", "arousal"):
            for metric, value in published[scale][name].items():
                assert measured[scale][name][metric] == pytest.approx(value, abs=2e-3), (scale, name, metric)


@given(side=st.sampled_from([6, 8, 12, 16, 24, 32, 48, 96]), seed=st.integers(0, 9))
def test_fer_is_given_faces_as_it_resizes_them(side: int, seed: int) -> None:
    cv2 = pytest.importorskip("cv2", reason="OpenCV comes with the dev extra")
    face = np.random.default_rng(seed).integers(0, 256, (side, side), np.uint8)
    matrix = bilinear_matrix(side)
    ours = np.rint(matrix @ face.astype(np.float32) @ matrix.T)
    assert np.abs(ours - cv2.resize(face, (FER_SIDE, FER_SIDE)).astype(float)).max() <= 1
