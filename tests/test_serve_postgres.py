"""``lowbeam serve`` with PostgreSQL and ``lowbeam send`` as processes: everything ends in the store once, although the
database is killed under them."""

import signal
import time

import numpy as np
import pytest

from tests.server_database import Postgres
from tests.server_processes import Program

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
    program.send("--loop")
    for number in range(10):
        if number % 2 == 0:  # the other kills fall into what the one before has left
            wait_for_rows(program, len(program.rows()) + 1)
        time.sleep(random.uniform(0.0, 1.0))
        is_server_killed = number in (3, 6)
        postgres.kill()
        if is_server_killed:
            program.kill(program.server)
        time.sleep(random.uniform(0.0, 0.5))
        postgres.start()
        if is_server_killed:
            program.serve()
    program.kill(program.sender, signal.SIGTERM)
    program.send("--fast", "--finish", "35")
    assert "not confirmed" not in program.wait_sent()
    program.check(2)
