"""The sweep: its grid, its scores, its cache, its page; on a small corpus that is made of the clip that ships."""

import json
import os
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

from conftest import write_video

from lowbeam.codec import OperatingPoint
from lowbeam.codec.operating_table import TABLE
from lowbeam.codec.trip import code
from lowbeam.container import count_bytes
from lowbeam.corpora.choose import load_faces
from lowbeam.corpora.labelled import tracks_of
from lowbeam.errors import CorpusError, ModelError, SourceError, UsageError
from lowbeam.evaluate.curve import run
from lowbeam.evaluate.curve.envelope import agreement, bd_rate, best_within, ccc_pareto_front
from lowbeam.evaluate.curve.grid import Grid, by_run, parse_grid
from lowbeam.evaluate.curve.interactive import write_interactive
from lowbeam.evaluate.curve.page import write_page
from lowbeam.evaluate.curve.results import read_results, read_sweeps, write_results
from lowbeam.evaluate.curve.score import held
from lowbeam.evaluate.curve.statements import kept_at, operating_table, without
from lowbeam.evaluate.curve.stills import measure_stills
from lowbeam.evaluate.curve.sweep import sweep
from lowbeam.evaluate.curve.sweep_page import write_curve_page
from lowbeam.evaluate.curve.systems import Readers, System, parse_systems
from lowbeam.evaluate.followed import measure_followed
from lowbeam.recognize import DEFAULT_MODEL
from lowbeam.scale import shrink

SYSTEMS = "accurate,accurate/each,HR-trained=fast"
CORPUS_ROWS = [("a.mp4", "test"), ("b.mp4", "test"), ("a2.mp4", "valid"), ("b2.mp4", "valid")]


@pytest.fixture(scope="module")
def corpus(short_frames: list, tmp_path_factory: pytest.TempPathFactory) -> str:
    """Four recordings of two seconds, whose labels wander."""
    folder = tmp_path_factory.mktemp("corpus")
    lines = ["recording,split,time_s,valence,arousal"]
    for number, (name, split) in enumerate(CORPUS_ROWS):
        write_video(folder / name, short_frames if number % 2 else short_frames[::-1], options={"crf": "20"})
        times = np.arange(0, 1.96, 0.04)
        values = np.stack([np.sin(times + number), np.cos(2 * times)], 1) / 2
        lines += [f"{name},{split},{t:.2f},{v:.3f},{a:.3f}" for t, (v, a) in zip(times, values, strict=True)]
    (folder / "labels.csv").write_text("\n".join(lines) + "\n")
    return f"manifest:{folder / 'labels.csv'}"


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


GRID = parse_grid("hevc,avc", "2,8", "22,32,42,47", "25,5")


@pytest.fixture(scope="module")
def results(corpus: str, cache: Path) -> dict[str, Any]:
    return sweep(corpus, GRID, parse_systems(SYSTEMS), cache=cache, workers=2)


def test_every_point_has_every_rate_and_every_system(results: dict[str, Any]) -> None:
    assert len(results["points"]) == len(GRID.points()) == 32
    assert results["failed"] == []
    assert results["recordings"] == 2
    for point in results["points"]:
        assert 0 < point["payload_bps"] < point["container_bps"]
        assert point["payload_bps"] < point["tls_bps"]
        assert point["payload_bps"] + 8 * 40 * point["faces"] / 4 <= point["rtp_bps"] + 1
        assert point["bits_per_pixel"] * 96 * 96 * point["faces"] == pytest.approx(point["payload_bps"] * 4, rel=0.05)
        assert set(point["scores"]) == set(results["systems"])
    for system in results["systems"]:
        assert set(results["uncoded"][system]) == {"1", "2", "8"}


def test_fewer_bits_go_with_higher_qp_and_fewer_frames(results: dict[str, Any]) -> None:
    found = {(p["codec"], p["scale"], p["qp"], p["fps"]): p for p in results["points"]}
    assert found["hevc", 2, 42, 25]["payload_bps"] < found["hevc", 2, 22, 25]["payload_bps"]
    assert found["avc", 8, 32, 5]["rtp_bps"] < found["avc", 8, 32, 25]["rtp_bps"]
    assert found["avc", 8, 32, 5]["faces"] == 20


def test_the_container_weighs_what_pack_sends(corpus: str, cache: Path, tmp_path: Path) -> None:
    track = tracks_of(load_faces(corpus, "test", cache=cache))[0]
    video = Path(corpus.removeprefix("manifest:")).parent / "a.mp4"
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


