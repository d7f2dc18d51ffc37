"""Threads that estimate, one for each core, each with an estimator of its own."""

import asyncio
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from lowbeam.estimator import Estimator
from lowbeam.recognize import DEFAULT_MODEL

Result = TypeVar("Result")


class Workers:
    """Runs work in order on one of `count` threads (by default one for each core that this process may use). Raises
    `ModelError` if `model` cannot be loaded."""

    def __init__(self, model: str = DEFAULT_MODEL, count: int | None = None) -> None:
        self._estimators = [Estimator(model) for _ in range(count or _cores())]
        self._threads = [ThreadPoolExecutor(1, f"estimate-{number}") for number in range(len(self._estimators))]

    @property
    def count(self) -> int:
        """The number of threads."""
        return len(self._threads)

    async def run(self, number: int, work: Callable[[Estimator], Result]) -> Result:
        """Run `work` with an estimator after all earlier work of the same `number`; returns its result. Numbers that
        are equal modulo `count` share a thread."""
        place = number % self.count
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._threads[place], work, self._estimators[place])

    def close(self) -> None:
        """Wait for the work that runs, and end the threads."""
        for thread in self._threads:
            thread.shutdown(cancel_futures=True)


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
