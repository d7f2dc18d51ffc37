"""Long recordings: read in spans, side by side, and joined as if they had been read as a whole."""

import shutil
import signal
import subprocess
import sys
import time
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import lowbeam
from lowbeam.archive import spans
from lowbeam.archive.dataset import Dataset
from lowbeam.archive.reading import Reading, Settings
from lowbeam.archive.records import Key
from lowbeam.archive.rows import FACE, TIME, Rows
from lowbeam.archive.spans import Join, joined, spans_of
from lowbeam.metrics import ccc
from tests.conftest import write_video

pandas = pytest.importorskip("pandas", reason="datasets need the batch extra")
pytest.importorskip("pyarrow", reason="datasets need the batch extra")

KEY = Key("content", "settings")
FRAMES, STEP_S = 640, 2  # of the long video, so that 21 minutes are few frames


@pytest.fixture(scope="module")
def long_video(short_frames: list[np.ndarray], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A face for 21 minutes, of which two frames in three minutes are empty."""
    frames = [frame[::2, ::2] for frame in short_frames]
    images = [np.full_like(frames[0], 90) if n % 90 in (50, 51) else frames[n % len(frames)] for n in range(FRAMES)]
    return write_video(tmp_path_factory.mktemp("long") / "long.mp4", images, [1000 * STEP_S * n for n in range(FRAMES)])


@pytest.fixture(scope="module")
def in_spans(long_video: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("spans") / "traces"
    (outcome,) = lowbeam.batch(long_video, out, workers=2)
    assert outcome.state == "read", outcome.error
    return out


def files(out: Path) -> dict[str, bytes]:
    return {str(path.relative_to(out)): path.read_bytes() for path in sorted(out.rglob("*")) if path.is_file()}


# --- as a whole


def test_a_recording_read_in_spans_is_the_recording(long_video: Path, in_spans: Path) -> None:
    whole = lowbeam.read(long_video)
    found = pandas.read_parquet(in_spans / "estimates")
    assert np.array_equal(found.time_s, whole["time_s"])
    assert np.array_equal(found.face, whole["face"])
    for name in ("valence", "arousal"):
        assert ccc(found[name].to_numpy(), whole[name]) > 0.98
        assert np.abs(found[name] - whole[name]).mean() < 0.02
    (known,) = pandas.read_parquet(in_spans / "recordings.parquet").itertuples()
    assert known.duration_s == FRAMES * STEP_S
    assert known.face_s == pytest.approx(FRAMES * STEP_S * len(whole) / FRAMES)
    assert not (in_spans / "spans").exists()


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_a_run_that_ends_between_spans_goes_on(long_video: Path, in_spans: Path, tmp_path: Path, number: int) -> None:
    out = tmp_path / "traces"
    command = [sys.executable, "-m", "lowbeam.cli", "batch", str(long_video), "-o", str(out), "--workers", "1"]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    until = time.monotonic() + 60
    while not [*out.glob("spans/*-0of*.npz")] and time.monotonic() < until:
        time.sleep(0.01)
    process.send_signal(number)
    process.communicate(timeout=30)
    (span,) = out.glob("spans/*-0of*.npz")
    was = span.stat().st_mtime_ns, span.stat().st_ino
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    while process.poll() is None and span.exists():
        with suppress(FileNotFoundError):  # once all is joined
            assert (span.stat().st_mtime_ns, span.stat().st_ino) == was, "a span was read again"
        time.sleep(0.05)
    assert process.wait() == 0
    assert files(out) == files(in_spans)


def test_a_long_recording_that_breaks_in_one_span_is_one_failure(long_video: Path, tmp_path: Path) -> None:
    video = tmp_path / "broken.mp4"
    shutil.copy(long_video, video)
    data = bytearray(video.read_bytes())
    middle = len(data) * 3 // 4
    data[middle : middle + 20_000] = bytes(20_000)  # lengths of zero, which no decoder takes for pictures
    video.write_bytes(bytes(data))
    outcomes = [*lowbeam.batch([video, long_video], tmp_path / "traces", workers=2)]
    states = {Path(one.source).name: one.state for one in outcomes}
    assert (len(outcomes), states) == (2, {"broken.mp4": "failed", "long.mp4": "read"})
    (failed,) = pandas.read_parquet(tmp_path / "traces" / "failures.parquet").itertuples()
    assert "is damaged after" in failed.error
    assert not (tmp_path / "traces" / "spans").exists()


def test_a_long_recording_without_a_face_is_said_to_have_none(tmp_path: Path) -> None:
    images = [np.full((64, 64), 90, np.uint8)] * 250
    video = write_video(tmp_path / "grey.mp4", images, [5000 * n for n in range(len(images))])
    (outcome,) = lowbeam.batch(video, tmp_path / "traces", workers=2)
    assert outcome.error.endswith("shows no face")


def test_spans_of_another_run_are_left_to_it(long_video: Path, in_spans: Path, tmp_path: Path) -> None:
    out = tmp_path / "traces"
    shutil.copytree(in_spans, out)
    read_again = Reading(Dataset(out), Settings("accurate", "primary", 0.5), retry_failed=False)  # other settings
    jobs = read_again.read(str(long_video))
    assert isinstance(jobs, list)
    assert read_again.read_span(jobs[0]) is jobs[0]
    list(lowbeam.batch(tmp_path / "none.mp4", out, workers=1))  # a run that ends meanwhile
    assert len([*(out / "spans").iterdir()]) == 1
    jobs[1:] = [span for span in jobs[1:] if read_again.read_span(span) is span]
    (out / "spans" / next((out / "spans").iterdir()).name).unlink()
    assert read_again.join(Join(str(long_video), tuple(jobs))) == jobs  # what is missing is read again
    for span in jobs:
        read_again.read_span(span)
    outcome = read_again.join(Join(str(long_video), tuple(jobs)))
    assert isinstance(outcome, lowbeam.Outcome)
    assert outcome.state == "read"


# --- spans


@given(st.floats(0, 1e6, allow_nan=False))
def test_spans_cover_a_long_recording_and_none_is_short(duration_s: float) -> None:
    found = spans_of("a", "", KEY, duration_s)
    if not 2 * spans.SPAN_S <= duration_s <= spans.MOST_SPANS * spans.SPAN_S:
        assert not found
        return
    begins = [span.begin_s for span in found]
    assert begins == [spans.SPAN_S * n for n in range(len(found))]
    assert spans.SPAN_S <= duration_s - begins[-1] < 2 * spans.SPAN_S
    for span in found:
        section = span.section(25.0)
        assert section.start_s == max(span.begin_s - spans.LEAD_S, 0)
        is_last = span is found[-1]
        assert section.start_s + section.duration_s == (np.inf if is_last else span.begin_s + spans.SPAN_S)


def test_what_cannot_be_read_from_its_middle_is_read_as_a_whole() -> None:
    assert not spans_of("a", "", KEY, None)
    assert not spans_of("a", "", KEY, float("inf"))


# --- joining


def rows(people: dict[int, tuple[float, float, float]], begin_s: float, end_s: float) -> Rows:
    """Faces, at x and with the side given by their ids, from `begin_s` to `end_s`, a row a second for each; the third
    value is the time at which the face leaves."""
    table = [
        (t, face, 0.1, 0.2, 0.3, 0.3, x, 0, side)
        for t in np.arange(begin_s, end_s)
        for face, (x, side, gone_s) in people.items()
        if t < gone_s
    ]
    return Rows(np.array(table, float).reshape(-1, 9), np.full(len(table), 90.0), np.arange(begin_s, end_s), (640, 360))


LEFT, RIGHT = (0.0, 100.0, np.inf), (300.0, 90.0, np.inf)


def test_people_keep_their_ids_across_a_cut_and_new_ones_get_the_next(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spans, "SPAN_S", 60.0)
    first = rows({0: LEFT, 1: RIGHT}, 0, 60)
    second = rows({0: RIGHT, 1: LEFT, 2: (500.0, 50.0, np.inf)}, 40, 120)  # the new one is in the lead as well
    second = replace(
        second, estimates=second.estimates[(second.estimates[:, FACE] < 2) | (second.estimates[:, 0] > 70)]
    )
    second = replace(second, light=second.light[: len(second.estimates)])
    found = joined([first, second], "all").estimates
    for x, face in ((0, 0), (300, 1), (500, 2)):
        assert set(found[found[:, 6] == x][:, FACE]) == {face}
    assert len(np.unique(found[:, TIME])) == 120


def test_the_primary_person_of_all_that_came_before_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spans, "SPAN_S", 60.0)
    # In the second span alone, the right person would be the primary one: the left one has become smaller.
    smaller = (20.0, 60.0, np.inf)
    first, second = rows({0: LEFT, 1: RIGHT}, 0, 60), rows({0: RIGHT, 1: smaller}, 40, 120)
    found = joined([first, second], "primary").estimates
    assert len(found) == 120
    assert set(found[found[:, TIME] < 80][:, FACE]) == {0}
    assert set(found[found[:, TIME] > 90][:, FACE]) == {1}  # whose sum of areas is the largest by then


def test_a_person_who_leaves_is_followed_by_the_next(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spans, "SPAN_S", 60.0)
    first = rows({0: (0.0, 100.0, 50.0), 1: RIGHT}, 0, 60)
    found = joined([first, rows({0: RIGHT}, 40, 120)], "primary").estimates
    assert set(found[found[:, TIME] >= 51][:, FACE]) == {1}


def test_an_empty_span_is_joined(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spans, "SPAN_S", 60.0)
    first, second, third = rows({0: LEFT}, 0, 60), rows({}, 40, 120), rows({0: LEFT}, 100, 180)
    found = joined([first, second, third], "primary")
    assert len(found.estimates) == 60 + 60
    assert len(found.times_s) == 180


def test_spans_without_a_face_are_joined(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spans, "SPAN_S", 60.0)
    assert not len(joined([rows({}, 0, 60), rows({}, 40, 120)], "primary").estimates)


def test_rows_of_a_span_are_kept_exactly() -> None:
    first = rows({0: LEFT}, 0, 60)
    again = Rows.from_bytes(first.to_bytes())
    assert np.array_equal(first.estimates, again.estimates)
    assert (first.size, len(again.times_s)) == (again.size, 60)
