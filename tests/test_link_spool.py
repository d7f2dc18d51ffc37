"""The spool: what was added is there after kill -9, it stays within its size, and errors are one clear line."""

import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from lowbeam.codec import CodedFace, TrackHeader
from lowbeam.codec.cues import BoxCue
from lowbeam.errors import OutputError
from lowbeam.face import Box
from lowbeam.link.messages import Gone, MessageReader, Welcome
from lowbeam.link.recording_sender import RecordingSender
from lowbeam.link.records import FaceRecord
from lowbeam.link.spool import FILE_NAME, Spool

HEADER = TrackHeader("hevc", 8, 0, b"\0\0\1x")


def face(number: int, track: int = 0, is_key: bool = False, size: int = 50, before: int | None = None) -> FaceRecord:
    box = BoxCue(track, Box(1.0, 2.0, 60.0)) if is_key else None
    before = number - 1 if before is None and number else before
    return FaceRecord(number, before, 40 * number, is_key, track, 0, box, bytes([number % 256]) * size)


def test_what_was_added_comes_back_after_kill_9(tmp_path: Path) -> None:
    code = """
        import os, sys
        from tests.test_link_spool import HEADER, face
        from lowbeam.link.spool import Spool
        spool = Spool(sys.argv[1])
        recording = spool.begin("camera").id
        spool.add_header(recording, 0, HEADER)
        number = 0
        while True:
            spool.add(recording, face(number, is_key=number % 10 == 0))
            os.write(1, b"%d\\n" % number)
            number += 1
    """
    process = subprocess.Popen([sys.executable, "-c", textwrap.dedent(code), tmp_path], stdout=subprocess.PIPE)
    assert process.stdout is not None
    for _ in range(200):
        process.stdout.readline()
    process.send_signal(signal.SIGKILL)
    added = 200 + len(process.communicate()[0].splitlines())
    spool = Spool(tmp_path)
    (found,) = spool.recordings()
    assert found.name == "camera"
    assert spool.headers(found.id) == {0: HEADER}
    assert spool.count(found.id) >= added
    rows = spool.faces(found.id, 0, added)
    assert rows == [face(number, is_key=number % 10 == 0) for number in range(added)]


def test_the_oldest_groups_are_dropped_beyond_the_size(tmp_path: Path) -> None:
    spool = Spool(tmp_path, most_bytes=2000)
    recording = spool.begin("camera").id
    for number in range(100):
        spool.add(recording, face(number, is_key=number % 10 == 0))
    first = spool.first(recording)
    assert first == 60
    assert spool.count(recording) == 100
    assert [one.number for one in spool.faces(recording, 0, 1000)] == list(range(60, 100))
    assert spool.faces(recording, 0, 1)[0].is_key
    assert (tmp_path / FILE_NAME).stat().st_size < 100_000


def test_a_folder_in_use_is_one_clear_line(tmp_path: Path) -> None:
    first = Spool(tmp_path)
    first.begin("camera")
    with pytest.raises(OutputError, match=r"in use by another lowbeam send; give each its own --spool$"):
        Spool(tmp_path)
    first.close()
    Spool(tmp_path).close()


@pytest.mark.parametrize(
    "content", [b"this is not a database, and it is long enough" * 100, b"SQLite format 3\0" + b"\xff" * 4096]
)
def test_a_damaged_file_is_one_clear_line(tmp_path: Path, content: bytes) -> None:
    (tmp_path / FILE_NAME).write_bytes(content)
    with pytest.raises(OutputError) as error:
        Spool(tmp_path)
    assert str(tmp_path) in str(error.value)
    assert "\n" not in str(error.value)


def test_a_folder_that_cannot_be_made_is_one_clear_line(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match="cannot be written"):
        Spool(tmp_path / "file" / "spool")


def test_forgetting_keeps_what_a_receiver_that_restarts_needs() -> None:
    spool = Spool()
    recording = spool.begin("camera").id
    for number in range(40):  # track 0 has a key face at 0, 20; track 1 (odd) at 1, 31
        spool.add(recording, face(number, number % 2, number in (0, 20, 1, 31)))
    assert spool.needed_from(recording, 25) == 1
    assert spool.needed_from(recording, 35) == 20
    assert spool.needed_from(recording, 40) == 40
    spool.forget(recording, 35, frozenset({0, 1}))
    assert spool.first(recording) == 20
    spool.forget(recording, 40, frozenset())
    assert spool.faces(recording, 0, 100) == []
    spool.remove(recording)
    assert spool.recordings() == []


def limit_pages(spool: Spool) -> None:
    """Make the disk full: the file may not grow any more."""
    spool._db.execute(f"PRAGMA max_page_count = {spool._db.execute('PRAGMA page_count').fetchone()[0]}")


def test_a_full_disk_is_an_output_error_when_a_face_is_added(tmp_path: Path) -> None:
    spool = Spool(tmp_path)
    recording = spool.begin("camera").id
    limit_pages(spool)
    with pytest.raises(OutputError, match=r"cannot be written: .*full"):
        for number in range(1000):
            spool.add(recording, face(number, size=1000))


def test_with_a_full_disk_faces_go_on_live_with_one_warning(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    spool = Spool(tmp_path)
    sender = RecordingSender(spool, spool.begin("camera"), is_live=True)
    sender.welcomed(Welcome(0, True))
    limit_pages(spool)
    for number in range(50):
        coded = CodedFace(bytes(800), 40 * number, number == 0)
        sender.add(coded, 0, HEADER, None, is_up=number < 40)
        _data, numbers = sender.datagram(1100)
        assert numbers == ([number] if number < 40 else [])
        sender.delivered(numbers)
    assert len([one for one in caplog.records if one.levelname == "WARNING"]) == 1
    told = []
    while (message := sender.fill(2000)) is not None:
        told += MessageReader().take(message)
    gone = [number for one in told if isinstance(one, Gone) for number in range(one.first, one.last + 1)]
    assert gone == list(range(40, 50))  # the others were delivered


def test_faces_that_the_spool_dropped_are_given_up() -> None:
    spool = Spool(most_bytes=2000)
    sender = RecordingSender(spool, spool.begin("camera"), is_live=True)
    sender.welcomed(Welcome(0, True))
    for number in range(100):
        sender.add(CodedFace(bytes(50), 40 * number, number % 10 == 0), 0, HEADER, None, is_up=False)
    message = sender.fill(2000)
    assert message is not None
    assert list(MessageReader().take(message)) == [Gone(0, 59)]
    assert sender.behind == 40


def test_times_of_several_tracks_never_go_back() -> None:
    spool = Spool()
    sender = RecordingSender(spool, spool.begin("camera"), is_live=True)
    sender.welcomed(Welcome(0, True))
    for number, time_ms in enumerate([0, 0, 1, 0, 1, 1]):  # the clocks of two tracks: each increases by itself
        sender.add(CodedFace(b"x", time_ms, number < 2), number % 2, HEADER, None, is_up=True)
    sender.datagram(1100)
    times = [one.time_ms for one in spool.faces(sender.recording.id, 0, 10)]
    assert times == sorted(times)
    assert len(set(times[::2])) == 3
