"""`lowbeam curve`: its grid, scores, cache and result files, on a small corpus made of the shipped clip."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

pytest.importorskip("plotly", reason="the curve needs the curve extra")

from conftest import SWEEP_GRID, SWEEP_SYSTEMS

from lowbeam.codec import OperatingPoint
from lowbeam.codec.trip import code
from lowbeam.container import count_bytes
from lowbeam.corpora.choose import load_faces
from lowbeam.corpora.labelled import tracks_of
from lowbeam.errors import CorpusError, ModelError, SourceError, UsageError
from lowbeam.evaluate.curve import run
from lowbeam.evaluate.curve.envelope import agreement, bd_rate, best_within, ccc_pareto_front
from lowbeam.evaluate.curve.grid import Grid, by_run, parse_grid
from lowbeam.evaluate.curve.interactive import write_interactive
from lowbeam.evaluate.curve.results import read_results, read_sweeps, write_results
from lowbeam.evaluate.curve.score import filled_in
from lowbeam.evaluate.curve.sweep import sweep
from lowbeam.evaluate.curve.systems import Readers, System, parse_systems
from lowbeam.scale import Faces, shrink


def test_every_point_has_every_rate_and_every_system(sweep_results: dict[str, Any]) -> None:
    assert len(sweep_results["points"]) == len(SWEEP_GRID.points()) == 32
    assert sweep_results["failed"] == []
    assert sweep_results["recordings"] == 2
    for point in sweep_results["points"]:
        assert 0 < point["payload_bps"] < point["container_bps"]
        assert point["payload_bps"] < point["tls_bps"]
        assert point["payload_bps"] + 8 * 40 * point["faces"] / 4 <= point["rtp_bps"] + 1
        assert point["bits_per_pixel"] * 96 * 96 * point["faces"] == pytest.approx(point["payload_bps"] * 4, rel=0.05)
        assert set(point["scores"]) == set(sweep_results["systems"])
    for system in sweep_results["systems"]:
        assert set(sweep_results["uncoded"][system]) == {"1", "2", "8"}


def test_fewer_bits_go_with_higher_qp_and_fewer_frames(sweep_results: dict[str, Any]) -> None:
    found = {(p["codec"], p["scale"], p["qp"], p["fps"]): p for p in sweep_results["points"]}
    assert found["hevc", 2, 42, 25]["payload_bps"] < found["hevc", 2, 22, 25]["payload_bps"]
    assert found["avc", 8, 32, 5]["rtp_bps"] < found["avc", 8, 32, 25]["rtp_bps"]
    assert found["avc", 8, 32, 5]["faces"] == 20


def test_the_container_weighs_what_pack_sends(sweep_corpus: str, sweep_cache: Path, tmp_path: Path) -> None:
    track = tracks_of(load_faces(sweep_corpus, "test", cache=sweep_cache))[0]
    video = Path(sweep_corpus.removeprefix("manifest:")).parent / "a.mp4"
    sent = subprocess.run(
        [sys.executable, "-m", "lowbeam.cli", "pack", video, "-o", "-", "--scale=8", "--qp=32", "--fps=25",
         "--latency=2"],
        capture_output=True, check=True,
    ).stdout  # fmt: skip
    coded = code(OperatingPoint("hevc", 8, 32, 25), shrink(np.asarray(track.pixels), 8), [40 * i for i in range(49)])
    (tmp_path / "sent.mkv").write_bytes(sent)
    weight = run.weigh(coded, track.box, 2.0)
    assert weight.container == pytest.approx(len(sent), rel=0.03)
    in_packets = count_bytes(tmp_path / "sent.mkv").sizes[:49]  # the last frame has no label
    assert weight.rtp == pytest.approx(in_packets.sum() + 40 * 49, rel=0.02)


def test_a_second_sweep_codes_and_reads_nothing_anew(
    sweep_results: dict[str, Any], sweep_corpus: str, sweep_cache: Path
) -> None:
    kept = {path: path.stat().st_mtime_ns for path in sweep_cache.rglob("*.np?")}
    assert sweep(sweep_corpus, SWEEP_GRID, parse_systems(SWEEP_SYSTEMS), cache=sweep_cache) == sweep_results
    assert {path: path.stat().st_mtime_ns for path in sweep_cache.rglob("*.np?")} == kept


def test_what_is_damaged_in_the_cache_is_made_again(
    sweep_results: dict[str, Any], sweep_corpus: str, sweep_cache: Path
) -> None:
    victims = [next(sweep_cache.glob("curve/*/*/coded.npz")), next(sweep_cache.glob("curve/*/*/[0-9a-f]*.npy"))]
    for victim in victims:
        victim.write_bytes(victim.read_bytes()[:100])
    assert sweep(sweep_corpus, SWEEP_GRID, parse_systems(SWEEP_SYSTEMS), cache=sweep_cache) == sweep_results


def test_a_cache_of_another_version_is_not_taken_up(
    sweep_corpus: str, sweep_cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    track, point = tracks_of(load_faces(sweep_corpus, "test", cache=sweep_cache))[0], OperatingPoint("avc", 8, 32, 25)
    systems = parse_systems("fast")

    def result() -> run.RunResult:
        lr = shrink(np.asarray(track.pixels), 8)
        return run.RunCache(tmp_path).result(track, "x", point, 8, lr, Readers(systems), systems)

    first = result()
    (reading,) = tmp_path.rglob("[0-9a-f]*.npy")
    np.save(reading, np.zeros_like(first.readings["fast"]))
    assert not result().readings["fast"].any()  # it is taken up
    monkeypatch.setattr(run, "KEPT_VERSION", run.KEPT_VERSION + 1)
    assert np.array_equal(result().readings["fast"], first.readings["fast"])


def test_a_file_that_is_no_model_is_one_line(
    sweep_corpus: str, sweep_cache: Path, tmp_path: Path, run_cli: Callable[..., subprocess.CompletedProcess[str]]
) -> None:
    done = run_cli("curve", sweep_corpus, "--models", f"x={__file__}", "--cache", sweep_cache, "-o", tmp_path / "out")
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert "is not an ONNX model" in done.stderr


def test_a_codec_that_is_missing_is_a_reason_not_a_crash(
    sweep_corpus: str, sweep_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lowbeam.evaluate.curve.sweep.available_codecs", lambda: {"hevc": True, "av1": False})
    found = sweep(sweep_corpus, parse_grid("hevc,av1", "8", "32", "5"), parse_systems("fast"), cache=sweep_cache)
    assert len(found["points"]) == 1
    assert found["failed"] == [{"point": "av1 s=8 QP 32 5 fps", "reason": "this FFmpeg lacks the codec"}]


def test_without_labels_the_uncoded_estimates_are_the_truth(sweep_corpus: str, sweep_cache: Path) -> None:
    videos = f"videos:{Path(sweep_corpus.removeprefix('manifest:')).parent}"
    with pytest.raises(CorpusError, match="no valence and arousal"):
        sweep(videos, SWEEP_GRID, parse_systems("fast"), cache=sweep_cache)
    found = sweep(videos, parse_grid("hevc", "1,4", "22", "25"), parse_systems("fast"), truth="self", cache=sweep_cache)
    assert (found["truth"], found["recordings"]) == ("self", 4)
    assert found["uncoded"]["fast"]["1"]["valence"]["ccc"] == 1.0
    full, small = (point["scores"]["fast"]["valence"]["ccc"] for point in found["points"])
    assert 0.8 < small < full < 1.0


def test_budgets_are_measured_held_joined_and_smoothed(
    sweep_corpus: str, sweep_cache: Path, tmp_path: Path, run_cli: Callable[..., subprocess.CompletedProcess[str]]
) -> None:
    videos = f"videos:{Path(sweep_corpus.removeprefix('manifest:')).parent}"
    out = tmp_path / "budgets.json"
    done = run_cli(
        "budgets", videos, "--truth", "self", "--budgets", "2kbps,32kbps", "--cache", sweep_cache, "-o", out
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    results = json.loads(out.read_text())
    assert results["uncoded"] == {"valence": 1.0, "arousal": 1.0}
    low, high = results["budgets"]
    for row in (low, high):
        assert row["used_bps"] * 2 <= row["bps"] * 5  # two seconds of recording, and three of credit at the start
        assert len(row["per_recording"]) == 4
    assert high["hold"]["valence"] > low["hold"]["valence"]
    assert high["smooth"]["valence"] > 0.8
    assert "CCC with their own uncoded estimates" in done.stdout
    unlabelled = run_cli("budgets", videos, "--cache", sweep_cache)
    assert (unlabelled.returncode, unlabelled.stderr.count("\n")) == (2, 1)


def test_a_folder_without_videos_is_named(tmp_path: Path, sweep_cache: Path) -> None:
    with pytest.raises(CorpusError, match="has no video"):
        sweep(f"videos:{tmp_path}", SWEEP_GRID, parse_systems("fast"), truth="self", cache=sweep_cache)


def test_a_corpus_of_stills_or_without_labels_is_named(hr_faces: Faces, tmp_path: Path, sweep_cache: Path) -> None:
    identity = np.array([f"person {n}" for n in range(len(hr_faces))])
    words = np.array(["neutral", "happiness"])[np.arange(len(hr_faces)) % 2]
    np.savez(tmp_path / "words.npz", pixels=hr_faces, identity=identity, expression=words)
    np.savez(tmp_path / "bare.npz", pixels=hr_faces, identity=identity)
    for name, said in (("words", "one of stills"), ("bare", "no valence and arousal")):
        with pytest.raises(CorpusError, match=said):
            sweep(f"faces96:{tmp_path / name}.npz", SWEEP_GRID, parse_systems("fast"), cache=sweep_cache)


@pytest.mark.parametrize(
    ("change", "said"),
    [(lambda rows: [*rows[:9], *rows[20:8:-1]], "times must increase"), (lambda rows: rows[:1], "no recording"),
     (lambda rows: [*rows, "a.mp4,test,9.0,0,0"], "ends at"),
     (lambda rows: [*rows, "c.mp4,test,0,0,0"], "c.mp4 is missing")],
)  # fmt: skip
def test_labels_that_cannot_be_are_one_line(
    change: Callable,
    said: str,
    sweep_corpus: str,
    tmp_path: Path,
    run_cli: Callable[..., subprocess.CompletedProcess[str]],
) -> None:
    labels = Path(sweep_corpus.removeprefix("manifest:"))
    for video in labels.parent.glob("*.mp4"):
        (tmp_path / video.name).symlink_to(video)
    rows = [row for row in labels.read_text().splitlines() if "valid" not in row and "b.mp4" not in row]
    (tmp_path / "l.csv").write_text("\n".join(change(rows)) + "\n")
    done = run_cli("curve", f"manifest:{tmp_path / 'l.csv'}", "--cache", tmp_path / "cache", "-o", tmp_path / "out")
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert said in done.stderr


@pytest.mark.parametrize(
    ("given_", "error"),
    [(("hevc,h266", "1", "22", "25"), "h266"), (("hevc", "5", "22", "25"), "scale 5"),
     (("hevc", "1", "99", "25"), "QP 99"), (("hevc", "1", "22", "0"), "fps 0"),
     (("hevc", "1,x", "22", "25"), "--scales 1,x"), (("", "1", "22", "25"), "--codecs"),
     (("hevc", "1,1", "22", "25"), "names one twice")],
)  # fmt: skip
def test_a_grid_that_cannot_be_is_named(given_: tuple[str, str, str, str], error: str) -> None:
    with pytest.raises(UsageError, match=error):
        parse_grid(*given_)


def test_points_of_a_run_differ_in_frame_rate_alone() -> None:
    runs = by_run(Grid(("hevc", "avc"), (1, 8), (22,), (25.0, 1.0)).points())
    assert len(runs) == 4
    assert all(len({(p.codec, p.scale, p.qp) for p in points}) == 1 and len(points) == 2 for points in runs)


def test_systems_are_names_files_or_a_file_for_each_scale(tmp_path: Path) -> None:
    shipped = parse_systems("fast")[0].at(1)
    assert shipped is not None
    (tmp_path / "lr-8.onnx").write_bytes(shipped.read_bytes())
    (system,) = parse_systems(f"LR-S={tmp_path}/lr-{{scale}}.onnx")
    assert system.at(8) == tmp_path / "lr-8.onnx"
    assert system.at(4) is None
    each, steady = System("a", "accurate/each"), System("b", "accurate")
    assert each.digest(1) != steady.digest(1)
    for wrong in ("no-such-model", f"{tmp_path}/x-{{scale}}.onnx"):
        with pytest.raises(ModelError):
            parse_systems(wrong)
    with pytest.raises(UsageError, match="names one twice"):
        parse_systems("fast,fast")


@given(
    times=st.lists(st.floats(0, 100), min_size=1, max_size=30, unique=True),
    at=st.lists(st.floats(0, 120), min_size=1, max_size=30),
)
def test_what_was_last_read_is_held(times: list[float], at: list[float]) -> None:
    time_s = np.sort(np.array(times))
    readings = np.stack([np.arange(len(time_s)), -np.arange(len(time_s))], 1).astype(np.float32)
    for moment, value in zip(at, filled_in(time_s, readings, np.array(at), "hold"), strict=True):
        past = np.flatnonzero(time_s <= moment + 0.002)
        assert value[0] == (past[-1] if len(past) else 0)


def made_point(rate: float, ccc: float, **rest: Any) -> dict[str, Any]:
    scores = {"s": {name: {"ccc": ccc} for name in ("valence", "arousal")}}
    return {"rtp_bps": rate, "payload_bps": rate / 2, "scores": scores} | rest


@given(hnp.arrays(np.float64, st.tuples(st.integers(1, 40), st.just(2)), elements=st.floats(0.01, 1)))
def test_no_point_of_the_front_is_beaten(values: np.ndarray) -> None:
    points = [made_point(rate, ccc) for rate, ccc in values]
    best = ccc_pareto_front(points, "s", "rtp_bps")
    for kept in best:
        assert not any(p["rtp_bps"] <= kept["rtp_bps"] and agreement(p, "s") > agreement(kept, "s") for p in points)
    for most in (0.2, 0.6):
        found = best_within(points, "s", "rtp_bps", most)
        cheap = [agreement(p, "s") for p in points if p["rtp_bps"] <= most]
        assert (found is None) == (not cheap)
        assert found is None or agreement(found, "s") == max(cheap)


def test_half_the_rate_is_a_bd_rate_of_minus_fifty() -> None:
    levels = [0.2, 0.3, 0.4, 0.45, 0.5]
    anchor = [made_point(1000 * 2**n, ccc) for n, ccc in enumerate(levels)]
    lean = [made_point(500 * 2**n, ccc) for n, ccc in enumerate(levels)]
    assert bd_rate(anchor, lean, "s", "s", "rtp_bps") == pytest.approx(-50, abs=1)
    assert bd_rate(anchor, lean[:3], "s", "s", "rtp_bps") is None
    above = [made_point(100 * 2**n, ccc + 0.4) for n, ccc in enumerate(levels)]
    assert bd_rate(anchor, above, "s", "s", "rtp_bps") is None


def test_results_come_back_as_they_were_written(sweep_results: dict[str, Any], tmp_path: Path) -> None:
    write_results(sweep_results, tmp_path / "r.json")
    assert read_results(tmp_path / "r.json") == sweep_results
    assert len((tmp_path / "r.json").read_text().splitlines()) > len(sweep_results["points"])
    for text in ("", "{}", '{"version": 1, "points": []}', "[1]"):
        (tmp_path / "bad.json").write_text(text)
        with pytest.raises(SourceError, match=r"bad\.json"):
            read_results(tmp_path / "bad.json")
    write_results(sweep_results | {"version": 99}, tmp_path / "new.json")
    with pytest.raises(SourceError, match="version 99"):
        read_results(tmp_path / "new.json")


def test_the_interactive_page_needs_nothing_else(sweep_results: dict[str, Any], tmp_path: Path) -> None:
    write_interactive(sweep_results, tmp_path / "c.html")
    text = (tmp_path / "c.html").read_text()
    assert "hevc s=8 (12 px) QP 32" in text
    assert 'src="http' not in text


def test_the_interactive_page_fits_small_screens_and_says_what_it_is_of(
    sweep_results: dict[str, Any], tmp_path: Path
) -> None:
    write_interactive(sweep_results | {"corpus": "<a>", "seconds": 754}, tmp_path / "c.html")
    text = (tmp_path / "c.html").read_text()
    assert '<meta name="viewport" content="width=device-width, initial-scale=1">' in text
    assert "<p>&lt;a&gt; test: 2 recordings, 12.6 minutes</p>" in text
    assert '"responsive": true' in text
    assert "circle: hevc, square: avc" in text
    write_interactive(sweep_results | {"points": []}, tmp_path / "none.html")  # where every codec is missing


def test_sweeps_of_other_points_become_one_and_of_other_people_do_not(
    sweep_results: dict[str, Any], tmp_path: Path
) -> None:
    half = len(sweep_results["points"]) // 2
    described = sweep_results | {"command": "lowbeam curve"}
    for name, points in (("a", sweep_results["points"][:half]), ("b", sweep_results["points"][half:])):
        write_results(described | {"points": points}, tmp_path / f"{name}.json")
    together = read_sweeps([tmp_path / "a.json", tmp_path / "b.json"])
    assert together["points"] == sweep_results["points"]
    assert len(together["commands"]) == 2
    write_results(described | {"recordings": 99}, tmp_path / "c.json")
    with pytest.raises(SourceError, match=r"c\.json is of other systems or recordings"):
        read_sweeps([tmp_path / "a.json", tmp_path / "c.json"])
    with pytest.raises(SourceError, match="no result"):
        read_sweeps([])
