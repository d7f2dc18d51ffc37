"""``lowbeam batch``: an archive of good and bad recordings, read once, whatever happens."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

import lowbeam
from lowbeam.archive.sources import find_recordings
from lowbeam.errors import OutputError, UsageError
from tests.conftest import write_video

pandas = pytest.importorskip("pandas", reason="datasets need the batch extra")
pytest.importorskip("pyarrow", reason="datasets need the batch extra")

GOOD, BAD = ("a.mp4", "b.mp4", "stream.mkv"), ("grey.mp4", "text.avi")
Run = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture(scope="module")
def archive(short_clip: Path, face_stream: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two videos and a face stream of a face, a video without a face, and a file that is no video."""
    folder = tmp_path_factory.mktemp("archive")
    (folder / "day 2").mkdir()
    shutil.copy(short_clip, folder / "a.mp4")
    shutil.copy(short_clip, folder / "day 2" / "b.mp4")
    shutil.copy(face_stream, folder / "day 2" / "stream.mkv")
    write_video(folder / "grey.mp4", [np.full((120, 160), 90, np.uint8)] * 10)
    (folder / "text.avi").write_text("this is not a video")
    (folder / "notes.md").write_text("nor is this")
    return folder


def run(*arguments: object, **options: object) -> list[lowbeam.Outcome]:
    return [*lowbeam.batch(*arguments, workers=2, **options)]  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def read(archive: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, lowbeam.Outcome]]:
    out = tmp_path_factory.mktemp("read") / "traces"
    return out, {Path(one.source).name: one for one in run(archive, out)}


def files(out: Path) -> dict[str, bytes]:
    return {str(path.relative_to(out)): path.read_bytes() for path in sorted(out.rglob("*")) if path.is_file()}


# --- what is read


def test_good_recordings_are_read_and_bad_ones_are_failures_with_a_reason(
    read: tuple[Path, dict[str, lowbeam.Outcome]],
) -> None:
    states = {name: one.state for name, one in read[1].items()}
    assert states == {
        "a.mp4": "read",
        "b.mp4": "read",
        "stream.mkv": "read",
        "grey.mp4": "failed",
        "text.avi": "failed",
    }
    assert read[1]["grey.mp4"].error.endswith("shows no face")
    assert all(one.advice and "\n" not in one.error for one in read[1].values() if one.state == "failed")


def test_the_dataset_opens_as_it_is_and_has_the_rows_of_read(
    archive: Path, read: tuple[Path, dict[str, lowbeam.Outcome]]
) -> None:
    table = pandas.read_parquet(read[0] / "estimates")
    for name in ("a.mp4", "day 2/stream.mkv"):
        rows = table[table.recording == str(archive / name)]
        trace = lowbeam.read(archive / name)
        for column, values in trace.columns.items():
            assert np.allclose(rows[column], values, atol=1e-6), column
    assert set(table.model) == {"accurate"}
    assert len(table) == sum(one.estimates for one in read[1].values())


def test_expressions_are_columns_and_a_setting(archive: Path, tmp_path: Path) -> None:
    out = tmp_path / "traces"
    run(archive / "a.mp4", out)
    assert {one.state for one in run(archive / "a.mp4", out, expressions=True)} == {"read"}
    assert {one.state for one in run(archive / "a.mp4", out, expressions=True)} == {"kept"}
    rows = pandas.read_parquet(out / "estimates")
    trace = lowbeam.read(archive / "a.mp4", expressions=True)
    assert np.array_equal(rows["happiness"], trace.happiness)


def test_tables_tell_of_recordings_and_failures(archive: Path, read: tuple[Path, dict[str, lowbeam.Outcome]]) -> None:
    known = pandas.read_parquet(read[0] / "recordings.parquet").set_index("source")
    assert len(known) == 3
    video, stream = known.loc[str(archive / "a.mp4")], known.loc[str(archive / "day 2" / "stream.mkv")]
    assert video.duration_s == pytest.approx(2, abs=0.05)
    assert video.face_s == pytest.approx(2, abs=0.1)
    assert (video.faces, video.estimates) == (1, 50)
    assert pandas.isna(video.point)
    assert stream.point == "hevc s=8 QP 32 25 fps"
    assert known.content.nunique() == 2  # b.mp4 is a copy of a.mp4
    failed = pandas.read_parquet(read[0] / "failures.parquet")
    assert {Path(one).name for one in failed.source} == {"grey.mp4", "text.avi"}


# --- never twice


