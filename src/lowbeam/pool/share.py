"""Shares jobs out to workers: results as they come, a job again where its worker was killed."""

from collections.abc import Callable, Iterable, Iterator
from typing import Any, TypeVar

from lowbeam.errors import OutputError
from lowbeam.pool.processes import Processes
from lowbeam.pool.staff import Job, Killed, Lost, Staff, Work, Worker

Result = TypeVar("Result")


def shared(
    work: Callable[[Job], Result], jobs: Iterable[Job], workers: int | None, begin: Callable[..., None] | None = None,
    *given: Any, ray: str | None = None,
) -> Iterator[tuple[Job, Result]]:  # fmt: skip
    """Call `work` on each of `jobs` in `workers` processes; yields each job with its result as it finishes. Each
    process first calls `begin` with the arguments `given`.

    The processes are on this machine, or with `ray` on the Ray cluster at that address (``auto``: the one that this
    machine belongs to; ``local``: one that is started here for as long as the work goes on). By default there are as
    many as there are cores. They ignore Ctrl-C, which the calling process handles; when this generator ends early, they
    are ended. An error in a process ends the work and is raised here. Raises `UsageError` if the cluster cannot be
    reached, `OutputError` if a process was killed or the cluster lost.
    """
    for job, result in answered(work, jobs, workers, begin, *given, ray=ray):
        if isinstance(result, Killed):
            raise OutputError(
                f"a process was killed ({result}), perhaps out of memory; run the command again to continue"
            )
        yield job, result


def answered(
    work: Callable[[Job], Result], jobs: Iterable[Job], workers: int | None, begin: Callable[..., None] | None = None,
    *given: Any, attempts: int = 1, ray: str | None = None,
) -> Iterator[tuple[Job, Result | Killed]]:  # fmt: skip
    """As `shared`, but a job whose process is killed is tried again by a new process, `attempts` times in all, and
    then has the result `Killed`. Attempts that end because a machine of a cluster was lost do not count.

    `jobs` are taken one by one as processes become free. An iterator that is exhausted is asked again after each
    result, so that the caller may add jobs to it.
    """
    staff = _staff(Work(work, begin, given), ray)
    waiting = iter(jobs)
    again: list[tuple[Job, int]] = []  # and the number of attempts
    busy: list[Worker[Job]] = []
    free: list[Worker[Job]] = []
    try:
        while True:
            room = staff.most(workers) - len(busy)
            while room > 0:
                try:
                    job, tried = again.pop() if again else (next(waiting), 0)
                except StopIteration:
                    break
                worker = free.pop() if free else staff.hire(room)
                if worker is None:
                    again.append((job, tried))
                    break
                room -= 1
                busy.append(worker)
                worker.give(job, tried + 1)
            if not busy and not again:
                return
            for worker in staff.ready(busy):
                busy.remove(worker)
                job, answer = worker.job, worker.take()
                if isinstance(answer, Lost):
                    again.append((job, worker.tried - 1))
                    continue
                if not isinstance(answer, Killed):
                    free.append(worker)
                elif worker.tried < attempts:
                    again.append((job, worker.tried))
                    continue
                yield job, answer
    finally:
        for worker in [*busy, *free]:
            worker.end()
        staff.close()


def _staff(work: Work[Job], ray: str | None) -> Staff[Job]:
    if ray is None:
        return Processes(work)
    from lowbeam.pool.cluster import Actors

    return Actors(work, ray)
