"""Live sources: rows as faces come, signals, senders that come back."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO

import av
import numpy as np
import pytest

import lowbeam
from lowbeam.codec import OperatingPoint
from lowbeam.codec.policy import Fixed
from lowbeam.codec.track_encoder import TrackEncoder
from lowbeam.container import FaceStreamWriter
from lowbeam.container.layout import EBML_MAGIC
from lowbeam.container.returning import ReturningReader, StreamSplitter
from lowbeam.face import Box, Face
from lowbeam.files import Pipe
from lowbeam.media import PipeInput, name_of
from lowbeam.media.stopping import StopOnSignal
from lowbeam.scale import Faces

# A shell that runs tests in the background has SIGINT ignored in all of them.
PROGRAM = (
    "import signal; signal.signal(signal.SIGINT, signal.default_int_handler); "
    "signal.signal(signal.SIGHUP, signal.SIG_DFL); from lowbeam.cli import main; main()"
)
CLI = [sys.executable, "-c", PROGRAM]
WAIT_S = 30.0  # for what must come
PERIOD_S = 0.08


class Sender:
    """Writes faces to a pipe as a camera's side does, one each `PERIOD_S`."""

    def __init__(self, file: BinaryIO, faces: Faces) -> None:
        self._encoder = TrackEncoder(Fixed(OperatingPoint("hevc", 8, 32, 12.5)))
        self._writer = FaceStreamWriter(Pipe(file), (640, 360), latency_s=0)
        self._track = self._writer.add_track(self._encoder.header, self._encoder.point)
        self._faces = faces
        self.sent = 0

    def send(self, count: int) -> None:
        for _ in range(count):
            pixels = self._faces[self.sent % len(self._faces)]
            for placed in self._encoder.encode(Face(self.sent * PERIOD_S, 0, Box(100, 50, 200), pixels)):
                self._track.write(placed)
            self.sent += 1

    def end(self) -> None:
        self._writer.close()


@pytest.fixture
def reading(tmp_path: Path) -> Iterator[Callable[..., subprocess.Popen[bytes]]]:
    """Starts ``lowbeam read -`` with more options."""
    started: list[subprocess.Popen[bytes]] = []

    def start(*options: str) -> subprocess.Popen[bytes]:
        command = [*CLI, "read", "-", *options]
        started.append(
            subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=tmp_path
            )
        )  # fmt: skip
        return started[-1]

    yield start
    for process in started:
        process.kill()
        process.communicate()


def wait_for_rows(path: Path, count: int) -> None:
    until = time.monotonic() + WAIT_S
    while not path.exists() or path.read_text().count("\n") < count + 1:
        assert time.monotonic() < until, "the rows did not come"
        time.sleep(0.02)


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)])
def test_a_signal_ends_a_pipe_and_every_row_is_kept(
    number: signal.Signals, status: int, hr_faces: Faces, tmp_path: Path, reading: Callable
) -> None:
    process = reading("-o", "t.csv", "--plot", "p.png")
    sender = Sender(process.stdin, hr_faces)
    sender.send(12)
    wait_for_rows(tmp_path / "t.csv", 8)  # while the pipe waits for more
    process.send_signal(number)
    _, said = process.communicate(timeout=WAIT_S)
    assert process.returncode == status, said
    assert b"Traceback" not in said
    assert len(lowbeam.trace.load_csv(tmp_path / "t.csv")) >= 8
    assert (tmp_path / "p.png").stat().st_size > 1000
    assert not [path.name for path in tmp_path.iterdir() if path.name.startswith(".")]


def test_rows_stay_where_the_reader_is_killed(hr_faces: Faces, tmp_path: Path, reading: Callable) -> None:
    process = reading("-o", "t.csv", "--plot", "p.png", "--overlay", "o.mp4")
    Sender(process.stdin, hr_faces).send(12)
    wait_for_rows(tmp_path / "t.csv", 8)
    process.kill()
    process.wait(WAIT_S)
    assert len(lowbeam.trace.load_csv(tmp_path / "t.csv")) >= 8
    left = [path for path in tmp_path.iterdir() if path.name.startswith(".lowbeam-")]
    assert left  # the overlay, half written
    trace = lowbeam.trace.load_csv(tmp_path / "t.csv")
    subprocess.run([sys.executable, "-c", f"import lowbeam.trace as t; t.load_csv('t.csv').save({'u.csv'!r})"],
                   cwd=tmp_path, check=True, timeout=WAIT_S)  # fmt: skip
    assert not [path for path in left if path.exists()]
    assert trace == lowbeam.trace.load_csv(tmp_path / "t.csv")


