"""``lowbeam serve`` and ``lowbeam send`` as processes, for tests that kill them.

Use it with ``pytest_plugins = ["tests.server_processes"]``. PYTEST_DONT_REWRITE: tests import its classes too.
"""

import os
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lowbeam.link.spool import Spool
from tests.ports import free_port

LIMIT_S = 40.0


class Program:
    """A server and a sender, which can be killed and started again. `store` is the URL of a database in PostgreSQL;
    None is SQLite in `folder`."""

    def __init__(self, folder: Path, clip: Path) -> None:
        self.folder, self.clip, self.port = folder, clip, free_port()
        self.store: str | None = None
        self.token = self.pin = ""
        self.server: subprocess.Popen[str] | None = None
        self.sender: subprocess.Popen[str] | None = None

    def serve(self, *options: str) -> None:
        command = [sys.executable, "-m", "lowbeam.cli", "serve", "--data", str(self.folder), "--port", str(self.port)]
        command += [*options, *(["--store", self.store] if self.store is not None else [])]
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

    def query(self, statement: str) -> list[tuple[Any, ...]]:
        """The rows that a statement finds in the database."""
        if self.store is not None:
            import psycopg

            with psycopg.connect(self.store.replace("+psycopg", "")) as database:
                return database.execute(statement.encode()).fetchall()
        with sqlite3.connect(self.folder / "store.sqlite") as database:
            return database.execute(statement).fetchall()

    def rows(self) -> list[tuple[Any, ...]]:
        """Recording, number, time, valence, arousal, is_final of what is stored."""
        columns = "recording_id, number, time_s, valence, arousal, is_final"
        return self.query(f"SELECT {columns} FROM estimates ORDER BY recording_id, number")

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
            assert self.query(f"SELECT stored FROM recordings WHERE id = {recording}") == [(len(own),)]
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