def test_what_was_read_is_kept_and_what_changed_is_read_again(
    archive: Path, short_frames: list[np.ndarray], tmp_path: Path
) -> None:
    videos, out = tmp_path / "videos", tmp_path / "traces"
    shutil.copytree(archive, videos)
    run(videos, out)
    first = files(out)
    os.utime(videos / "a.mp4")  # touched, with the same content
    write_video(videos / "day 2" / "b.mp4", short_frames[:20])
    again = {Path(one.source).name: one.state for one in run(videos, out)}
    assert again == dict.fromkeys(GOOD, "kept") | {"b.mp4": "read"} | dict.fromkeys(BAD, "failed")
    changed = {name for name, data in files(out).items() if data != first[name]}
    assert sorted(Path(name).parent.name for name in changed) == ["", "estimates"]  # a part, and recordings.parquet
    table = pandas.read_parquet(out / "estimates")
    assert sorted(table.groupby("recording").size()) == [20, 50, 50]


def test_other_settings_and_models_are_read_anew(archive: Path, tmp_path: Path) -> None:
    source, out = archive / "a.mp4", tmp_path / "traces"
    assert run(source, out)[0].estimates == 50
    assert (run(source, out, fps=5.0)[0].state, run(source, out, fps=5)[0].state) == ("read", "kept")
    assert run(source, out, model="fast")[0].state == "read"
    table = pandas.read_parquet(out / "estimates")
    assert table.groupby("model").size().to_dict() == {"accurate": 10, "fast": 50}


def test_a_failure_is_tried_again_if_its_file_changes_or_if_asked_for(
    short_clip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    video, out = tmp_path / "v.mp4", tmp_path / "traces"
    video.write_bytes(b"no video yet")
    assert run(video, out)[0].state == "failed"
    (record,) = (out / "failures").iterdir()
    told = json.loads(record.read_text())
    record.write_text(json.dumps(told | {"error": "from the first run"}))
    assert run(video, out)[0].error == "from the first run"
    assert run(video, out, retry_failed=True)[0].error == told["error"]
    shutil.copy(short_clip, video)
    assert run(video, out)[0].state == "read"
    assert not [*(out / "failures").iterdir()]
    assert pandas.read_parquet(out / "failures.parquet").empty


# --- whatever happens


def test_a_run_that_is_killed_goes_on_and_leaves_what_a_single_run_leaves(
    archive: Path, short_clip: Path, tmp_path: Path
) -> None:
    videos = tmp_path / "videos"
    videos.mkdir()
    for number in range(8):
        (videos / f"{number}.mp4").symlink_to(short_clip)
    whole, out = tmp_path / "whole", tmp_path / "traces"
    run(videos, whole)
    command = [sys.executable, "-m", "lowbeam.cli", "batch", str(videos), "-o", str(out), "--workers", "2"]
    for number in (signal.SIGKILL, signal.SIGTERM, signal.SIGINT):
        before = len([*out.glob("estimates/*.parquet")])
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        until = time.monotonic() + 60
        while len([*out.glob("estimates/*.parquet")]) == before and time.monotonic() < until:
            time.sleep(0.01)
        process.send_signal(number)
        _, said = process.communicate(timeout=30)
        assert "Traceback" not in said
    run(videos, out)
    assert files(out) == files(whole)


def test_two_runs_at_once_leave_what_a_single_run_leaves(
    archive: Path, read: tuple[Path, dict[str, lowbeam.Outcome]], tmp_path: Path
) -> None:
    out = tmp_path / "traces"
    command = [sys.executable, "-m", "lowbeam.cli", "batch", str(archive), "-o", str(out), "--workers", "1"]
    both = [subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True) for _ in range(2)]
    said = [process.communicate(timeout=120)[1] for process in both]
    assert [process.returncode for process in both] == [3, 3], said
    assert files(out) == files(read[0])


def test_a_part_of_another_program_is_a_failure_and_the_rest_goes_on(archive: Path, tmp_path: Path) -> None:
    out = tmp_path / "traces"
    run(archive / "a.mp4", out)
    (part,) = (out / "estimates").iterdir()
    (out / "estimates" / "foreign.parquet").write_bytes(b"half")
    part.write_bytes(part.read_bytes()[:1000])  # the own one is damaged too
    assert run(archive / "a.mp4", out)[0].state == "read"
    (failed,) = pandas.read_parquet(out / "failures.parquet").itertuples()
    assert failed.source.endswith("foreign.parquet")
    assert len(pandas.read_parquet(out / "recordings.parquet")) == 1


