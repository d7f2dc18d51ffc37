"""The command line: help, one-line errors, pipes, Ctrl-C."""

import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from lowbeam.media import VideoSource
from lowbeam.trace import COLUMNS

Run = Callable[..., subprocess.CompletedProcess[str]]
COMMANDS = ("pack", "read", "demo", "models", "info", "table", "train")


@pytest.mark.parametrize("command", COMMANDS)
def test_help_of_each_command_shows_an_example(command: str, run_cli: Run) -> None:
    done = run_cli(command, "--help")
    assert done.returncode == 0
    assert f"Example: lowbeam {command}" in done.stdout


def test_without_a_command_help_is_shown(run_cli: Run) -> None:
    done = run_cli()
    assert done.returncode == 0
    assert all(command in done.stdout for command in COMMANDS)


def test_pack_and_read_make_what_was_asked_for(short_clip: Path, tmp_path: Path, run_cli: Run) -> None:
    stream, trace = tmp_path / "f.mkv", tmp_path / "t.csv"
    packed = run_cli("pack", short_clip, "-o", stream, "--scale", "4", "--codec", "vp9", "--qp", "40", "--fps", "5")
    assert packed.returncode == 0
    assert "10 faces in 1 track, vp9 s=4 QP 40 5 fps" in packed.stderr
    read = run_cli("read", stream, "-o", trace, "--plot", tmp_path / "p.png", "--overlay", tmp_path / "o.mp4")
    assert (read.returncode, read.stdout, read.stderr) == (0, "", "")  # and no progress bar off a terminal
    assert trace.read_text().startswith(",".join(COLUMNS))
    assert sorted(p.name for p in tmp_path.iterdir()) == ["f.mkv", "o.mp4", "p.png", "t.csv", "t.csv-metadata.json"]


