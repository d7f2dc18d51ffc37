"""Threads that estimate, one for each core, each with a recognizer of its own."""

import asyncio
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from lowbeam.recognize import DEFAULT_MODEL, Recognizer

Result = TypeVar("Result")


class Workers:
    """Runs the work of each stream in order, on one of `count` threads (by default one for each core). Raises
    `ModelError` if `model` cannot be loaded."""

    def __init__(self, model: str = DEFAULT_MODEL, count: int | None = None) -> None:
        self._recognizers = [Recognizer(model) for _ in range(count or os.cpu_count() or 1)]
        self._threads = [ThreadPoolExecutor(1, f"estimate-{number}") for number in range(len(self._recognizers))]

    async def run(self, stream: int, work: Callable[[Recognizer], Result]) -> Result:
        """Run `work` with a recognizer after all earlier work of the same `stream`; returns its result."""
        number = stream % len(self._threads)
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._threads[number], work, self._recognizers[number])

    def close(self) -> None:
        """Wait for the work that runs, and end the threads."""
        for thread in self._threads:
            thread.shutdown(cancel_futures=True)
