"""How sure figures are, and how claims are decided by them."""

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

pytest.importorskip("pydantic", reason="pydantic comes with the train extra")
pytest.importorskip("torch", reason="PyTorch comes with the train extra")

from lowbeam.evaluate.paper.bootstrap import (
    Resampling,
    interval,
    means_over_seeds,
    reliability,
    replicate,
    resampled_reliability,
    resampling,
)
from lowbeam.evaluate.paper.claims import CLAIMS, Contrast, verdict_of
from lowbeam.evaluate.paper.collect import collect
from lowbeam.evaluate.paper.verdicts import measured_contrasts, verdict_table
from lowbeam.metrics import cc, ccc, rmse
from lowbeam.train.paper.jobs import Job, jobs_of
from lowbeam.train.paper.recipe import load_experiment


@given(st.integers(0, 10_000))
def test_a_face_drawn_twice_counts_twice(seed: int) -> None:
    rng = np.random.default_rng(seed)
    p, t, counts = rng.normal(size=30), rng.normal(size=30), rng.integers(0, 4, 30)
    draws = Resampling(np.arange(30), counts[None].astype(float))
    found = replicate(p, t, draws)
    p, t = np.repeat(p, counts), np.repeat(t, counts)
    for name, metric in (("rmse", rmse), ("cc", cc), ("ccc", ccc)):
        assert found[name][0] == pytest.approx(metric(p, t), abs=1e-9)


def test_recordings_are_drawn_whole_and_the_first_draw_is_the_data() -> None:
    draws = resampling(np.array([4, 4, 4, 9, 9, 2], np.int32), replicates=50)
    assert draws.recording.tolist() == [1, 1, 1, 2, 2, 0]
    assert draws.counts.shape == (50, 3)
    assert (draws.counts[0] == 1).all()
    assert (draws.counts.sum(1) == 3).all()
    assert len({tuple(row) for row in draws.counts.tolist()}) > 5


def test_an_interval_of_a_mean_is_as_wide_as_theory_says() -> None:
    rng = np.random.default_rng(1)
    t = rng.normal(size=2000)
    draws = resampling(np.arange(2000, dtype=np.int32), replicates=1000)
    value, low, high = interval(replicate(t + rng.normal(size=2000), t, draws)["rmse"])
    assert low < value < high
    assert (high - low) / 2 == pytest.approx(1.96 / np.sqrt(2 * 2000), rel=0.15)


def test_an_interval_over_three_seeds_holds_the_truth_as_often_as_it_says() -> None:
    rng = np.random.default_rng(3)
    held = 0
    for _ in range(400):
        seeds = rng.normal(size=(3, 1)) + np.zeros((3, 2000))  # three seeds around a true difference of 0
        _, low, high = interval(means_over_seeds([seeds])[0])
        held += low < 0 < high
    assert 0.92 < held / 400 < 0.98


def test_intervals_that_hold_together_are_wider() -> None:
    replicates = np.random.default_rng(0).normal(size=4000)
    _, low, high = interval(replicates)
    _, lower, higher = interval(replicates, contrasts=18)
    assert lower < low < high < higher


def test_the_correlation_of_a_constant_has_no_value() -> None:
    draws = resampling(np.arange(20, dtype=np.int32), replicates=5)
    found = replicate(np.full(20, 0.3), np.linspace(-1, 1, 20), draws)
    assert np.isnan(found["cc"]).all()
    assert np.allclose(found["ccc"], 0)


def test_reliability_is_one_where_seeds_agree_and_none_where_only_they_differ() -> None:
    systems = np.array([1.0, 2.0, 3.0])[:, None, None] + np.zeros((3, 4, 1))
    assert reliability(systems)[0] == pytest.approx(1)
    seeds = np.zeros((3, 1, 1)) + np.array([1.0, 2.0, 3.0, 4.0])[None, :, None]
    assert reliability(seeds)[0] < 0
    drawn = resampled_reliability(np.random.default_rng(0).normal(size=(6, 3, 1)) + np.zeros((6, 3, 50)))
    assert drawn.shape == (50,)
    assert drawn.std() > 0.01


@pytest.mark.parametrize(
    ("low", "high", "above", "below"),
    [(0.01, 0.03, "holds", "holds"), (-0.01, 0.03, "undecided", "holds"), (-0.05, -0.01, "fails", "holds"),
     (0.03, 0.08, "holds", "undecided"), (0.06, 0.08, "holds", "fails")],
)  # fmt: skip
def test_a_contrast_is_decided_by_its_interval_alone(low: float, high: float, above: str, below: str) -> None:
    assert Contrast("", (), above=0.0).verdict(low, high) == above
    assert Contrast("", (), above=None, below=0.05).verdict(low, high) == below


