"""Work distributed over processes: results as they come, processes that are killed, errors."""

import signal
import time
from pathlib import Path

import pytest

from lowbeam.errors import OutputError, UsageError
from lowbeam.pool import Killed, answered, shared
from tests.pool_jobs import begin, deadly, refusing, scaled, sleeping


def test_each_job_has_its_result_and_processes_begin_once() -> None:
    assert dict(shared(scaled, range(20), 2, begin, 3)) == {job: 3 * job for job in range(20)}


def test_jobs_are_taken_as_processes_become_free() -> None:
    taken: list[int] = []

    def jobs() -> "list[int]":
        for job in range(1000):
            taken.append(job)
            yield job  # type: ignore[misc]

    results = answered(scaled, jobs(), 2)
    next(results)
    assert len(taken) < 6
    results.close()  # type: ignore[attr-defined]


def test_a_job_whose_process_is_killed_is_tried_again(tmp_path: Path) -> None:
    jobs = [(tmp_path / f"{n}", survived_at) for n, survived_at in enumerate((1, 3, 99, 2))]
    results = {path.name: result for (path, _), result in answered(deadly, jobs, 2, attempts=3)}
    assert results == {"0": 1, "1": 3, "2": Killed("signal 9"), "3": 2}
    assert (tmp_path / "2").stat().st_size == 3


def test_where_each_job_is_needed_a_killed_process_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="killed"):
        list(shared(deadly, [(tmp_path / "one", 9)], 2))


def test_an_error_in_a_process_is_raised_and_begins_no_further_jobs() -> None:
    with pytest.raises(UsageError, match="not 0"):
        list(shared(refusing, range(5), 1))
    with pytest.raises(TypeError):
        list(shared(scaled, range(5), 1, begin, 1, 2))


def test_processes_end_with_the_generator(tmp_path: Path) -> None:
    results = answered(sleeping, [tmp_path / "a", tmp_path / "b"], 2)
    with pytest.raises(TimeoutError):
        signal.signal(signal.SIGALRM, _timeout)
        signal.alarm(3)
        next(results)
    began = time.monotonic()
    results.close()  # type: ignore[attr-defined]
    assert time.monotonic() - began < 10


def _timeout(number: int, frame: object) -> None:
    raise TimeoutError