def test_streams_go_through_standard_output_and_input(clip: Path) -> None:
    lowbeam = f"{sys.executable} -m lowbeam.cli"
    done = subprocess.run(
        f"{lowbeam} pack - -o - --fps 12.5 < {clip} | {lowbeam} read -", shell=True, capture_output=True, text=True,
        timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == 0
    assert done.stdout.count("\n") == 301
    assert "300 faces in 1 track" in done.stderr


def test_a_cut_stream_is_noted_on_standard_error(face_stream: Path, tmp_path: Path, run_cli: Run) -> None:
    (tmp_path / "cut.mkv").write_bytes(face_stream.read_bytes()[:-800])
    done = run_cli("read", tmp_path / "cut.mkv")
    assert done.returncode == 0
    last_time = done.stdout.strip().splitlines()[-1].split(",")[0]
    assert done.stderr == f"{tmp_path}/cut.mkv was cut: the trace ends at {float(last_time):.3f} s\n"


@pytest.mark.parametrize(
    "arguments",
    [
        ["pack", "none.mp4", "-o", "f.mkv"], ["pack"], ["pack", "CLIP", "-o", "f.mkv", "--scale", "5"],
        ["pack", "CLIP", "-o", "f.mkv", "--scale", "big"], ["pack", "CLIP", "-o", "f.mkv", "--codec", "gif"],
        ["pack", "CLIP", "-o", "f.mkv", "--qp", "64"], ["pack", "CLIP", "-o", "f.mkv", "--fps", "0"],
        ["pack", "CLIP", "-o", "f.mkv", "--faces", "some"], ["pack", "CLIP", "-o", "none/f.mkv"],
        ["read", "none.mkv"],
        ["read", "CLIP", "-o", "t.xlsx"], ["read", "CLIP", "--plot", "t.bmp"], ["read", "CLIP", "--model", "none"],
        ["read", "CLIP", "--threads", "0"], ["read", "camera:97"], ["read", "rtsp://127.0.0.1:9/x"], ["glare"],
        ["read", "CLIP", "-o", "same.csv", "--plot", "none/p.png"], ["read", "CLIP", "-o", "n" * 300 + ".csv"],
        ["read", "CLIP", "--overlay", "o.mp4", "-o", "none/t.csv"], ["read", "CLIP", "--overlay", "o.csv"],
        ["read", "CLIP", "--plot", "p.png", "-o", "./p.png"], ["read", "CLIP", "--threads", "100000"],
        ["pack", "n" * 300 + ".mp4", "-o", "f.mkv"], ["table", "--corpus", "n" * 300],
        ["train", "CLIP", "--corpus", ".", "-o", "run"], ["demo", "--video", "none.mp4"],
        ["models", "--card", "none"], ["table", "--corpus", "."],
        ["train", "none", "--corpus", ".", "-o", "run"], ["info", "--colour"],
    ],
    ids=" ".join,
)  # fmt: skip
def test_a_mistake_is_one_line_and_exit_2_and_leaves_nothing(
    arguments: list[str], clip: Path, tmp_path: Path, run_cli: Run
) -> None:
    done = run_cli(*(str(clip) if a == "CLIP" else a for a in arguments), cwd=tmp_path)
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr.startswith("lowbeam: ")
    assert done.stderr.count("\n") == 1
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("command", [["pack", "-o"], ["read", "--overlay"]])
def test_the_source_is_never_overwritten(command: list[str], short_clip: Path, tmp_path: Path, run_cli: Run) -> None:
    source, alias = tmp_path / "call.mp4", tmp_path / "alias.mp4"
    source.write_bytes(short_clip.read_bytes())
    alias.symlink_to(source)
    for out in (source, alias):
        done = run_cli(command[0], source, command[1], out)
        assert (done.returncode, done.stderr.count("\n")) == (2, 1)
        assert "is the source too" in done.stderr
    assert source.read_bytes() == short_clip.read_bytes()


def test_devices_are_written_to_and_stay_devices(short_clip: Path, run_cli: Run) -> None:
    assert run_cli("pack", short_clip, "-o", "/dev/null").returncode == 0
    assert run_cli("read", short_clip, "-o", "/dev/null").returncode == 0  # as CSV
    assert Path("/dev/null").is_char_device()
    full = subprocess.run(
        f"{sys.executable} -m lowbeam.cli read {short_clip} > /dev/full", shell=True, capture_output=True, text=True,
        timeout=60, check=False,
    )  # fmt: skip
    assert (full.returncode, full.stderr) == (
        2,
        "lowbeam: standard output cannot be written: no space left on device\n",
    )


def test_a_named_pipe_is_read_as_a_file_is(face_stream: Path, tmp_path: Path, run_cli: Run) -> None:
    import os
    import threading

    os.mkfifo(tmp_path / "pipe")
    feeder = threading.Thread(target=lambda: (tmp_path / "pipe").write_bytes(face_stream.read_bytes()), daemon=True)
    feeder.start()
    done = run_cli("read", tmp_path / "pipe")
    feeder.join(timeout=10)
    assert done.returncode == 0
    assert done.stdout.count("\n") == 51


@pytest.mark.parametrize("arguments", [["pack", "SOURCE", "-o", "f.mkv"], ["read", "SOURCE", "--overlay", "o.mp4"]])
def test_ctrl_c_leaves_no_half_file(arguments: list[str], clip: Path, tmp_path: Path) -> None:
    # A suite that runs in the background may have been told to ignore Ctrl-C, and its children inherit that.
    program = (
        "import signal; signal.signal(signal.SIGINT, signal.default_int_handler); from lowbeam.cli import *; main()"
    )
    command = [sys.executable, "-c", program, *(str(clip) if a == "SOURCE" else a for a in arguments)]
    with subprocess.Popen(command, cwd=tmp_path, stderr=subprocess.PIPE, text=True) as process:
        deadline = time.monotonic() + 30
        while not list(tmp_path.iterdir()) and time.monotonic() < deadline:
            time.sleep(0.01)
        assert list(tmp_path.iterdir()), "the command never began to write"
        process.send_signal(signal.SIGINT)
        _, stderr = process.communicate(timeout=30)
    assert process.returncode == 130
    assert stderr == "lowbeam: interrupted; no incomplete file remains\n"
    assert not list(tmp_path.iterdir())


DROPPED = """
class Ended:
    def __del__(self):
        signal.raise_signal(NUMBER)

def run(arguments):
    Ended()
    time.sleep(30)
"""
SWALLOWED = """
def run(arguments):
    try:
        signal.raise_signal(NUMBER)
    except BaseException:
        pass
    time.sleep(30)
"""
CLEANS_UP = """
def run(arguments):
    try:
        signal.raise_signal(NUMBER)
    finally:
        time.sleep(0.6)
        print("cleaned up", file=sys.stderr)
"""
CLEANS_UP_IN_A_LOOP = """
import asyncio

async def serve():
    try:
        signal.raise_signal(NUMBER)
    finally:
        await asyncio.sleep(0.6)
        print("cleaned up", file=sys.stderr)

def run(arguments):
    with asyncio.Runner() as runner:
        runner.run(serve())
"""
OPENS_A_FILE = """
def run(arguments):
    from lowbeam import files
    files._try_lock = lambda fd: signal.raise_signal(NUMBER)
    with files.whole_file("left"):
        pass
"""


@pytest.mark.parametrize(("name", "status"), [("SIGINT", 130), ("SIGTERM", 143)])
@pytest.mark.parametrize(
    ("run", "said"),
    [
        (DROPPED, ""),
        (SWALLOWED, ""),
        (CLEANS_UP, "cleaned up\n"),
        (CLEANS_UP_IN_A_LOOP, "cleaned up\n"),
        (OPENS_A_FILE, ""),
    ],
    ids=["dropped", "swallowed", "cleans_up", "cleans_up_in_a_loop", "opens_a_file"],
)
def test_a_signal_ends_a_command_whatever_it_is_doing(
    run: str, said: str, name: str, status: int, tmp_path: Path
) -> None:
    program = f"""
import signal, sys, time
signal.signal(signal.SIGINT, signal.default_int_handler)
from lowbeam.cli import main
NUMBER = signal.{name}
{run}
main(run)
"""
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True, timeout=20, check=False
    )
    assert (done.returncode, done.stderr) == (status, f"{said}lowbeam: interrupted; no incomplete file remains\n")
    assert not list(tmp_path.iterdir())


