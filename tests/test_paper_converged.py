"""The paper's networks trained to the end: what each leaves for good, and what is said of those that are finished."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="PyTorch comes with the train extra")
pytest.importorskip("torchmetrics", reason="torchmetrics comes with the train extra")

from test_evaluate import write_ferplus  # noqa: E402
from test_paper import tiny, write_recipe  # noqa: E402

from lowbeam.errors import UsageError  # noqa: E402
from lowbeam.evaluate.paper.replicate import replicate  # noqa: E402
from lowbeam.scale import Faces  # noqa: E402
from lowbeam.train.paper.jobs import jobs_of  # noqa: E402
from lowbeam.train.paper.recipe import load_experiment  # noqa: E402
from research.paper.replication_page import write_replication_page  # noqa: E402


@pytest.fixture(scope="module")
def corpus(hr_faces: Faces, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_ferplus(tmp_path_factory.mktemp("ferplus"), hr_faces[:24])


def run(recipe: Path, corpus: Path, folder: Path, **choice: object) -> list[str]:
    """Go on with a recipe. Returns the jobs that were trained."""
    said: list[str] = []
    assert replicate(recipe, corpus, folder / "runs", results=folder / "results", say=said.append, **choice)  # type: ignore[arg-type]
    return [name for name in (line.partition(":")[0] for line in said) if "-seed" in name]


@pytest.fixture(scope="module")
def finished(corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Joint-S for one scale, and LR-S for all, from one seed of two; also the recipe."""
    folder = tmp_path_factory.mktemp("converged")
    recipe = write_recipe(tiny("converged"), folder)
    run(recipe, corpus, folder, systems=["lr"], seeds=[0])
    assert run(recipe, corpus, folder, systems=["joint"], scales=[8], seeds=[0]) == ["sr-fcn-8-seed0", "joint-8-seed0"]
    return folder


def copied(finished: Path, folder: Path) -> Path:
    """What is committed of a run; the networks are gone."""
    shutil.copytree(finished / "results", folder / "results")
    return write_recipe(tiny("converged"), folder)


def test_the_long_run_goes_by_seed_and_then_by_what_the_claims_need_most() -> None:
    experiment = load_experiment("converged")
    assert (experiment.every_nth_face, experiment.recognize.divide_at, experiment.restore.divide_at) == (1, (), ())
    jobs = jobs_of(experiment)
    assert [job.seed for job in jobs] == sorted(job.seed for job in jobs)
    names = [job.name for job in jobs if job.seed == 0]
    assert names[:6] == [f"lr-{scale}-seed0" for scale in (3, 4, 6, 8, 12, 16)]
    assert names[6:10] == ["sr-fcn-3-seed0", "joint-3-seed0", "sr-fcn-4-seed0", "joint-4-seed0"]
    assert names.index("joint-oa-3.4.6-seed0") == 18


def test_a_network_whose_file_was_kept_is_never_trained_again(finished: Path, corpus: Path, tmp_path: Path) -> None:
    recipe = copied(finished, tmp_path)
    before = {path: path.read_bytes() for path in (tmp_path / "results").rglob("*.json")}
    assert run(recipe, corpus, tmp_path, systems=["lr"], seeds=[0]) == []
    assert run(recipe, corpus, tmp_path, systems=["joint"], scales=[8], seeds=[0]) == []
    after = {path: path.read_bytes() for path in (tmp_path / "results").rglob("*.json")}
    assert after == before
    assert all(len(text) < 5000 for path, text in before.items() if path.parent.name == "converged")


def test_an_sr_fcn_whose_weights_are_gone_is_trained_again_for_what_needs_it_as_it_was(
    finished: Path, corpus: Path, tmp_path: Path
) -> None:
    recipe, kept = copied(finished, tmp_path), Path("results", "converged", "joint-8-seed0.json")
    (tmp_path / kept).unlink()
    trained = run(recipe, corpus, tmp_path, systems=["joint"], scales=[8], seeds=[0])
    assert trained == ["sr-fcn-8-seed0", "joint-8-seed0"]
    ours, theirs = (json.loads((folder / kept).read_text()) for folder in (tmp_path, finished))
    assert ours["readings"] == theirs["readings"]
    assert ours["result"]["scores"] == theirs["result"]["scores"]