def test_a_sender_that_comes_back_is_read_on(hr_faces: Faces, tmp_path: Path, reading: Callable) -> None:
    process = reading("-o", "t.csv")
    first = Sender(process.stdin, hr_faces)
    first.send(10)  # and is cut off: no end is sent
    second = Sender(process.stdin, hr_faces)
    second.send(10)
    second.end()
    _, said = process.communicate(timeout=WAIT_S)
    assert process.returncode == 0
    assert b"another face stream follows" in said
    trace = lowbeam.trace.load_csv(tmp_path / "t.csv")
    assert 18 <= len(trace) <= 20
    assert (np.diff(trace.time_s) > 0).all()


def test_concatenated_streams_are_split_wherever_reads_end(face_stream: Path) -> None:
    data = face_stream.read_bytes()
    for size in (1, 7, 64, 4096):
        read_fd, write_fd = os.pipe()
        with os.fdopen(write_fd, "wb") as out:
            out.write(data[:2000] + data[:2000] + b"tail" + EBML_MAGIC + b"not a header")
        splitter = StreamSplitter(PipeInput(read_fd, "pipe"))
        parts = []
        while True:
            part = b""
            while piece := splitter.read(size):
                assert len(piece) <= size
                part += piece
            parts.append(part)
            if not splitter.go_on():
                break
        os.close(read_fd)
        assert parts == [data[:2000], data[:2000] + b"tail" + EBML_MAGIC + b"not a header"]


def test_two_whole_streams_on_one_pipe_are_one(face_stream: Path) -> None:
    read_fd, write_fd = os.pipe()
    with os.fdopen(write_fd, "wb") as out:
        out.write(face_stream.read_bytes() * 2)
    with ReturningReader(PipeInput(read_fd, "pipe")) as reader:
        faces = list(reader)
    os.close(read_fd)
    assert reader.cut_at_s is None
    times = np.array([face.time_s for face in faces])
    assert len(faces) == 100
    assert np.diff(times).min() > 0
    assert times[50] - times[49] < 1.0


@pytest.mark.parametrize("command", [("pack", "-", "-o", "f.mkv"), ("read", "-", "-o", "t.csv")])
def test_an_interrupt_before_anything_came_is_quiet(command: tuple[str, ...], tmp_path: Path) -> None:
    process = subprocess.Popen([*CLI, *command], stdin=subprocess.PIPE, stderr=subprocess.PIPE, cwd=tmp_path)
    time.sleep(0.5)
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=WAIT_S)
    assert process.returncode == 130
    assert b"Traceback" not in said
    assert not [path for path in tmp_path.iterdir() if path.name.startswith(".")]


