"""Work distributed over processes."""

import os
import signal
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing import get_context
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnProcess
from typing import Any, Generic, TypeVar

from lowbeam.errors import OutputError

Job = TypeVar("Job")
Result = TypeVar("Result")
END_S = 5.0  # that a process may take to end


@dataclass(frozen=True)
class Killed:
    """The result of a job whose processes were all killed, the last by a signal or with the exit status `exitcode`."""

    exitcode: int | None

    def __str__(self) -> str:
        code = self.exitcode
        return f"signal {-code}" if code is not None and code < 0 else f"exit status {code}"


def shared(
    work: Callable[[Job], Result], jobs: Iterable[Job], workers: int, begin: Callable[..., None] | None = None,
    *given: Any,
) -> Iterator[tuple[Job, Result]]:  # fmt: skip
    """Call `work` on each of `jobs` in `workers` processes; yields each job with its result as it finishes. Each
    process first calls `begin` with the arguments `given`.

    Processes are spawned, since forking is not safe with the threads of FFmpeg, PyTorch and Numba. They ignore Ctrl-C,
    which the calling process handles; when this generator ends early, they are ended. An error in a process ends the
    work and is raised here. Raises `OutputError` if a process was killed.
    """
    for job, result in answered(work, jobs, workers, begin, *given):
        if isinstance(result, Killed):
            raise OutputError(
                f"a process was killed ({result}), perhaps out of memory; run the command again to continue"
            )
        yield job, result


def answered(
    work: Callable[[Job], Result], jobs: Iterable[Job], workers: int, begin: Callable[..., None] | None = None,
    *given: Any, attempts: int = 1,
) -> Iterator[tuple[Job, Result | Killed]]:  # fmt: skip
    """As `shared`, but a job whose process is killed is tried again by a new process, `attempts` times in all, and
    then has the result `Killed`. `jobs` are taken one by one as processes become free."""
    waiting = iter(jobs)
    again: list[tuple[Job, int]] = []  # and the number of attempts
    busy: list[_Worker[Job]] = []
    free: list[_Worker[Job]] = []
    try:
        while True:
            while len(busy) < workers:
                if again:
                    job, tried = again.pop()
                else:
                    try:
                        job, tried = next(waiting), 0
                    except StopIteration:
                        break
                worker = free.pop() if free else _Worker(work, begin, given)
                worker.give(job, tried + 1)
                busy.append(worker)
            if not busy:
                return
            for worker in _ready(busy):
                busy.remove(worker)
                job, answer = worker.job, worker.take()
                if not isinstance(answer, Killed):
                    free.append(worker)
                elif worker.tried < attempts:
                    again.append((job, worker.tried))
                    continue
                yield job, answer
    finally:
        for worker in [*busy, *free]:
            worker.end()


class _Worker(Generic[Job]):
    """A process that does one job at a time."""

    job: Job

    def __init__(self, work: Callable[[Job], Any], begin: Callable[..., None] | None, given: tuple[Any, ...]) -> None:
        context = get_context("spawn")
        self.connection, theirs = context.Pipe()
        self.process: SpawnProcess = context.Process(target=_serve, args=(theirs, work, begin, given), daemon=True)
        self.process.start()
        theirs.close()
        self.tried = 0

    def give(self, job: Job, tried: int) -> None:
        """Begin with a job, for the `tried`-th time."""
        self.job, self.tried = job, tried
        with suppress(BrokenPipeError):  # it was killed, which `take` tells
            self.connection.send(job)

    def take(self) -> Any:
        """The result of the job. Raises the error that ended it."""
        try:
            is_done, answer = self.connection.recv()
        except (EOFError, ConnectionError):
            self.process.join(END_S)
            self.end()
            return Killed(self.process.exitcode)
        if not is_done:
            raise answer
        return answer

    def end(self) -> None:
        """End the process, whatever it does."""
        self.connection.close()
        self.process.terminate()
        self.process.join(END_S)
        if self.process.is_alive():
            self.process.kill()
            self.process.join()


def _ready(busy: list[_Worker[Job]]) -> list[_Worker[Job]]:
    """Those of `busy` that have a result, or were killed; waits for one."""
    found = wait([worker.connection for worker in busy])
    return [worker for worker in busy if worker.connection in found]


def _serve(
    connection: Connection, work: Callable[[Any], Any], begin: Callable[..., None] | None, given: tuple[Any, ...]
) -> None:
    """A process: do job after job until the calling process closes the connection or ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if begin is not None:
        try:
            begin(*given)
        except Exception as error:
            _failing(connection, error)
            return
    with suppress(EOFError, ConnectionError):
        while True:
            job = connection.recv()
            try:
                answer = True, work(job)
            except Exception as error:
                answer = False, error
            connection.send(answer)


def _failing(connection: Connection, error: Exception) -> None:
    """Answer the first job with an error."""
    with suppress(EOFError, ConnectionError):
        connection.recv()
        connection.send((False, error))


def cores() -> int:
    """Number of cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