def test_a_network_finished_just_before_the_end_of_a_process_is_kept_by_the_next(
    finished: Path, corpus: Path, tmp_path: Path
) -> None:
    recipe, kept = copied(finished, tmp_path), tmp_path / "results" / "converged" / "lr-3-seed0.json"
    run(recipe, corpus, tmp_path, systems=["lr"], seeds=[0])
    kept.unlink()
    assert run(recipe, corpus, tmp_path, systems=["lr"], seeds=[0]) == []
    assert kept.read_bytes() == (finished / "results" / "converged" / "lr-3-seed0.json").read_bytes()


def test_a_damaged_log_is_one_clear_error_and_is_not_archived(finished: Path, corpus: Path, tmp_path: Path) -> None:
    recipe, kept = copied(finished, tmp_path), tmp_path / "results" / "converged" / "lr-3-seed0.json"
    run(recipe, corpus, tmp_path, systems=["lr"], seeds=[0])
    kept.unlink()
    log = tmp_path / "runs" / "converged" / "lr-3-seed0" / "log.csv"
    log.write_bytes(log.read_bytes()[:-9] + b"\xff\n")
    with pytest.raises(UsageError, match=r"log\.csv is damaged; delete it"):
        run(recipe, corpus, tmp_path, systems=["lr"], seeds=[0])
    assert not kept.exists()


def test_readings_that_were_kept_are_within_half_a_step(finished: Path, corpus: Path, tmp_path: Path) -> None:
    straight = write_recipe(tiny("converged", keep_each=False), tmp_path)
    run(straight, corpus, tmp_path, systems=["lr"], scales=[3], seeds=[0])
    exact = np.load(tmp_path / "runs" / "converged" / "lr-3-seed0" / "predictions.npy")
    kept = np.load(finished / "runs" / "converged" / "lr-3-seed0" / "predictions.npy")
    assert kept.shape == exact.shape
    assert np.abs(kept.astype(np.float32) - exact.clip(-1.27, 1.27)).max() < 0.0056  # and what float16 rounds


def test_a_damaged_or_foreign_file_is_refused(finished: Path, corpus: Path, hr_faces: Faces, tmp_path: Path) -> None:
    recipe = copied(finished, tmp_path)
    other = write_ferplus(tmp_path / "other", hr_faces[:24], seed=1)
    with pytest.raises(UsageError, match=r"results/converged was made with another faces"):
        run(recipe, other, tmp_path, systems=["lr"], seeds=[0])
    shutil.rmtree(tmp_path / "runs")
    (tmp_path / "results" / "converged" / "lr-3-seed0.json").write_text('{"result": {}}')
    with pytest.raises(UsageError, match=r"lr-3-seed0\.json is damaged"):
        run(recipe, corpus, tmp_path, systems=["lr"], seeds=[0])


def test_the_page_tells_what_is_finished_and_of_which_seeds_a_verdict_is(finished: Path, tmp_path: Path) -> None:
    shutil.copytree(finished / "results", tmp_path / "results")
    result = json.loads((tmp_path / "results" / "converged.json").read_text())
    assert {(c["claim"], tuple(c["seeds"])) for c in result["sureness"]["valence"]["contrasts"]} == {
        (0, (0,)), (2, (0,)),
    }  # fmt: skip
    page = write_replication_page(tmp_path / "results", tmp_path / "page.md").read_text()
    assert "- **Not finished**: seed 0: sr-fcn 3, 4, 6, 12, 16; joint 3, 4, 6, 12, 16; joint-oa 3.4.6, " in page
    assert ". Seed 1: lr 3, 4, 6, 8, 12, 16; " in page
    assert "; so far only seed 0" in page
    assert "not measured" in page
    assert "| Joint-S beats LR-S and Non-Joint-S at every S (paper) | open: 1 of 18 contrasts measured |" in page
    assert f"`{result['command']}` goes on where it stopped." in page
    answer, networks = page.index("## The answer"), page.index("## Trained to convergence")
    assert answer < page.index("## Systems") < networks < page.index("## What changed since 2017")
    assert "![Validation loss of each recognizer" in page
    assert (tmp_path / "results" / "converged-learning.png").stat().st_size > 5000
