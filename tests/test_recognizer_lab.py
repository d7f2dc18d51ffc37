"""How recognizers are measured: the calibration of standard deviations, and the effect of box errors."""

import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lowbeam.corpora.ferplus import EMOTIONS
from lowbeam.evaluate.curve.systems import parse_systems
from lowbeam.evaluate.table import KEPT_SHARES, scores
from lowbeam.metrics import surest
from lowbeam.scale import Faces, resample
from research.recognizer.domains import Shares, expression_scores, smile_auc
from research.recognizer.framing import ERRORS, cut_again, measure_framing


@given(n=st.integers(1, 50), share=st.floats(0, 1), seed=st.integers(0, 99))
def test_the_surest_are_as_many_as_asked_and_surer_than_the_rest(n: int, share: float, seed: int) -> None:
    std = np.random.default_rng(seed).random(n)
    chosen = surest(std, share)
    assert chosen.sum() == round(share * n)
    if 0 < chosen.sum() < n:
        assert std[chosen].max() <= std[~chosen].min()


def test_deviations_that_know_their_errors_lift_the_ccc_of_the_surest() -> None:
    rng = np.random.default_rng(0)
    truth = rng.uniform(-1, 1, (4000, 2))
    std = rng.uniform(0.05, 1.0, (4000, 2))
    read = truth + std * rng.standard_normal((4000, 2))
    found = scores(read, std, truth)["valence"]
    kept = [found["ccc"], *(found["ccc_of_surest"][f"{share:g}"] for share in KEPT_SHARES)]
    assert kept == sorted(kept)
    assert found["within_1_std"] == pytest.approx(0.683, abs=0.02)
    assert found["within_2_std"] == pytest.approx(0.954, abs=0.02)


def test_a_box_that_is_right_cuts_the_same_face(hr_faces: Faces) -> None:
    native = resample(hr_faces[:3], 48)
    assert np.abs(cut_again(native, np.zeros((3, 3))).astype(int) - resample(native, 96)).max() <= 1


def test_a_box_too_far_right_shows_the_face_too_far_left() -> None:
    face = np.zeros((1, 48, 48), np.uint8)
    face[0, 20:28, 20:28] = 255

    def centre(off: tuple[float, float, float]) -> tuple[float, float]:
        found = cut_again(face, np.array([off]))[0].astype(float)
        rows, columns = np.indices(found.shape)
        return float((columns * found).sum() / found.sum()), float((rows * found).sum() / found.sum())

    (x, y), (right, _), (_, down) = centre((0, 0, 0)), centre((0.1, 0, 0)), centre((0, 0.1, 0))
    assert right - x == pytest.approx(-9.6, abs=0.2)
    assert down - y == pytest.approx(-9.6, abs=0.2)
    lit = [float(cut_again(face, np.array([[0, 0, longer]]))[0].mean()) for longer in (-0.1, 0, 0.1)]
    assert lit[0] > lit[1] > lit[2]  # a larger box makes a smaller face


@pytest.mark.parametrize("error", ERRORS)
def test_no_box_is_off_by_more_than_a_tenth(error: str) -> None:
    off = ERRORS[error](np.random.default_rng(1), 500)
    assert off.shape == (500, 3)
    assert np.abs(off).max() <= 0.1
    assert (error == "none") == (not off.any())


def test_framing_is_measured_for_each_error_scale_and_system(hr_faces: Faces, tmp_path: Path) -> None:
    votes = np.zeros((16, 10), np.uint8)
    votes[np.arange(16), np.arange(16) % 8] = 10
    np.savez(tmp_path / "test.npz", pixels=resample(hr_faces[:16], 48), votes=votes)
    found = measure_framing(tmp_path, parse_systems("fast"), (1, 8))
    assert [(row["error"], row["scale"]) for row in found["rows"]] == [(e, s) for e in ERRORS for s in (1, 8)]
    assert all(np.isfinite(row["scores"]["fast"]["valence"]["rmse"]) for row in found["rows"])