def test_mistakes_are_one_line_and_status_2(archive: Path, run_cli: Run, tmp_path: Path) -> None:
    (tmp_path / "old").mkdir()
    (tmp_path / "old" / "lowbeam-dataset.json").write_text('{"version": 99}')
    (tmp_path / "file").touch()
    for out, options, words in (
        (tmp_path / "old", [], "is a dataset of version 99"), (tmp_path / "file", [], "cannot be created"),
        (tmp_path / "new", ["--model", "none"], "neither a file nor a shipped model"),
        (tmp_path / "new", ["--fps", "0"], "out of range"), ("nowhere://bucket", [], "nowhere"),
    ):  # fmt: skip
        done = run_cli("batch", archive, "-o", out, *options)
        assert (done.returncode, done.stderr.count("\n")) == (2, 1), done.stderr
        assert words in done.stderr


def test_the_command_reports_and_ends_with_3_if_some_failed(archive: Path, run_cli: Run, tmp_path: Path) -> None:
    done = run_cli("batch", archive / "a.mp4", tmp_path / "missing.mp4", "-o", tmp_path / "traces", "--workers", "1")
    assert done.returncode == 3
    assert "missing.mp4 does not exist; check the path" in done.stderr
    assert "1 read, 0 read before, 1 failed, " in done.stdout
    assert run_cli("batch", archive / "a.mp4", "-o", tmp_path / "traces").returncode == 0


# --- where recordings are found


def test_sources_are_files_folders_patterns_lists_and_urls(archive: Path, tmp_path: Path) -> None:
    names = [archive / "a.mp4", archive / "grey.mp4", archive / "text.avi", *sorted((archive / "day 2").iterdir())]
    everything = [str(one) for one in names]
    (archive / "list.txt").write_text("# of a day\nday 2\n\na.mp4\n")
    assert [*find_recordings([archive])] == everything
    assert [*find_recordings([archive / "a.mp4", archive])] == everything
    assert [*find_recordings([f"{archive}/**/*.mp4"])] == [one for one in sorted(everything) if one.endswith("mp4")]
    assert [*find_recordings([archive / "list.txt"])] == [*everything[3:], everything[0]]
    assert sorted(str(one) for one in find_recordings([f"file://{archive}"])) == sorted(
        f"file://{one}" for one in everything
    )
    (archive / "list.txt").unlink()


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ("missing.mp4", "does not exist"), ("*.mp4", "matches no file"), (".", "has no video"),
        ("/dev/null", "not a file"), ("nowhere://bucket/a", "nowhere"), ("bad\0name", "does not exist"),
    ],
)  # fmt: skip
def test_what_names_no_recording_is_a_failure(
    source: str, words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (found,) = find_recordings([source])
    assert isinstance(found, lowbeam.Outcome)
    assert words in found.error


def test_a_recording_behind_a_url_is_copied_read_and_kept(archive: Path, tmp_path: Path) -> None:
    out = f"file://{tmp_path}/traces"
    sources = [f"file://{archive}/a.mp4", f"file://{archive}/none.mp4"]
    assert sorted(one.state for one in run(sources, out)) == ["failed", "read"]
    assert sorted(one.state for one in run(sources, out)) == ["failed", "kept"]
    assert len(pandas.read_parquet(tmp_path / "traces" / "estimates")) == 50


def test_a_name_that_is_not_utf8_is_read_and_told_in_escapes(short_clip: Path, tmp_path: Path) -> None:
    name = os.fsencode(tmp_path) + b"/caf\xe9.mp4"
    shutil.copy(short_clip, name)
    assert run(os.fsdecode(name), tmp_path / "traces", fps=5)[0].state == "read"
    table = pandas.read_parquet(tmp_path / "traces" / "estimates")
    assert set(table.recording) == {f"{tmp_path}/caf\\xe9.mp4"}
    assert lowbeam.report(tmp_path / "traces", tmp_path / "report.html") == 1
    assert "caf%E9.mp4" in (tmp_path / "report.html").read_text()


def test_arguments_out_of_range_are_refused_before_anything_is_read(archive: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="workers"):
        lowbeam.batch(archive, tmp_path / "traces", workers=0)
    with pytest.raises(UsageError, match="no recording"):
        lowbeam.batch([], tmp_path / "traces")
    with pytest.raises(OutputError):
        lowbeam.batch(archive, "/proc/none/traces")
