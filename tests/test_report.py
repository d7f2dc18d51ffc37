"""``lowbeam report``: the page about a dataset, in a real browser, from disk."""

import base64
import shutil
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

import lowbeam
from lowbeam.archive.records import About, Key
from lowbeam.archive.summary import NO_FACE, course, flags_of, mean_over_time, summary
from lowbeam.errors import OutputError, UsageError
from tests.conftest import write_video

pytest.importorskip("pyarrow", reason="datasets need the batch extra")

Run = Callable[..., "subprocess.CompletedProcess[str]"]
HOSTILE = "</script><script>document.title='broken'</script> & $name.mp4"
ORDER = ["small face", "dark", "overexposed", "low certainty", "face seldom seen", "several people", "cut"]
GOOD = About("a.mp4", "accurate", Key("", ""), "", 100.0, 90.0, 1, 2250, 120.0, 110.0, 640, 360, None, None)


# --- the page


@pytest.fixture(scope="module")
def dataset(clip: Path, short_clip: Path, short_frames: list[np.ndarray], tmp_path_factory: Any) -> Path:
    """A video of 24 s, a dark one with a name that is markup, one that is no video; and the page about them."""
    folder: Path = tmp_path_factory.mktemp("report")
    (folder / "videos").mkdir()
    shutil.copy(clip, folder / "videos" / "long one.mp4")
    write_video(folder / "videos" / "dark.mp4", [frame // 6 for frame in short_frames], options={"crf": "20"})
    shutil.move(folder / "videos" / "dark.mp4", folder / "videos" / HOSTILE.replace("/", "∕"))
    (folder / "videos" / "text.mp4").write_text("no video")
    list(lowbeam.batch(folder / "videos", folder / "traces", workers=2, fps=5))
    assert lowbeam.report(folder / "traces", folder / "report.html") == 2
    return folder


@pytest.fixture
def page(browser: Any, dataset: Path) -> Iterator[Any]:
    """The page from disk. It fails the test if a script fails or anything but files is asked for."""
    context = browser.new_context()
    page = context.new_page()
    errors: list[str] = []
    asked: set[str] = set()
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.on("console", lambda message: errors.append(message.text) if message.type == "error" else None)
    page.on("request", lambda request: asked.add(request.url.split(":")[0]))
    page.goto((dataset / "report.html").as_uri())
    yield page
    context.close()
    assert asked == {"file"}
    assert [error for error in errors if "ERR_FILE_NOT_FOUND" not in error] == []


def rows(page: Any) -> list[str]:
    return [row.inner_text() for row in page.locator("#table tbody tr").all()]


def test_each_recording_is_a_row_with_its_course_and_failures_have_their_reason(page: Any) -> None:
    assert len(rows(page)) == 2
    assert page.locator("#table tbody svg path[d^=M]").count() == 4
    assert page.title() == "Valence and arousal of an archive"
    assert "2 recordings, 0:26 in all, read by accurate; 1 could not be read" in page.locator("#about").inner_text()
    failed = page.locator("#failed tbody tr").inner_text()
    assert "text.mp4" in failed
    assert "cannot be opened as a video" in failed


def test_rows_are_filtered_by_name_and_by_remark(page: Any) -> None:
    page.fill("#words", "LONG")
    assert len(rows(page)) == 1
    assert page.locator("#count").inner_text() == "1 of 2 recordings"
    page.fill("#words", "")
    page.select_option("#flag", "dark")
    (row,) = rows(page)
    assert "∕script" in row
    page.select_option("#flag", "-")
    assert "long one" in rows(page)[0]


def test_rows_are_sorted_by_any_column_both_ways(page: Any) -> None:
    length = page.get_by_role("button", name="Length")
    length.click()
    assert "long one" in rows(page)[0]
    assert page.locator("th[aria-sort=descending]").inner_text().startswith("Length")
    length.click()
    assert "long one" in rows(page)[1]
    assert page.evaluate("document.activeElement.textContent") == "Length"


def test_one_recording_is_shown_in_full_beside_its_video(page: Any, dataset: Path) -> None:
    page.get_by_role("button", name="long one.mp4").click()
    assert page.locator("#plot path").count() >= 4
    page.locator("#video").wait_for(state="visible")
    plot = page.locator("#plot")
    box = plot.bounding_box()
    plot.hover(position={"x": box["width"] / 2, "y": box["height"] / 2})
    readout = page.locator("#readout").inner_text()
    assert "valence" in readout
    plot.click(position={"x": box["width"] / 2, "y": box["height"] / 2})
    assert page.evaluate("document.getElementById('video').currentTime") == pytest.approx(12, abs=1.5)
    page.click("#close")
    assert page.locator("#one").is_hidden()


def test_a_video_that_is_not_at_hand_is_said(page: Any, dataset: Path) -> None:
    video = dataset / "videos" / "long one.mp4"
    video.rename(dataset / "away.mp4")
    try:
        page.get_by_role("button", name="long one.mp4").click()
        page.locator("#absent").wait_for(state="visible")
        assert "videos/long one.mp4" in page.locator("#absent").inner_text()
        assert page.locator("#video").is_hidden()
        assert page.locator("#plot path").count() >= 4
    finally:
        (dataset / "away.mp4").rename(video)


def test_it_fits_a_phone(page: Any) -> None:
    page.set_viewport_size({"width": 390, "height": 800})
    page.get_by_role("button", name="long one.mp4").click()
    assert page.evaluate("document.documentElement.scrollWidth") <= 390


def test_the_command_writes_it_and_its_mistakes_are_one_line(dataset: Path, run_cli: Run, tmp_path: Path) -> None:
    done = run_cli("report", dataset / "traces", "-o", tmp_path / "r.html")
    assert done.returncode == 0
    assert "2 recordings; open it in a browser" in done.stderr
    for source, out, words in (
        (tmp_path / "none", "r.html", "is not a dataset"), (dataset / "videos", "r.html", "is not a dataset"),
        (dataset / "traces", "no/r.html", "cannot be written"),
    ):  # fmt: skip
        done = run_cli("report", source, "-o", tmp_path / out)
        assert (done.returncode, done.stderr.count("\n")) == (2, 1), done.stderr
        assert words in done.stderr
    assert not (tmp_path / "none").exists()


def test_an_empty_dataset_is_refused(tmp_path: Path) -> None:
    list(lowbeam.batch(tmp_path / "none.mp4", tmp_path / "traces", workers=1))
    for left in (tmp_path / "traces" / "failures").iterdir():
        left.unlink()
    with pytest.raises(UsageError, match="has no recording"):
        lowbeam.report(tmp_path / "traces", tmp_path / "r.html")
    with pytest.raises(OutputError):
        lowbeam.report(tmp_path / "traces", "/proc/none/r.html")


# --- what it says


def test_the_interval_of_a_mean_holds_it_as_often_as_it_says() -> None:
    noise = np.random.default_rng(1)
    held = 0
    for _ in range(400):  # values that are alike for a second, as expressions are
        values = np.convolve(noise.normal(size=3024), np.ones(25) / 25, "valid")
        found = mean_over_time(np.arange(3000) / 25, values)
        assert found.width is not None
        held += abs(found.value) <= found.width
    assert 0.91 < held / 400 < 0.98


def test_a_short_recording_has_no_interval() -> None:
    assert mean_over_time(np.arange(20.0), np.ones(20)).width is None
    one = mean_over_time(np.zeros(1), np.ones(1))
    assert (one.value, one.width, one.spread) == (1, None, 0)


@pytest.mark.parametrize(
    ("about", "deviation", "flags"),
    [
        ({}, 0.2, []), ({"side_px": 20.0}, 0.2, ["small face"]), ({"light": 20.0}, 0.2, ["dark"]),
        ({"light": 230.0}, 0.2, ["overexposed"]), ({}, 0.5, ["low certainty"]),
        ({"face_s": 10.0}, 0.2, ["face seldom seen"]),
        ({"cut_at_s": 3.0}, 0.2, ["cut"]), ({"point": "hevc s=8 QP 32 25 fps", "face_s": None}, 0.2, ["small face"]),
        ({"point": "hevc s=2 QP 32 25 fps", "light": None}, 0.2, []),
    ],
)  # fmt: skip
def test_flags_say_what_to_be_careful_about(about: dict[str, Any], deviation: float, flags: list[str]) -> None:
    assert flags_of(replace(GOOD, **about), deviation, together=1) == flags
    assert flags_of(replace(GOOD, **about), deviation, together=2) == sorted(
        {*flags, "several people"}, key=ORDER.index
    )


def test_a_person_who_returns_with_another_id_is_shown_as_one() -> None:
    columns = {"time_s": np.arange(40.0), "face": np.repeat([0, 1], 20)}
    columns |= {name: np.repeat([0.0, 1.0], 20) for name in ("valence", "arousal", "valence_std", "arousal_std")}
    assert summary(GOOD, columns, 10)["valence"]["mean"] == 0.5
    at_once = columns | {"time_s": np.tile(np.arange(20.0), 2), "face": np.repeat([0, 1], 20)}
    at_once = {name: values[:30] for name, values in at_once.items()}
    found = summary(GOOD, at_once, 10)
    assert (found["valence"]["mean"], found["people"], found["flags"]) == (0, 2, ["several people"])


@given(arrays(np.float64, st.integers(1, 60), elements=st.floats(-1, 1)), st.integers(1, 40))
def test_a_course_keeps_means_and_gaps(values: np.ndarray, points: int) -> None:
    time_s = np.arange(len(values)) * 0.5
    time_s[len(values) // 2 :] += 100  # a gap
    duration_s = float(time_s[-1] + 0.5)
    found = np.frombuffer(base64.b64decode(course(time_s, [values, -values], duration_s, points)), np.int8)
    one, other = np.split(found.astype(int), 2)
    assert len(one) == max(1, min(points, len(values) // 2))
    seen = one != NO_FACE
    assert np.array_equal(one[seen], -other[seen]) or np.abs(one[seen] + other[seen]).max() <= 1
    assert one[seen].min() >= np.floor(100 * values.min()) - 1
    assert one[seen].max() <= np.ceil(100 * values.max()) + 1
    if len(one) > 8:
        assert not seen.all()


def test_a_face_that_is_always_there_has_a_course_without_gaps() -> None:
    found = course(np.arange(600) / 25, [np.zeros(600)], 24.0, 600)
    assert NO_FACE not in np.frombuffer(base64.b64decode(found), np.int8)
