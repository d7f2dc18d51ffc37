"""Workers, wherever they are: what `lowbeam.pool.share` needs of them."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

Job = TypeVar("Job")


@dataclass(frozen=True)
class Killed:
    """The result of a job whose workers were all killed; `how` says how the last one was."""

    how: str

    def __str__(self) -> str:
        return self.how


class Lost:
    """The result of a job whose worker was lost by no fault of the job, as where a machine was switched off."""


@dataclass(frozen=True)
class Work(Generic[Job]):
    """What workers do: `do` on each job, after `begin` once with the arguments `given`. The functions and arguments are
    pickled."""

    do: Callable[[Job], Any]
    begin: Callable[..., None] | None
    given: tuple[Any, ...]


class Worker(ABC, Generic[Job]):
    """Does one job at a time; the current one is the `tried`-th attempt at `job`."""

    job: Job
    tried = 0

    def give(self, job: Job, tried: int) -> None:
        """Begin with a job, for the `tried`-th time."""
        self.job, self.tried = job, tried
        self._begin(job)

    @abstractmethod
    def _begin(self, job: Job) -> None: ...

    @abstractmethod
    def take(self) -> Any:
        """The result of the job, `Killed` or `Lost`. Raises the error that ended it."""

    @abstractmethod
    def end(self) -> None:
        """End the worker, whatever it does."""


class Staff(ABC, Generic[Job]):
    """Hires workers, and tells which have a result."""

    @abstractmethod
    def most(self, wanted: int | None) -> int:
        """How many workers there may be now, one at least, if so many are `wanted`."""

    @abstractmethod
    def hire(self, room: int) -> Worker[Job] | None:
        """A new worker; None if none is there yet, of the `room` that may be on their way."""

    @abstractmethod
    def ready(self, busy: Sequence[Worker[Job]]) -> list[Worker[Job]]:
        """Those of `busy` that have a result, or were killed. Waits for one, but may return none if a new worker is
        there or after a while."""

    def close(self) -> None:
        """End what was opened for the workers, which have ended."""
        return
