"""``lowbeam send`` as a user runs it: clear errors, signals, and what stays in the spool."""

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from lowbeam.errors import OutputError
from lowbeam.link.spool import Spool
from lowbeam.media import VideoSource
from lowbeam.sending import _Player

PIN = "ab" * 32
Run = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture(scope="module")
def silent() -> int:
    """A UDP port on which nobody answers."""
    made = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    made.bind(("127.0.0.1", 0))
    SILENT.append(made)
    port: int = made.getsockname()[1]
    return port


SILENT: list[socket.socket] = []  # open until the end

ERRORS = {
    "no address": (["--to", "http://127.0.0.1:1"], "is not an address"),
    "no port": (["--to", "lowbeam://127.0.0.1:99999"], "is not an address"),
    "bad pin": (["--to", "lowbeam://127.0.0.1:1", "--pin", "abc"], "fingerprint"),
    "bad budget": (["--to", "lowbeam://127.0.0.1:1", "--pin", PIN, "--budget", "fast"], "fast"),
    "bad latency": (["--to", "lowbeam://127.0.0.1:1", "--pin", PIN, "--latency", "99"], "latency"),
    "fast and loop": (["--to", "lowbeam://127.0.0.1:1", "--pin", PIN, "--fast", "--loop"], "cannot be combined"),
    "no host name": (["--to", "lowbeam://a..b:1", "--pin", PIN], "not the name of a host"),
    "long host name": (["--to", f"lowbeam://{'a' * 64}.example", "--pin", PIN], "not the name of a host"),
}


@pytest.mark.parametrize("name", ERRORS)
def test_a_mistake_is_one_line_and_status_2(name: str, run_cli: Run, short_clip: Path) -> None:
    options, words = ERRORS[name]
    done = run_cli("send", short_clip, *options, env=os.environ | {"LOWBEAM_TOKEN": "secret-token"})
    assert done.returncode == 2
    assert done.stderr.startswith("lowbeam: ")
    assert done.stderr.count("\n") == 1
    assert words in done.stderr
    assert "secret-token" not in done.stderr + done.stdout


def test_a_missing_token_is_one_line_and_status_2(run_cli: Run, short_clip: Path) -> None:
    env = {key: value for key, value in os.environ.items() if key != "LOWBEAM_TOKEN"}
    done = run_cli("send", short_clip, "--to", "lowbeam://127.0.0.1:1", "--pin", PIN, env=env)
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert "--token is missing" in done.stderr


def test_a_receiver_that_does_not_answer_is_tried_until_the_end(
    run_cli: Run, short_clip: Path, silent: int, tmp_path: Path
) -> None:
    spool = tmp_path / "spool"
    done = run_cli(
        "send", short_clip, "--to", f"lowbeam://127.0.0.1:{silent}", "--pin", PIN, "--token", "x", "--finish", "1",
        "--spool", spool,
    )  # fmt: skip
    assert done.returncode == 0
    assert f"the rest is in {spool}" in done.stderr + done.stdout
    held = Spool(spool)
    (recording,) = held.recordings()
    assert held.count(recording.id) > 3
    held.close()


def test_a_name_without_an_address_is_said_once_and_tried_until_the_end(
    run_cli: Run, short_clip: Path, tmp_path: Path
) -> None:
    spool = tmp_path / "spool"
    done = run_cli(
        "send", short_clip, "--to", "lowbeam://no-such-host.invalid:1", "--pin", PIN, "--token", "x", "--finish", "6",
        "--spool", spool,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("lowbeam://no-such-host.invalid:1 cannot be reached") == 1
    assert f"the rest is in {spool}" in done.stderr + done.stdout
    held = Spool(spool)
    (recording,) = held.recordings()
    assert held.count(recording.id) > 3
    held.close()


def wait_for_spooled_faces(folder: Path, least: int) -> None:
    """Wait until a spool that another process uses holds faces, by opening a copy as after a kill -9."""
    until = time.monotonic() + 60
    while time.monotonic() < until:
        time.sleep(0.2)
        copy = folder.with_name("copy")
        shutil.rmtree(copy, ignore_errors=True)
        with contextlib.suppress(OSError, shutil.Error, OutputError):  # a copy of a file just being made
            shutil.copytree(folder, copy)
            with contextlib.closing(Spool(copy)) as held:
                found = sum(held.count(recording.id) for recording in held.recordings())
            if found >= least:
                return
    raise AssertionError(f"fewer than {least} faces in {folder} after 60 s")


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_ends_it_and_leaves_the_faces_in_the_spool(
    number: int, status: int, short_clip: Path, silent: int, tmp_path: Path
) -> None:
    # A suite that runs in the background may have been told to ignore Ctrl-C, and its children inherit that.
    program = (
        "import signal; signal.signal(signal.SIGINT, signal.default_int_handler); import lowbeam.cli as c; c.main()"
    )
    command = [sys.executable, "-c", program, "send", short_clip, "--loop", "--token", "secret-token"]
    command += ["--to", f"lowbeam://127.0.0.1:{silent}", "--pin", PIN, "--spool", tmp_path / "spool"]
    process = subprocess.Popen(list(map(str, command)), stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        wait_for_spooled_faces(tmp_path / "spool", 3)
        process.send_signal(number)
        out, err = process.communicate(timeout=20)
    finally:
        process.kill()
    assert process.returncode == status
    assert "Traceback" not in err
    assert "secret-token" not in out + err
    held = Spool(tmp_path / "spool")
    (recording,) = held.recordings()
    assert held.count(recording.id) > 2
    held.close()


def test_a_source_is_closed_when_it_ends_not_after_its_faces_are_stored(
    short_clip: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    leave, left = VideoSource.__exit__, []

    def leaving(self: VideoSource, *arguments: None) -> None:
        left.append(self)
        leave(self, *arguments)

    monkeypatch.setattr(VideoSource, "__exit__", leaving)
    with _Player(short_clip, False, True) as player:
        assert len(list(player)) > 1
        assert len(left) == 1
    assert len(left) == 1
