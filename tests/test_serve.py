"""``lowbeam serve`` and ``lowbeam send`` as processes: everything ends in the store once, whoever is killed."""

import asyncio
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import httpx
import numpy as np
import pytest

from lowbeam.errors import OutputError
from lowbeam.server.serve import ServeOptions, serve
from lowbeam.server.store import Store
from tests.ports import free_port
from tests.server_processes import Program
from tools.relay import Relay

pytest_plugins = ["tests.server_processes"]


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


def test_a_recording_that_a_killed_server_left_is_ended_by_the_next(program: Program) -> None:
    program.serve()
    program.send("--loop")
    until = time.monotonic() + 40
    while not program.rows():
        assert time.monotonic() < until
        time.sleep(0.2)
    for process in (program.sender, program.server):
        program.kill(process)
    assert program.query("SELECT ended_utc FROM recordings") == [(None,)]
    program.serve()
    assert program.query("SELECT ended_utc FROM recordings") == program.query("SELECT max(utc) FROM estimates")


def test_a_server_whose_port_is_taken_ends_no_recordings_of_the_one_that_runs(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'store.sqlite'}"

    async def with_store(is_first: bool) -> float | None:
        store = await Store.open(url)
        if is_first:
            sender, _ = await store.accounts.add_sender("camera")
            await store.recordings.begin(sender.id, b"key", "link", "camera", 1e9)
        (recording,) = await store.recordings.between(0.0, 2e9)
        await store.close()
        return recording.ended_utc

    asyncio.run(with_store(True))
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
        other.bind(("127.0.0.1", 0))
        with pytest.raises(OutputError, match="cannot listen"):
            serve(ServeOptions(port=other.getsockname()[1], data=tmp_path, store=url))
    assert asyncio.run(with_store(False)) is None


def test_retention_deletes_old_entries_of_the_audit_log(program: Program) -> None:
    async def prepare() -> None:
        for age_s in (7200.0, 60.0):
            store = await Store.open(f"sqlite:///{program.folder / 'store.sqlite'}", lambda: time.time() - age_s)  # noqa: B023
            await store.audit.note("Ann", "looked at", f"{age_s:g} s ago", "::1")
            await store.close()

    asyncio.run(prepare())
    program.serve("--retention", "1h")
    until = time.monotonic() + 20
    while len(found := program.query("SELECT subject FROM audit")) > 1:
        assert time.monotonic() < until
        time.sleep(0.1)
    assert found == [("60 s ago",)]


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
