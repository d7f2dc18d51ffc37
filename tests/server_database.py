"""Databases for the tests of the server: SQLite files, and a PostgreSQL server that is started for the tests.

Use it with ``pytest_plugins = ["tests.server_database"]``. PYTEST_DONT_REWRITE: tests import its classes too.
"""

import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import suppress
from pathlib import Path

import psycopg
import pytest

from lowbeam.server.store import Store, secret

FOLDERS = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda folder: int(folder.parent.name), reverse=True)
START_S = 30.0


class Postgres:
    """A PostgreSQL server on a free port of the loopback interface, with its data in a folder of its own. The system
    ends it when the thread that started it ends: start it in the main thread."""

    def __init__(self, programs: Path) -> None:
        self._programs = programs
        self._folder = Path(tempfile.mkdtemp(prefix="lowbeam-postgres-"))
        self._as_postgres = ["setpriv", "--pdeathsig=KILL"]
        if os.geteuid() == 0:  # PostgreSQL refuses to run as root
            shutil.chown(self._folder, "postgres", "postgres")
            self._as_postgres += ["--reuid=postgres", "--regid=postgres", "--clear-groups"]
        self._databases = 0
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        init = [self._programs / "initdb", "-D", self._folder / "data", "-A", "trust", "-U", "lowbeam", "--no-sync"]
        init += ["-E", "UTF8", "--no-locale"]
        subprocess.run([*self._as_postgres, *init], check=True, capture_output=True, cwd=self._folder)
        self.start()

    def start(self) -> None:
        """Start, and wait until it answers."""
        options = ["-D", self._folder / "data", "-p", str(self.port), "-h", "127.0.0.1", "-k", self._folder, "-F"]
        with (self._folder / "log").open("a") as log:
            program = [*self._as_postgres, self._programs / "postgres", *options]
            self._process = subprocess.Popen(program, stdout=log, stderr=log, cwd=self._folder)
        until = time.monotonic() + START_S
        while True:
            try:
                psycopg.connect(self.url("postgres").replace("+psycopg", "")).close()
                return None
            except psycopg.OperationalError:
                if time.monotonic() > until:
                    raise
            if self._process.poll() is not None:  # processes of a killed server may still be there
                return self.start()
            time.sleep(0.05)

    def stop(self, number: int = signal.SIGQUIT) -> None:
        """Stop at once: without finishing anything, or by SIGKILL."""
        self._process.send_signal(number)
        self._process.wait()

    def kill(self) -> None:
        """End all its processes by SIGKILL."""
        number = self._process.pid
        children = Path(f"/proc/{number}/task/{number}/children").read_text().split()
        self.stop(signal.SIGKILL)
        for child in children:
            with suppress(ProcessLookupError):  # it has noticed that its parent is gone
                os.kill(int(child), signal.SIGKILL)

    def url(self, database: str) -> str:
        """The URL of a database."""
        return f"postgresql+psycopg://lowbeam:open-sesame@127.0.0.1:{self.port}/{database}"

    def new_database(self) -> str:
        """Create an empty database; returns its URL."""
        self._databases += 1
        name = f"test{self._databases}"
        with psycopg.connect(self.url("postgres").replace("+psycopg", ""), autocommit=True) as connection:
            connection.execute(f"CREATE DATABASE {name} TEMPLATE template0")
        return self.url(name)

    def close(self) -> None:
        """Stop and delete the data."""
        self.stop()
        shutil.rmtree(self._folder)


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    """A server for all tests; a test that stops it starts it again."""
    if not FOLDERS or not shutil.which("setpriv"):
        pytest.skip("needs PostgreSQL (Debian's package postgresql) and setpriv")
    server = Postgres(FOLDERS[0])
    yield server
    server.close()


@pytest.fixture(params=["sqlite", "postgresql"])
def store_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The URL of a new, empty database of each kind."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'store.db'}"
    url: str = request.getfixturevalue("postgres").new_database()
    return url


class Clock:
    """A clock that stands still until it is set."""

    def __init__(self) -> None:
        self.utc = 1.8e9

    def __call__(self) -> float:
        return self.utc


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
def light_argon2(monkeypatch: pytest.MonkeyPatch) -> None:
    """Hashes of passwords and tokens that take a millisecond."""
    for name, value in {"PASSES": 1, "MEMORY_KIB": 8, "LANES": 1}.items():
        monkeypatch.setattr(secret, name, value)


@pytest.fixture
async def store(store_url: str, clock: Clock, light_argon2: None) -> AsyncIterator[Store]:
    """A new store of each kind."""
    opened = await Store.open(store_url, clock)
    yield opened
    await opened.close()