def test_smiles_told_from_rest_are_the_share_of_pairs_in_order() -> None:
    rng = np.random.default_rng(0)
    valence = np.round(rng.normal(size=60), 1)  # with ties
    votes = np.eye(8)[rng.integers(3, size=60)]
    smiling, resting = valence[votes[:, 1] == 1], valence[votes[:, 0] == 1]
    pairs = np.mean([(s > r) + (s == r) / 2 for s in smiling for r in resting])
    assert smile_auc(valence, votes) == pytest.approx(pairs)
    assert smile_auc(valence, np.eye(8)[np.zeros(60, int)]) is None


def scored_expressions(told: Shares, votes: Shares) -> dict[str, Any]:
    found = expression_scores(told, votes)
    assert found is not None
    return found


def test_expressions_are_scored_by_the_votes() -> None:
    rng = np.random.default_rng(1)
    told = rng.dirichlet(np.ones(8), 20000)
    raters = np.stack([rng.multinomial(10, row) for row in told]) / 10  # who vote as they are told
    assert scored_expressions(told, raters)["calibration_error"] < 0.02
    sure = np.eye(8)[told.argmax(1)]
    assert scored_expressions(sure, raters)["calibration_error"] > 0.3
    perfect = scored_expressions(raters, raters)
    assert (perfect["accuracy"], perfect["macro_f1"]) == (1, 1)
    swapped = raters[:, [1, 0, *range(2, 8)]]
    assert scored_expressions(swapped, raters)["f1"]["happiness"] < 0.2
    contempt_alone = np.tile(np.eye(8)[EMOTIONS.index("contempt")], (len(told), 1))
    assert expression_scores(told, contempt_alone) is None


def test_domains_are_measured_side_by_side(
    hr_faces: Faces, tmp_path: Path, run_research: Callable[..., subprocess.CompletedProcess[str]]
) -> None:
    votes = np.zeros((16, 10), np.uint8)
    votes[np.arange(16), np.arange(16) % 8] = 10
    np.savez(tmp_path / "test.npz", pixels=resample(hr_faces[:16], 48), votes=votes)
    identity = np.array([f"person {n // 2}" for n in range(len(hr_faces))])
    words = np.array(["neutral", "happiness"])[np.arange(len(hr_faces)) % 2]
    np.savez(tmp_path / "words.npz", pixels=hr_faces, identity=identity, expression=words)
    stills = ("--stills", f"ferplus:{tmp_path}", "--stills", f"faces96:{tmp_path / 'words.npz'}")
    done = run_research("domains", *stills, "--models=fast", "--scales=1,8", "-o", tmp_path / "out.json")
    assert "FER+, 16 faces of split test" in done.stdout
    found = json.loads((tmp_path / "out.json").read_text())["corpora"]
    assert list(found) == ["FER+", "words"]
    assert 2 * found["words"]["people"] == found["words"]["faces"]
    scored = found["words"]["systems"]["fast"]["8"]
    assert 0 <= scored["smile_auc"] <= 1
    assert set(scored) == {"valence", "arousal", "smile_auc", "expressions"}


def test_framing_and_stills_print_ccc_by_side(
    hr_faces: Faces, tmp_path: Path, run_research: Callable[..., subprocess.CompletedProcess[str]]
) -> None:
    votes = np.zeros((16, 10), np.uint8)
    votes[np.arange(16), np.arange(16) % 8] = 10
    np.savez(tmp_path / "test.npz", pixels=resample(hr_faces[:16], 48), votes=votes)
    options = ("--corpus", tmp_path, "--models=fast", "--scales=1,8")
    coded = ("--codecs=avc", "--qps=20,50")
    for command, more, conditions in (
        ("framing", (), [*ERRORS]), ("stills", coded, ["nothing", "avc QP 20", "avc QP 50"]),
    ):  # fmt: skip
        done = run_research(command, *options, *more, "-o", tmp_path / "out.json")
        about, heading, *lines = done.stdout.splitlines()
        assert about == "FER+ test, 16 faces: CCC, mean of valence and arousal"
        assert heading.split()[-4:] == ["96", "px", "12", "px"]
        assert [" ".join(line.split()[1:-2]) for line in lines] == conditions
        scored = json.loads((tmp_path / "out.json").read_text())["rows"][0]["scores"]["fast"]
        shown = float(lines[0].split()[-2])
        assert shown == pytest.approx((scored["valence"]["ccc"] + scored["arousal"]["ccc"]) / 2, abs=6e-4)
