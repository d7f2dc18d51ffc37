"""Research on rate and distortion: budgets, the operating table, coded stills, tracked faces, and the pages."""

import json
import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("plotly", reason="the curve needs the curve extra")

from conftest import ROOT, SWEEP_GRID, SWEEP_SYSTEMS

from lowbeam.codec import OperatingPoint
from lowbeam.codec.operating_table import TABLE
from lowbeam.errors import SourceError
from lowbeam.evaluate.curve.envelope import agreement, best_within, same_point
from lowbeam.evaluate.curve.grid import parse_grid
from lowbeam.evaluate.curve.results import read_results, write_results
from lowbeam.evaluate.curve.sweep import sweep
from lowbeam.evaluate.curve.systems import parse_systems
from lowbeam.recognize import DEFAULT_MODEL
from research.rate_distortion import operating_table
from research.rate_distortion.budget_shares import budget_shares
from research.rate_distortion.coded_stills import measure_stills
from research.rate_distortion.rate_distortion_page import write_rate_distortion_page
from research.rate_distortion.restrictions import restricted_bests
from research.rate_distortion.sweep_page import write_curve_page
from research.recognizer.followed import measure_followed


def test_deviations_are_measured_where_people_are_followed(sweep_corpus: str, sweep_cache: Path) -> None:
    found = measure_followed(
        sweep_corpus, parse_grid("hevc", "8", "32", "25,5"), parse_systems("fast"), cache=sweep_cache
    )
    assert [(row["scale"], row["fps"]) for row in found["rows"]] == [(8, 25), (8, 5)]
    for row in found["rows"]:
        scored = row["scores"]["fast"]["valence"]
        assert 0 <= scored["within_1_std"] <= scored["within_2_std"] <= 1
        assert scored["mean_std"] > 0


def test_each_reads_every_followed_face_by_itself(sweep_corpus: str, sweep_cache: Path) -> None:
    found = measure_followed(
        sweep_corpus, parse_grid("hevc", "8", "32", "25"), parse_systems("fast,fast/each"), cache=sweep_cache
    )
    (row,) = found["rows"]
    assert row["scores"]["fast"] != row["scores"]["fast/each"]


def test_a_system_without_deviations_cannot_be_followed(
    sweep_corpus: str, tmp_path: Path, run_research: Callable[..., subprocess.CompletedProcess[str]]
) -> None:
    done = run_research("followed", sweep_corpus, "--models", "fast,fer", "-o", tmp_path / "f.json")
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert "fer gives no standard deviation" in done.stderr
    assert "fer" not in run_research("followed", "--help").stdout
    assert not list(tmp_path.iterdir())


def test_what_is_followed_is_printed_by_point(
    sweep_corpus: str, tmp_path: Path, run_research: Callable[..., subprocess.CompletedProcess[str]]
) -> None:
    done = run_research(
        "followed", sweep_corpus, "--models=fast", "--scales=8", "--qps=32", "--fps=5", "-o", tmp_path / "f.json",
        env=os.environ | {"XDG_CACHE_HOME": str(tmp_path / "cache")},
    )  # fmt: skip
    about, heading, line = done.stdout.splitlines()
    assert "share of labels within one standard deviation" in about
    assert heading.split()[-4:] == ["V", "within", "A", "within"]
    (row,) = json.loads((tmp_path / "f.json").read_text())["rows"]
    assert line.split()[:5] == ["fast", "12", "hevc", "32", "5"]
    assert float(line.split()[-2]) == pytest.approx(row["scores"]["fast"]["valence"]["within_1_std"], abs=6e-4)


def test_the_corpora_s_worth_is_printed(
    sweep_corpus: str,
    hr_faces: np.ndarray,
    tmp_path: Path,
    run_research: Callable[..., subprocess.CompletedProcess[str]],
) -> None:
    votes = np.zeros((16, 10), np.uint8)
    votes[np.arange(16), np.arange(16) % 8] = 10
    np.savez(tmp_path / "test.npz", pixels=hr_faces[:16, ::2, ::2], votes=votes)
    done = run_research(
        "corpus", sweep_corpus, "--real", tmp_path, "--of-rendered=fast", "--of-real=fast",
        "--sheet", tmp_path / "s.png", "-o", tmp_path / "c.json",
        env=os.environ | {"XDG_CACHE_HOME": str(tmp_path / "cache")},
    )  # fmt: skip
    heading, *lines = done.stdout.splitlines()
    assert heading.split() == ["trained", "on", "tested", "on", "V", "ccc", "A", "ccc"]
    assert [line.split()[:4] for line in lines] == [
        ["FER+", "train", "labels", "test"],
        ["labels", "train", "FER+", "test"],
    ]