def test_a_second_sweep_codes_and_reads_nothing_anew(results: dict[str, Any], corpus: str, cache: Path) -> None:
    kept = {path: path.stat().st_mtime_ns for path in cache.rglob("*.np?")}
    assert sweep(corpus, GRID, parse_systems(SYSTEMS), cache=cache) == results
    assert {path: path.stat().st_mtime_ns for path in cache.rglob("*.np?")} == kept


def test_what_is_damaged_in_the_cache_is_made_again(results: dict[str, Any], corpus: str, cache: Path) -> None:
    victims = [next(cache.glob("curve/*/*/coded.npz")), next(cache.glob("curve/*/*/[0-9a-f]*.npy"))]
    for victim in victims:
        victim.write_bytes(victim.read_bytes()[:100])
    assert sweep(corpus, GRID, parse_systems(SYSTEMS), cache=cache) == results


def test_a_cache_of_another_version_is_not_taken_up(
    corpus: str, cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    track, point = tracks_of(load_faces(corpus, "test", cache=cache))[0], OperatingPoint("avc", 8, 32, 25)
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
    corpus: str, cache: Path, tmp_path: Path, run_cli: Callable[..., subprocess.CompletedProcess[str]]
) -> None:
    done = run_cli("curve", corpus, "--models", f"x={__file__}", "--cache", cache, "-o", tmp_path / "out")
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert "is not an ONNX model" in done.stderr