def test_a_closed_pipe_is_no_traceback(face_stream: Path) -> None:
    done = subprocess.run(
        f"{sys.executable} -m lowbeam.cli read {face_stream} | true", shell=True, capture_output=True, text=True,
        timeout=60, check=False,
    )  # fmt: skip
    assert "Traceback" not in done.stderr


def test_models_lists_figures_and_prints_cards(run_cli: Run) -> None:
    listed = run_cli("models")
    assert listed.returncode == 0
    assert "accurate" in listed.stdout
    assert run_cli("models", "--card", "accurate").stdout.startswith("# ")


def test_info_says_what_is_installed(run_cli: Run) -> None:
    done = run_cli("info")
    assert done.returncode == 0
    assert "hevc, avc, av1, vp9" in done.stdout


@pytest.mark.parametrize("silence_s", [4, 0])
def test_a_live_stream_that_stalls_or_breaks_off_is_read_to_where_it_does(
    silence_s: float, clip: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import socket
    from threading import Thread

    import lowbeam
    from lowbeam.media import open as media_open

    monkeypatch.setattr(media_open, "OPEN_TIMEOUT_S", 1.0)
    server = socket.create_server(("127.0.0.1", 0))
    data = clip.read_bytes()

    def serve() -> None:
        connection, _ = server.accept()
        connection.recv(4096)
        connection.sendall(f"HTTP/1.1 200 OK\r\nContent-Length: {len(data)}\r\n\r\n".encode())
        connection.sendall(data[: len(data) // 2])
        time.sleep(silence_s)  # and says nothing more
        connection.close()

    Thread(target=serve, daemon=True).start()
    trace = lowbeam.read(f"http://127.0.0.1:{server.getsockname()[1]}/clip.mp4")
    assert 5 < trace.time_s[-1] < 20
    assert trace.cut_at_s == pytest.approx(trace.time_s[-1], abs=0.1)


def test_a_live_stream_is_read_until_it_ends(short_clip: Path, tmp_path: Path, run_cli: Run) -> None:
    from functools import partial
    from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
    from threading import Thread

    handler = partial(SimpleHTTPRequestHandler, directory=str(short_clip.parent))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        url = f"http://127.0.0.1:{server.server_port}/{short_clip.name}"
        with VideoSource(url) as video:
            assert video.is_live
        done = run_cli("read", url)
        server.shutdown()
    assert done.returncode == 0
    assert done.stdout.count("\n") == 51