def test_an_operating_table_is_made_of_measured_points(
    sweep_corpus: str, sweep_cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    run_research: Callable[..., subprocess.CompletedProcess[str]],
) -> None:  # fmt: skip
    for name, value in (("SCALES", (2, 4)), ("QPS", {"avc": (26, 30)}), ("BUDGETS_BPS", (2000, 4000))):
        monkeypatch.setattr(operating_table, name, value)
    monkeypatch.setattr(operating_table, "shared", run_here)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    videos = f"videos:{Path(sweep_corpus.removeprefix('manifest:')).parent}"
    points = operating_table.measure_points(operating_table.Corpora(videos, sweep_corpus), ("avc",), "fast")
    assert {row["bps"] for row in points["rows"]} == {2000, 4000}
    for row in points["rows"]:
        assert 0 < row["face_bytes"] < 2000
        assert row["real"]["used_bps"] <= 2.6 * row["bps"]  # the recordings are short: credit at the start counts
    for row in points["rows"]:  # recordings of two seconds at random labels are worth little
        row["rendered"] |= {"valence": 0.5, "arousal": 0.5}
    (tmp_path / "points.json").write_text(json.dumps(points))
    done = run_research("operating-table", tmp_path / "points.json", "-o", tmp_path / "table.json")
    entries = json.loads((tmp_path / "table.json").read_text())["entries"]
    assert done.stdout.startswith(f"{len(entries)} entries (avc)")
    assert set(entries[0]) == set(json.loads(TABLE.read_text())["entries"][0])
    (tmp_path / "points.json").write_text("{}")
    broken = run_research("operating-table", tmp_path / "points.json", "-o", tmp_path / "table.json")
    assert (broken.returncode, broken.stderr.count("\n")) == (2, 1)


@pytest.mark.parametrize("name", ["real-points", "valid"])
def test_the_default_point_is_not_dominated(name: str) -> None:
    sweep_of_people = read_results(ROOT / "docs" / "rate-distortion" / f"{name}.json")
    system, default = next(iter(sweep_of_people["systems"])), OperatingPoint()
    settings = {"codec": default.codec, "scale": default.scale, "qp": default.qp, "fps": default.fps}
    point = same_point(sweep_of_people["points"], settings)
    best = best_within(sweep_of_people["points"], system, "rtp_bps", point["rtp_bps"])
    assert best is not None
    assert agreement(best, system) <= agreement(point, system) + 0.02
    assert 3000 < point["rtp_bps"] < 6000


def run_here(work: Callable, jobs: list, workers: int, begin: Callable, *given: object) -> Iterator:
    """`lowbeam.pool.shared` in this process."""
    begin(*given)
    for job in jobs:
        yield job, work(job)


