"""``lowbeam serve`` and ``lowbeam send`` as processes: everything ends in the store once, whoever is killed."""

import os
import signal
import socket
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import numpy as np
import pytest

from lowbeam.link.spool import Spool
from tools.relay import Relay

LIMIT_S = 40.0


def free_port() -> int:
    with socket.socket() as made:
        made.bind(("127.0.0.1", 0))
        port: int = made.getsockname()[1]
        return port


class Program:
    """A server and a sender, which can be killed and started again."""

    def __init__(self, folder: Path, clip: Path) -> None:
        self.folder, self.clip, self.port = folder, clip, free_port()
        self.token = self.pin = ""
        self.server: subprocess.Popen[str] | None = None
        self.sender: subprocess.Popen[str] | None = None

    def serve(self) -> None:
        command = [sys.executable, "-m", "lowbeam.cli", "serve", "--data", str(self.folder), "--port", str(self.port)]
        self.server = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, stderr=subprocess.DEVNULL)
        assert self.server.stdout is not None
        for line in self.server.stdout:
            if line.startswith("Camera:"):
                self.token = self.token or line.partition("LOWBEAM_TOKEN=")[2].split()[0]
                self.pin = line.split()[-1]
                return
        raise AssertionError("the server has ended")

    def send(self, *options: str, port: int | None = None) -> None:
        command = [sys.executable, "-m", "lowbeam.cli", "send", str(self.clip), "--pin", self.pin, *options]
        command += ["--to", f"lowbeam://127.0.0.1:{port or self.port}", "--spool", str(self.folder / "spool")]
        self.sender = subprocess.Popen(
            command, env=os.environ | {"LOWBEAM_TOKEN": self.token}, stderr=subprocess.PIPE, text=True
        )

    def wait_sent(self) -> str:
        assert self.sender is not None
        _, err = self.sender.communicate(timeout=LIMIT_S)
        assert self.sender.returncode == 0, err
        return err

    def kill(self, process: "subprocess.Popen[str] | None", number: int = signal.SIGKILL) -> None:
        if process is not None and process.poll() is None:
            process.send_signal(number)
            process.wait(20)

    def rows(self) -> list[tuple[int, int, float, float, float, bool]]:
        """Recording, number, time, valence, arousal, is_final of what is stored."""
        with sqlite3.connect(self.folder / "store.sqlite") as database:
            tables = {name for (name,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
            table = next(name for name in tables if name in ("rows", "estimates"))
            columns = [row[1] for row in database.execute(f"PRAGMA table_info({table})")]
            time_column = next(c for c in columns if c in ("time_s", "time", "utc"))
            return database.execute(
                f"SELECT recording_id, number, {time_column}, valence, arousal, is_final FROM {table}"
                " ORDER BY recording_id, number"
            ).fetchall()

    def check(self, recordings: int) -> None:
        """Every recording has each of its faces once, final, in order of time."""
        rows = self.rows()
        ids = sorted({row[0] for row in rows})
        assert len(ids) == recordings
        for recording in ids:
            own = [row for row in rows if row[0] == recording]
            assert [row[1] for row in own] == list(range(len(own)))
            assert all(row[5] for row in own)
            assert np.all(np.diff([row[2] for row in own]) > 0)
        spool = Spool(self.folder / "spool")
        assert spool.recordings() == []  # the sender keeps nothing that is stored
        spool.close()


@pytest.fixture
def program(tmp_path: Path, short_clip: Path) -> Iterator[Program]:
    made = Program(tmp_path, short_clip)
    yield made
    for process in (made.sender, made.server):
        made.kill(process)
        if process is not None:
            for pipe in (process.stdout, process.stderr):
                if pipe is not None:
                    pipe.close()


def test_a_recording_sent_fast_is_stored_whole_and_in_order(program: Program) -> None:
    program.serve()
    program.send("--fast", "--budget", "8kbps")
    assert "not confirmed" not in program.wait_sent()
    program.check(1)
    assert program.server is not None
    assert len(program.rows()) > 5
    program.kill(program.server, signal.SIGTERM)
    assert program.server.returncode in (0, 143)


def test_a_server_on_every_address_shows_one_that_others_can_type(tmp_path: Path) -> None:
    port = free_port()
    command = [sys.executable, "-m", "lowbeam.cli", "serve", "--host", "0.0.0.0", "--port", str(port)]
    command += ["--data", str(tmp_path / "data")]
    server = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        assert server.stdout is not None
        pages, _, camera = (server.stdout.readline() for _ in range(3))
        assert "0.0.0.0" not in pages + camera
        assert f":{port} --pin" in camera
        url = pages.split()[1]
        assert url.startswith("https://")
        assert httpx.get(f"{url}/healthz", verify=False).text.strip() == "ok"
    finally:
        server.terminate()
        server.wait(20)
        server.stdout.close()


def kill_in_turn(program: Program, kills: int, seed: int) -> None:
    """Kill server and sender at random moments, then let a last sender finish."""
    random = np.random.default_rng(seed)
    program.serve()
    with Relay(("127.0.0.1", program.port), bps=32_000, delay_s=0.02, loss=0.05, seed=seed) as relay:
        program.send("--loop", port=relay.port)
        for number in range(kills):
            time.sleep(random.uniform(2.0, 4.5))
            if number % 2 == 0:
                program.kill(program.server)
                program.serve()
            else:
                program.kill(program.sender)
                program.send("--loop", port=relay.port)
        time.sleep(2.0)
        program.kill(program.sender, signal.SIGTERM)
        program.send("--fast", "--finish", "35", port=relay.port)
        assert "not confirmed" not in program.wait_sent()
    program.check(kills // 2 + 2)


def test_kill_9_of_server_and_sender_loses_and_doubles_nothing(program: Program) -> None:
    kill_in_turn(program, 2, seed=1)


@pytest.mark.slow
def test_thirty_kills_lose_and_double_nothing(program: Program) -> None:
    kill_in_turn(program, 30, seed=2)
