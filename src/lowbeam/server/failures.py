"""Limits how often an address may present a wrong token."""

import time
from collections import deque
from collections.abc import Callable

MOST, SECONDS = 20, 900.0  # wrong tokens from an address that are allowed in so many seconds
MAX_ADDRESSES = 10_000


class Failures:
    """The wrong tokens of each address. `clock` gives seconds."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._times: dict[str, deque[float]] = {}

    def is_limited(self, address: str) -> bool:
        """Whether this address has to wait."""
        times = self._times.get(address)
        return times is not None and len(times) == MOST and self._clock() - times[0] < SECONDS

    def add(self, address: str) -> None:
        """Note a wrong token."""
        times = self._times.pop(address, None) or deque(maxlen=MOST)
        if len(self._times) >= MAX_ADDRESSES:
            self._times.pop(next(iter(self._times)))  # the one that failed longest ago
        self._times[address] = times
        times.append(self._clock())