def test_stills_are_read_by_one_system_unless_more_are_named(
    hr_faces: np.ndarray, tmp_path: Path, run_research: Callable[..., subprocess.CompletedProcess[str]]
) -> None:
    votes = np.zeros((16, 10), np.uint8)
    votes[np.arange(16), np.arange(16) % 8] = 10
    np.savez(tmp_path / "test.npz", pixels=hr_faces[:16, ::2, ::2], votes=votes)
    out = tmp_path / "stills.json"
    done = run_research(
        "stills", "--corpus", tmp_path, "--codecs=avc", "--scales=8", "--qps=32", "-o", out
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert list(json.loads(out.read_text())["systems"]) == [DEFAULT_MODEL]


def test_budget_shares_choose_on_valid_and_report_on_test(
    sweep_results: dict[str, Any], sweep_corpus: str, sweep_cache: Path
) -> None:
    valid = sweep(sweep_corpus, SWEEP_GRID, parse_systems(SWEEP_SYSTEMS), split="valid", cache=sweep_cache)
    shares = budget_shares(sweep_results, valid, "accurate", "rtp_bps", (4, 16))
    assert shares
    for found in shares:
        assert found.chosen["rtp_bps"] <= 1000 * found.kbps
        assert found.chosen in valid["points"]
    for restricted in restricted_bests(sweep_results, "accurate", "rtp_bps", (16,)):
        assert restricted.full_rate is None or restricted.full_rate <= restricted.any_point


def test_the_page_on_what_curve_just_wrote(
    sweep_corpus: str,
    sweep_cache: Path,
    tmp_path: Path,
    run_cli: Callable[..., subprocess.CompletedProcess[str]],
    run_research: Callable[..., subprocess.CompletedProcess[str]],
) -> None:
    grid = ("--codecs=hevc", "--scales=8", "--qps=32", "--fps=25,5", "--cache", sweep_cache)
    assert run_cli("curve", sweep_corpus, *grid, "-o", tmp_path / "out").returncode == 0
    done = run_research("curve-page", "--results", tmp_path / "out", "-o", tmp_path / "page.md")
    assert (done.returncode, done.stderr) == (0, "")
    text = (tmp_path / "page.md").read_text()
    assert "labels test: 2 recordings, 0.1 minutes; 2 operating points" in text
    for link in ("envelope.png", "frame-rates.png", "curve.html"):
        assert f"(out/{link})" in text
        assert (tmp_path / "out" / link).is_file()
    assert "| 5 fps |" in text.partition("## The effect of memory")[2]
    assert "lowbeam curve manifest:" in text


def test_the_page_on_a_sweep_leaves_out_what_it_cannot_show(sweep_results: dict[str, Any], tmp_path: Path) -> None:
    point = next(p for p in sweep_results["points"] if p["codec"] == "avc")
    alone = {"HR-trained": sweep_results["systems"]["HR-trained"]}
    write_results(
        sweep_results | {"points": [point], "systems": alone, "command": "lowbeam"}, tmp_path / "results.json"
    )
    text = write_curve_page(tmp_path, tmp_path / "page.md").read_text()
    assert "1 operating points" not in text
    assert not {"## Frame rates", "## The effect of memory"} & set(text.splitlines())
    assert "curve.html" not in text
    (tmp_path / "results.json").write_text("{}")
    with pytest.raises(SourceError, match=r"results\.json is no result"):
        write_curve_page(tmp_path, tmp_path / "page.md")
    (tmp_path / "results.json").unlink()
    with pytest.raises(SourceError, match="holds no result of lowbeam curve"):
        write_curve_page(tmp_path, tmp_path / "page.md")


def test_stills_are_coded_before_they_are_read(tmp_path: Path, hr_faces: np.ndarray) -> None:
    votes = np.zeros((40, 10), np.uint8)
    votes[np.arange(40), np.arange(40) % 8] = 10
    pixels = hr_faces[:40, ::2, ::2]
    np.savez(tmp_path / "test.npz", pixels=pixels, votes=votes)
    found = measure_stills(tmp_path, parse_grid("avc", "8", "20,50", "1"), parse_systems("fast"))
    assert [(row["codec"], row["qp"]) for row in found["rows"]] == [(None, None), ("avc", 20), ("avc", 50)]
    rmse = [row["scores"]["fast"]["valence"]["rmse"] for row in found["rows"]]
    assert len(set(rmse)) == 3


def test_the_page_is_written_from_the_results_alone(sweep_results: dict[str, Any], tmp_path: Path) -> None:
    folder = tmp_path / "rate-distortion"
    folder.mkdir()
    described = sweep_results | {"command": "lowbeam curve …"}
    for name in ("test", "valid", "systems"):
        write_results(described, folder / f"{name}.json")
    write_results(described, folder / "real-points.json")
    kept = {"valence": 0.9, "arousal": 0.7, "within_1_std": 0.68}
    row = {"bps": 1000, "used_bps": 800.0, "faces_per_s": 0.9, "hold": kept, "linear": kept, "smooth": kept}
    row["per_recording"] = [{"hold": kept}]
    budgets = {
        "recordings": 7, "seconds": 80.0, "uncoded": {"valence": 1.0, "arousal": 1.0}, "budgets": [row],
        "command": "lowbeam budgets",
    }  # fmt: skip
    for name in ("real", "rendered", "held-out"):
        (folder / f"budgets-{name}.json").write_text(json.dumps(budgets))
    scores = {name: {"ccc": 0.5, "cc": 0.6, "rmse": 0.1} for name in ("valence", "arousal")}
    rows = [{"codec": c, "scale": 8, "qp": q, "scores": {"x": scores}} for c, q in ((None, None), ("hevc", 32))]
    stills = {
        "corpus": "FER+",
        "split": "test",
        "faces": 9,
        "systems": {"x": "x"},
        "rows": rows,
        "command": "lowbeam e",
    }
    (folder / "stills.json").write_text(json.dumps(stills))
    by_fps = {"25.0": 0.5, "5.0": 0.4}
    losses = [
        {"loss": loss, "ccc": dict.fromkeys(("each frame by itself", "with memory"), by_fps)} for loss in ("ccc", "mse")
    ]
    (folder / "losses.json").write_text(json.dumps(losses))
    check = {"trained_on": "a", "tested_on": "b", "scores": scores}
    (folder / "corpus.json").write_text(json.dumps({"checks": [check], "command": "lowbeam c"}))
    text = write_rate_distortion_page(folder, tmp_path / "page.md").read_text()
    assert "$" not in text
    assert "| with memory, MSE loss | 0.500 | 0.400 |" in text
    assert "Other recordings were not measured." in text
    write_results(described, folder / "memory-others.json")
    with_others = write_rate_distortion_page(folder, tmp_path / "page.md").read_text()
    assert "| others | 2, 0 minutes | 32 |" in with_others
    assert "| RTP/UDP/IPv4 | 16 kbit/s |" in text
    for name in ("systems", "envelope", "frame-rates"):
        assert f"(rate-distortion/{name}.png)" in text
        assert (folder / f"{name}.png").stat().st_size > 5000
    (folder / "stills.json").unlink()
    with pytest.raises(SourceError, match=r"stills\.json"):
        write_rate_distortion_page(folder, tmp_path / "page.md")
