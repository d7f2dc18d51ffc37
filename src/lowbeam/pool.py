"""Work distributed over processes."""

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
    """Call `work` on each of `jobs` in `workers` processes; yields each job with its result as it finishes. Each
    process first calls `begin` with the arguments `given`.

    Processes are spawned, since forking is not safe with the threads of FFmpeg, PyTorch and Numba. They ignore Ctrl-C,
    which the calling process handles. An error in a process ends the work and is raised here. Raises `OutputError` if a
    process was killed.
    """
    pool = ProcessPoolExecutor(workers, get_context("spawn"), _begin, (begin, given))
    try:
        futures = {pool.submit(work, job): job for job in jobs}
        for future in as_completed(futures):
            yield futures.pop(future), future.result()
    except BrokenProcessPool as error:
        raise OutputError("a process was killed, perhaps out of memory; run the command again to continue") from error
    finally:
        pool.shutdown(cancel_futures=True)


def _begin(begin: Callable[..., None] | None, given: tuple[Any, ...]) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if begin is not None:
        begin(*given)


def cores() -> int:
    """Number of cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
