"""Stores the rows of a recording while they come, and keeps those that the store does not take for another attempt."""

import asyncio
import logging
from collections import deque

from lowbeam.errors import LowbeamError
from lowbeam.server.store import Recordings, Row

STORE_S = 1.0  # seconds between transactions
MAX_ROWS = 3000  # that wait for the store; of more, the oldest are lost
ATTEMPTS = 3  # to store the last rows of a recording that ends

log = logging.getLogger(__name__)


class Recorder:
    """The rows of a recording that are not stored yet. `lost` counts those that never will be: the oldest of too many,
    and those with values that cannot be stored."""

    def __init__(self, recordings: Recordings, recording_id: int) -> None:
        self._recordings, self._id = recordings, recording_id
        self._rows: deque[Row] = deque()
        self._is_failing = False
        self.lost = 0

    @property
    def waiting(self) -> int:
        """How many rows are not stored yet."""
        return len(self._rows)

    def add(self, row: Row) -> None:
        """Store `row` soon; rows come in the order of their numbers."""
        try:
            row.check()
        except LowbeamError as error:
            self.lost += 1
            log.error("recording %d: %s", self._id, error)
            return
        self._rows.append(row)
        if len(self._rows) > MAX_ROWS:
            self._rows.popleft()
            self.lost += 1

    async def run(self) -> None:
        """Store what comes every `STORE_S`, until cancelled."""
        while True:
            await asyncio.sleep(STORE_S)
            await self.save()

    async def save(self) -> bool:
        """Store all rows in one transaction. Returns whether that worked; otherwise they stay, and the log says why,
        once until it works again."""
        if not (rows := list(self._rows)):
            return True
        try:
            await self._recordings.append(self._id, rows, stored=rows[-1].number + 1)
        except LowbeamError as error:
            self._tell(error)
            return False
        while self._rows and self._rows[0].number <= rows[-1].number:
            self._rows.popleft()
        self._is_failing = False
        return True

    async def end(self, ended_utc: float) -> None:
        """Store what is left, and that the recording ended (Unix time), within `ATTEMPTS`."""
        is_ended = False
        for attempt in range(ATTEMPTS):
            if attempt:
                await asyncio.sleep(STORE_S)
            is_saved = await self.save()
            try:
                await self._recordings.end(self._id, ended_utc)
                is_ended = True
            except LowbeamError as error:
                self._tell(error)
            if is_saved and is_ended:
                return
        log.error("recording %d ends with %d estimates that are not stored", self._id, self.waiting)

    def _tell(self, error: LowbeamError) -> None:
        if not self._is_failing:
            log.error("recording %d: %s", self._id, error)
        self._is_failing = True
