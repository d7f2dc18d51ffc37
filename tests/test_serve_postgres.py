"""``lowbeam serve`` with PostgreSQL and ``lowbeam send`` as processes: everything ends in the store once, although the
database is killed under them."""

import signal
import time

import numpy as np
import pytest

from tests.server_database import Postgres
from tests.server_processes import Program
from tools.relay import Relay

pytest_plugins = ["tests.server_database", "tests.server_processes"]


def wait_for_rows(program: Program, count: int) -> None:
    until = time.monotonic() + 30
    while len(program.rows()) < count:
        assert time.monotonic() < until, "no estimate is stored"
        time.sleep(0.1)


@pytest.mark.slow
def test_kill_9_of_the_database_and_the_server_loses_and_doubles_nothing(program: Program, postgres: Postgres) -> None:
    random = np.random.default_rng(4)
    program.store = postgres.new_database()
    program.serve()
    with Relay(("127.0.0.1", program.port), bps=64_000, delay_s=0.02, loss=0.05, seed=4) as relay:
        program.send("--loop", port=relay.port)
        wait_for_rows(program, 1)
        for number in range(10):
            time.sleep(random.uniform(0.2, 2.0))
            is_server_killed = number % 4 == 2
            postgres.kill()
            if is_server_killed:
                program.kill(program.server)
            time.sleep(random.uniform(0.0, 1.0))
            postgres.start()
            if is_server_killed:
                program.serve()
        wait_for_rows(program, len(program.rows()) + 1)
        program.kill(program.sender, signal.SIGTERM)
        program.send("--fast", "--finish", "35", port=relay.port)
        assert "not confirmed" not in program.wait_sent()
    program.check(2)
