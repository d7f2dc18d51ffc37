"""Work shared among processes."""

import os
import signal
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import get_context
from typing import Any, TypeVar

from lowbeam.errors import OutputError

Job = TypeVar("Job")
Result = TypeVar("Result")


def shared(
    work: Callable[[Job], Result], jobs: Iterable[Job], workers: int, begin: Callable[..., None] | None = None,
    *given: Any,
) -> Iterator[tuple[Job, Result]]:  # fmt: skip
    """Do `work` on each of `jobs` in `workers` processes; yields each job with its result, as they are finished. Each
    process first calls `begin` with what is `given`.

    Processes are spawned, since forking beside the threads of FFmpeg, PyTorch and Numba is not safe; Ctrl-C is left to
    the process that asked. An error in a process ends the work, and is raised here. Raises `OutputError` where a
    process was killed.
    """
    pool = ProcessPoolExecutor(workers, get_context("spawn"), _begin, (begin, given))
    try:
        futures = {pool.submit(work, job): job for job in jobs}
        for future in as_completed(futures):
            yield futures.pop(future), future.result()
    except BrokenProcessPool as error:
        raise OutputError("a process was killed, perhaps for want of memory; the same command goes on") from error
    finally:
        pool.shutdown(cancel_futures=True)


def _begin(begin: Callable[..., None] | None, given: tuple[Any, ...]) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if begin is not None:
        begin(*given)


def cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
