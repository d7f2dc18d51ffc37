"""Workers that are processes of this machine.

They are spawned, since forking is not safe with the threads of FFmpeg, PyTorch and Numba.
"""

import os
import signal
from collections.abc import Sequence
from contextlib import suppress
from multiprocessing import get_context
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnProcess
from typing import Any

from lowbeam.pool.staff import Job, Killed, Staff, Work, Worker

END_S = 5.0  # that a process may take to end


def cores() -> int:
    """Number of cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


class Processes(Staff[Job]):
    """Workers that are processes of this machine."""

    def __init__(self, work: Work[Job]) -> None:
        self._work = work

    def most(self, wanted: int | None) -> int:
        """As many as are wanted, by default one for each core."""
        return wanted or cores()

    def hire(self, room: int) -> "_Process[Job]":
        """A new process."""
        return _Process(self._work)

    def ready(self, busy: Sequence[Worker[Job]]) -> list[Worker[Job]]:
        """Those that have a result or were killed; waits for one."""
        found = wait([worker.connection for worker in busy if isinstance(worker, _Process)])
        return [worker for worker in busy if isinstance(worker, _Process) and worker.connection in found]


class _Process(Worker[Job]):
    def __init__(self, work: Work[Job]) -> None:
        context = get_context("spawn")
        self.connection, theirs = context.Pipe()
        self._process: SpawnProcess = context.Process(target=_serve, args=(theirs, work), daemon=True)
        self._process.start()
        theirs.close()

    def _begin(self, job: Job) -> None:
        with suppress(BrokenPipeError):  # it was killed, which `take` tells
            self.connection.send(job)

    def take(self) -> Any:
        try:
            is_done, answer = self.connection.recv()
        except (EOFError, ConnectionError):
            self._process.join(END_S)
            self.end()
            code = self._process.exitcode
            return Killed(f"signal {-code}" if code is not None and code < 0 else f"exit status {code}")
        if not is_done:
            raise answer
        return answer

    def end(self) -> None:
        self.connection.close()
        self._process.terminate()
        self._process.join(END_S)
        if self._process.is_alive():
            self._process.kill()
            self._process.join()


def _serve(connection: Connection, work: Work[Any]) -> None:
    """A process: do job after job until the calling process closes the connection or ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if work.begin is not None:
        try:
            work.begin(*work.given)
        except Exception as error:
            _failing(connection, error)
            return
    with suppress(EOFError, ConnectionError):
        while True:
            job = connection.recv()
            try:
                answer = True, work.do(job)
            except Exception as error:
                answer = False, error
            connection.send(answer)


def _failing(connection: Connection, error: Exception) -> None:
    """Answer the first job with an error."""
    with suppress(EOFError, ConnectionError):
        connection.recv()
        connection.send((False, error))