@pytest.fixture(scope="module")
def piped_clip(clip: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The clip in a container that can be read from a pipe."""
    path = tmp_path_factory.mktemp("piped") / "clip.mkv"
    with av.open(str(clip)) as source, av.open(str(path), "w", format="matroska") as target:
        stream = target.add_stream_from_template(source.streams.video[0])
        for packet in source.demux(video=0):
            packet.stream = stream
            if packet.size:
                target.mux(packet)
    return path


def test_a_video_on_a_pipe_is_packed_until_a_signal_and_the_stream_is_whole(piped_clip: Path, tmp_path: Path) -> None:
    data = piped_clip.read_bytes()
    process = subprocess.Popen(
        [*CLI, "pack", "-", "-o", "-"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        cwd=tmp_path, bufsize=0,
    )  # fmt: skip
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write(data[: len(data) // 2])
    process.stdin.flush()
    head = process.stdout.read(2000)
    process.send_signal(signal.SIGTERM)
    rest, said = process.communicate(timeout=WAIT_S)
    assert process.returncode == 143, said
    (tmp_path / "f.mkv").write_bytes(head + rest)
    trace = lowbeam.read(tmp_path / "f.mkv")
    assert trace.cut_at_s is None
    assert len(trace) > 5


def test_a_reader_that_closes_its_pipe_is_no_error(face_stream: Path) -> None:
    done = subprocess.run(
        f"{{ cat {face_stream}; sleep 2; cat {face_stream} {face_stream}; }} | {sys.executable} -m lowbeam.cli read - "
        "| head -1; echo ${PIPESTATUS[1]}",
        shell=True, capture_output=True, text=True, timeout=WAIT_S, check=False, executable="/bin/bash",
    )  # fmt: skip
    assert done.stdout.startswith("time_s")
    assert done.stdout.endswith("141\n")
    assert "Traceback" not in done.stderr
    assert "lowbeam: " not in done.stderr.replace("lowbeam: standard input: another", "")


def test_stream_yields_frames_and_estimates_while_a_source_runs(face_stream: Path, short_clip: Path) -> None:
    whole = lowbeam.read(face_stream)
    found = [estimate for _, estimates in lowbeam.stream(face_stream) for estimate in estimates]
    assert found == list(whole)
    frame, estimates = next(lowbeam.stream(short_clip))
    assert frame.frame is not None
    assert len(frame.faces) == len(estimates) == 1
    assert estimates[0].time_s == frame.time_s == 0.0


def test_a_signal_stops_all_live_sources_and_handlers_come_back() -> None:
    before = signal.getsignal(signal.SIGINT)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        one, two = StopOnSignal(), StopOnSignal()
        os.kill(os.getpid(), signal.SIGINT)
        assert (one.stopped, two.stopped) == (True, True)
        one.close()
        two.close()
        assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
        one, two = StopOnSignal(), StopOnSignal()
        one.close()
        two.close()
        two.close()
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGINT)
    finally:
        signal.signal(signal.SIGINT, before)


def test_pipes_are_closed_after_they_were_read(face_stream: Path, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")

    def open_files() -> int:
        return len(list(Path("/proc/self/fd").iterdir())) if Path("/proc/self/fd").is_dir() else 0

    reader, counts = lowbeam.Reader("fast"), []
    for _ in range(4):
        feeder = threading.Thread(target=lambda: (tmp_path / "fifo").write_bytes(face_stream.read_bytes()))
        feeder.start()
        assert len(reader.read(tmp_path / "fifo")) == 50
        feeder.join(WAIT_S)
        counts.append(open_files())
    assert counts[-1] == counts[0]


def test_a_signal_while_the_next_stream_is_awaited_keeps_what_was_read(
    face_stream: Path, tmp_path: Path, reading: Callable
) -> None:
    process = reading("-o", "t.csv", "--plot", "p.png")
    process.stdin.write(face_stream.read_bytes() * 2)
    process.stdin.write(face_stream.read_bytes()[:100])  # of a third
    process.stdin.flush()
    wait_for_rows(tmp_path / "t.csv", 100)
    time.sleep(0.3)
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=WAIT_S)
    assert process.returncode == 130, said
    assert len(lowbeam.trace.load_csv(tmp_path / "t.csv")) == 100
    assert (tmp_path / "p.png").exists()


def test_packing_into_a_pipe_that_closes_is_no_error(piped_clip: Path) -> None:
    done = subprocess.run(
        f"{{ cat {piped_clip}; sleep 2; }} | {sys.executable} -m lowbeam.cli pack - -o - | head -c 10; "
        "echo ${PIPESTATUS[1]}", shell=True, capture_output=True, timeout=WAIT_S, check=False, executable="/bin/bash",
    )  # fmt: skip
    assert done.stdout.endswith(b"141\n")
    assert b"lowbeam:" not in done.stderr


def test_passwords_of_urls_stay_where_they_are() -> None:
    assert name_of("rtsp://user:secret@camera/1?a=b@c") == "rtsp://camera/1?a=b@c"
    assert name_of("http://camera/x@y") == "http://camera/x@y"
    with pytest.raises(lowbeam.SourceError) as caught:
        lowbeam.read("http://user:secret@127.0.0.1:9/a.mp4")
    assert "secret" not in str(caught.value)


def test_a_pipe_without_a_byte_says_so(tmp_path: Path) -> None:
    for command in (("read", "-"), ("pack", "-", "-o", "f.mkv")):
        done = subprocess.run([*CLI, *command], stdin=subprocess.DEVNULL, capture_output=True, text=True, cwd=tmp_path,
                              timeout=WAIT_S, check=False)  # fmt: skip
        assert (done.returncode, done.stderr) == (2, "lowbeam: standard input is empty\n")
    with pytest.raises(lowbeam.UsageError, match="has no name"):
        lowbeam.read("")