def test_a_claim_holds_where_all_of_it_does_and_fails_where_some_of_it_does() -> None:
    assert verdict_of(["holds", "holds"]) == "holds"
    assert verdict_of(["holds", "undecided"]) == "undecided"
    assert verdict_of(["holds", "undecided", "fails"]) == "fails"


@pytest.mark.parametrize("name", ["full", "reduced"])
def test_every_cell_of_every_claim_is_measured_by_the_experiment(name: str) -> None:
    cells = {(job.key, job.mixture, scale) for job in jobs_of(load_experiment(name)) for scale in job.test_scales}
    for claim in CLAIMS:
        for contrast in claim.contrasts:
            assert all(cell in cells for _, cell in contrast.terms), contrast.label
            assert sum(weight for weight, _ in contrast.terms) == pytest.approx(0)


def write_job(folder: Path, job: Job, noise_std: float, truth: NDArray[np.float32]) -> None:
    """A finished job whose readings are the truth under noise, at every scale that it is tested at alike."""
    rng = np.random.default_rng([job.seed, *job.mixture, len(job.key)])
    noise = rng.normal(size=(len(job.test_scales), *truth.shape)) * noise_std
    (folder / job.name).mkdir()
    np.save(folder / job.name / "predictions.npy", (truth + noise).astype(np.float16))
    (folder / job.name / "result.json").write_text('{"scores": {"8": {"valence": {"cc": NaN}}}}')


def test_verdicts_follow_from_predictions_that_are_known(tmp_path: Path) -> None:
    experiment = load_experiment("reduced")
    truth = np.random.default_rng(0).normal(size=(800, 2)).astype(np.float32) * 0.4
    (tmp_path / "settings.json").write_text('{"machine": {}}')
    for job in jobs_of(experiment):
        spread = {"lr": 0.1 * max(job.mixture), "joint": 0.05 * max(job.mixture), "lr-oa": 0.3, "joint-oa": 0.9}
        if job.system.learns_to == "recognize":
            write_job(tmp_path, job, spread.get(job.key, 0.15 * max(job.mixture)), truth)
        else:
            (tmp_path / job.name).mkdir()
            (tmp_path / job.name / "result.json").write_text('{"restoration": {}}')
    found = collect(experiment, tmp_path, truth, np.arange(800, dtype=np.int32), {})
    assert found["seeds_whole"] == [0, 1, 2]
    for affect in ("valence", "arousal"):
        measured = [measured_contrasts(found["sureness"], number, affect) for number in range(len(CLAIMS))]
        decided = {contrasts.claim.text: contrasts.verdict for contrasts in measured}
        assert decided["LR-S degrades as S grows"] == "holds"
        assert decided["Joint-S beats LR-S and Non-Joint-S at every S"] == "holds"
        assert decided["Joint-OA, tuned on the released mixture {3, 4, 6}, beats Joint-S at each S of it"] == "fails"
        assert decided["transferred convolutions add to the mixture: Joint-OA beats LR-OA"] == "fails"
        assert decided["Non-Joint-S gains less than 0.05 CCC over LR-S at every S (both forms)"] == "holds"
    assert json.dumps(found, allow_nan=False)
    heading, *lines = verdict_table(found["sureness"]).splitlines()
    assert heading.split() == ["valence", "arousal", "claim"]
    assert len(lines) == len(CLAIMS)
    assert lines[0].split(maxsplit=2) == ["holds", "holds", "LR-S degrades as S grows"]


def test_a_claim_is_not_decided_by_a_part_of_its_contrasts() -> None:
    contrast = {"claim": 0, "contrast": 0, "low": 0.1, "high": 0.2}
    sureness = {affect: {"contrasts": [contrast]} for affect in ("valence", "arousal")}
    assert measured_contrasts(sureness, 0, "valence").verdicts == ["holds"]
    assert measured_contrasts(sureness, 0, "valence").verdict is None
    assert verdict_table(sureness).splitlines()[1].split(maxsplit=2) == ["open", "open", "LR-S degrades as S grows"]
    assert verdict_table({affect: {"contrasts": []} for affect in sureness}) == ""


def test_a_claim_fails_with_one_of_its_contrasts() -> None:
    contrast = {"claim": 0, "contrast": 0, "value": -0.2, "low": -0.3, "high": -0.1}
    sureness = {affect: {"contrasts": [contrast]} for affect in ("valence", "arousal")}
    assert measured_contrasts(sureness, 0, "valence").verdict == "fails"