def test_a_codec_that_is_missing_is_a_reason_not_a_crash(
    corpus: str, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lowbeam.evaluate.curve.sweep.available_codecs", lambda: {"hevc": True, "av1": False})
    found = sweep(corpus, parse_grid("hevc,av1", "8", "32", "5"), parse_systems("fast"), cache=cache)
    assert len(found["points"]) == 1
    assert found["failed"] == [{"point": "av1 s=8 QP 32 5 fps", "reason": "this FFmpeg lacks the codec"}]


def test_deviations_are_measured_where_people_are_followed(corpus: str, cache: Path) -> None:
    found = measure_followed(corpus, parse_grid("hevc", "8", "32", "25,5"), parse_systems("fast"), cache=cache)
    assert [(row["scale"], row["fps"]) for row in found["rows"]] == [(8, 25), (8, 5)]
    for row in found["rows"]:
        scored = row["scores"]["fast"]["valence"]
        assert 0 <= scored["within_1_std"] <= scored["within_2_std"] <= 1
        assert scored["mean_std"] > 0


def test_each_reads_every_followed_face_by_itself(corpus: str, cache: Path) -> None:
    found = measure_followed(corpus, parse_grid("hevc", "8", "32", "25"), parse_systems("fast,fast/each"), cache=cache)
    (row,) = found["rows"]
    assert row["scores"]["fast"] != row["scores"]["fast/each"]


def test_a_system_without_deviations_cannot_be_followed(
    corpus: str, tmp_path: Path, run_cli: Callable[..., subprocess.CompletedProcess[str]]
) -> None:
    done = run_cli("evaluate", "followed", corpus, "--models", "fast,fer", "-o", tmp_path / "f.json")
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert "fer gives no standard deviation" in done.stderr
    assert "fer" not in run_cli("evaluate", "followed", "--help").stdout
    assert not list(tmp_path.iterdir())


def test_what_is_followed_is_printed_by_point(
    corpus: str, tmp_path: Path, run_cli: Callable[..., subprocess.CompletedProcess[str]]
) -> None:
    done = run_cli(
        "evaluate", "followed", corpus, "--models=fast", "--scales=8", "--qps=32", "--fps=5", "-o", tmp_path / "f.json",
        env=os.environ | {"XDG_CACHE_HOME": str(tmp_path / "cache")},
    )  # fmt: skip
    about, heading, line = done.stdout.splitlines()
    assert "share of truths within one standard deviation" in about
    assert heading.split()[-4:] == ["V", "within", "A", "within"]
    (row,) = json.loads((tmp_path / "f.json").read_text())["rows"]
    assert line.split()[:5] == ["fast", "12", "hevc", "32", "5"]
    assert float(line.split()[-2]) == pytest.approx(row["scores"]["fast"]["valence"]["within_1_std"], abs=6e-4)


def test_the_corpora_s_worth_is_printed(
    corpus: str, hr_faces: np.ndarray, tmp_path: Path, run_cli: Callable[..., subprocess.CompletedProcess[str]]
) -> None:
    votes = np.zeros((16, 10), np.uint8)
    votes[np.arange(16), np.arange(16) % 8] = 10
    np.savez(tmp_path / "test.npz", pixels=hr_faces[:16, ::2, ::2], votes=votes)
    done = run_cli(
        "evaluate", "corpus", corpus, "--real", tmp_path, "--of-rendered=fast", "--of-real=fast",
        "--sheet", tmp_path / "s.png", "-o", tmp_path / "c.json",
        env=os.environ | {"XDG_CACHE_HOME": str(tmp_path / "cache")},
    )  # fmt: skip
    heading, *lines = done.stdout.splitlines()
    assert heading.split() == ["trained", "on", "tested", "on", "V", "ccc", "A", "ccc"]
    assert [line.split()[:4] for line in lines] == [
        ["FER+", "train", "labels", "test"],
        ["labels", "train", "FER+", "test"],
    ]


def test_an_operating_table_is_summed_up_in_a_line(
    results: dict[str, Any], tmp_path: Path, run_cli: Callable[..., subprocess.CompletedProcess[str]]
) -> None:
    write_results(results, tmp_path / "results.json")
    done = run_cli("evaluate", "operating-table", tmp_path / "results.json", "-o", tmp_path / "table.json")
    count = len(json.loads((tmp_path / "table.json").read_text())["points"])
    assert done.stdout.startswith(f"{count} points (")
    assert "kbit/s on the wire: accurate has a CCC of" in done.stdout
    assert done.stdout.count("\n") == 1


def test_stills_are_read_by_one_system_unless_more_are_named(
    hr_faces: np.ndarray, tmp_path: Path, run_cli: Callable[..., subprocess.CompletedProcess[str]]
) -> None:
    votes = np.zeros((16, 10), np.uint8)
    votes[np.arange(16), np.arange(16) % 8] = 10
    np.savez(tmp_path / "test.npz", pixels=hr_faces[:16, ::2, ::2], votes=votes)
    out = tmp_path / "stills.json"
    done = run_cli(
        "evaluate", "stills", "--corpus", tmp_path, "--codecs=avc", "--scales=8", "--qps=32", "-o", out
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert list(json.loads(out.read_text())["systems"]) == [DEFAULT_MODEL]


def test_a_corpus_of_stills_or_without_labels_is_named(shared: Path, cache: Path) -> None:
    with pytest.raises(CorpusError, match="one of stills"):
        sweep(f"ferplus:{shared / 'data' / 'ferplus'}", GRID, parse_systems("fast"), cache=cache)
    with pytest.raises(CorpusError, match="no valence and arousal"):
        sweep(f"faces96:{shared / 'data' / 'faces96.npz'}", GRID, parse_systems("fast"), cache=cache)


@pytest.mark.parametrize(
    ("change", "said"),
    [(lambda rows: [*rows[:9], *rows[20:8:-1]], "time runs backwards"), (lambda rows: rows[:1], "no recording"),
     (lambda rows: [*rows, "a.mp4,test,9.0,0,0"], "ends at"),
     (lambda rows: [*rows, "c.mp4,test,0,0,0"], "c.mp4 is missing")],
)  # fmt: skip
def test_labels_that_cannot_be_are_one_line(
    change: Callable, said: str, corpus: str, tmp_path: Path, run_cli: Callable[..., subprocess.CompletedProcess[str]]
) -> None:
    labels = Path(corpus.removeprefix("manifest:"))
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
    for moment, value in zip(at, held(time_s, readings, np.array(at)), strict=True):
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


def test_statements_choose_on_valid_and_report_on_test(results: dict[str, Any], corpus: str, cache: Path) -> None:
    valid = sweep(corpus, GRID, parse_systems(SYSTEMS), split="valid", cache=cache)
    kept = kept_at(results, valid, "accurate", "rtp_bps", (4, 16))
    assert kept
    for found in kept:
        assert found.chosen["rtp_bps"] <= 1000 * found.kbps
        assert found.chosen in valid["points"]
    table = operating_table(valid)
    assert table["split"] == "valid"
    assert {tuple(row) for row in table["points"]} == {tuple(json.loads(TABLE.read_text())["points"][0])}
    for found_without in without(results, "accurate", "rtp_bps", (16,)):
        assert found_without.full_rate is None or found_without.full_rate <= found_without.any_point


def test_results_come_back_as_they_were_written(results: dict[str, Any], tmp_path: Path) -> None:
    write_results(results, tmp_path / "r.json")
    assert read_results(tmp_path / "r.json") == results
    assert len((tmp_path / "r.json").read_text().splitlines()) > len(results["points"])
    for text in ("", "{}", '{"version": 1, "points": []}', "[1]"):
        (tmp_path / "bad.json").write_text(text)
        with pytest.raises(SourceError, match=r"bad\.json"):
            read_results(tmp_path / "bad.json")
    write_results(results | {"version": 99}, tmp_path / "new.json")
    with pytest.raises(SourceError, match="version 99"):
        read_results(tmp_path / "new.json")


def test_the_interactive_page_needs_nothing_else(results: dict[str, Any], tmp_path: Path) -> None:
    write_interactive(results, tmp_path / "c.html")
    text = (tmp_path / "c.html").read_text()
    assert "hevc s=8 (12 px) QP 32" in text
    assert 'src="http' not in text


def test_the_interactive_page_fits_small_screens_and_says_what_it_is_of(
    results: dict[str, Any], tmp_path: Path
) -> None:
    write_interactive(results | {"corpus": "<a>", "seconds": 754}, tmp_path / "c.html")
    text = (tmp_path / "c.html").read_text()
    assert '<meta name="viewport" content="width=device-width, initial-scale=1">' in text
    assert "<p>&lt;a&gt; test: 2 recordings, 12.6 minutes</p>" in text
    assert '"responsive": true' in text
    assert "circle: hevc, square: avc" in text
    write_interactive(results | {"points": []}, tmp_path / "none.html")  # where every codec is missing


def test_the_page_on_what_curve_just_wrote(
    corpus: str, cache: Path, tmp_path: Path, run_cli: Callable[..., subprocess.CompletedProcess[str]]
) -> None:
    grid = ("--codecs=hevc", "--scales=8", "--qps=32", "--fps=25,5", "--cache", cache)
    assert run_cli("curve", corpus, *grid, "-o", tmp_path / "out").returncode == 0
    done = run_cli("evaluate", "curve", "--results", tmp_path / "out", "-o", tmp_path / "page.md")
    assert (done.returncode, done.stderr) == (0, "")
    text = (tmp_path / "page.md").read_text()
    assert "labels test: 2 recordings, 0.1 minutes; 2 operating points" in text
    for link in ("envelope.png", "frame-rates.png", "curve.html"):
        assert f"(out/{link})" in text
        assert (tmp_path / "out" / link).is_file()
    assert "| 5 fps |" in text.partition("## What memory adds")[2]
    assert "lowbeam curve manifest:" in text


def test_the_page_on_a_sweep_leaves_out_what_it_cannot_show(results: dict[str, Any], tmp_path: Path) -> None:
    point = next(p for p in results["points"] if p["codec"] == "avc")
    alone = {"HR-trained": results["systems"]["HR-trained"]}
    write_results(results | {"points": [point], "systems": alone, "command": "lowbeam"}, tmp_path / "results.json")
    text = write_curve_page(tmp_path, tmp_path / "page.md").read_text()
    assert "1 operating points" not in text
    assert not {"## Frame rates", "## What memory adds"} & set(text.splitlines())
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


def test_sweeps_of_other_points_become_one_and_of_other_people_do_not(results: dict[str, Any], tmp_path: Path) -> None:
    half = len(results["points"]) // 2
    described = results | {"command": "lowbeam curve"}
    for name, points in (("a", results["points"][:half]), ("b", results["points"][half:])):
        write_results(described | {"points": points}, tmp_path / f"{name}.json")
    together = read_sweeps([tmp_path / "a.json", tmp_path / "b.json"])
    assert together["points"] == results["points"]
    assert len(together["commands"]) == 2
    write_results(described | {"recordings": 99}, tmp_path / "c.json")
    with pytest.raises(SourceError, match=r"c\.json is of other systems or recordings"):
        read_sweeps([tmp_path / "a.json", tmp_path / "c.json"])
    with pytest.raises(SourceError, match="no result"):
        read_sweeps([])


def test_the_page_is_written_from_the_results_alone(results: dict[str, Any], tmp_path: Path) -> None:
    folder = tmp_path / "rate-distortion"
    folder.mkdir()
    described = results | {"command": "lowbeam curve …"}
    for name in ("test", "valid", "systems"):
        write_results(described, folder / f"{name}.json")
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
    text = write_page(folder, tmp_path / "page.md").read_text()
    assert "$" not in text
    assert "| with memory, MSE loss | 0.500 | 0.400 |" in text
    assert "Other people were not measured." in text
    write_results(described, folder / "memory-others.json")
    assert "| 2 test people, 0 minutes | 32 |" in write_page(folder, tmp_path / "page.md").read_text()
    assert "| RTP/UDP/IPv4 | 16 kbit/s |" in text
    for name in ("systems", "envelope", "frame-rates"):
        assert f"(rate-distortion/{name}.png)" in text
        assert (folder / f"{name}.png").stat().st_size > 5000
    (folder / "stills.json").unlink()
    with pytest.raises(SourceError, match=r"stills\.json"):
        write_page(folder, tmp_path / "page.md")
