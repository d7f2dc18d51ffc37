"""Stores rows durably, many callers' in one transaction."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import select
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.asyncio import AsyncSession

from lowbeam.errors import LowbeamError, UsageError
from lowbeam.server.store.database import Database
from lowbeam.server.store.row import MOST, Row
from lowbeam.server.store.schema import EstimateRow, RecordingRow

REPLACED = [column.name for column in EstimateRow.__table__.columns if not column.primary_key]


@dataclass(frozen=True)
class _Request:
    recording_id: int
    rows: Sequence[Row]
    stored: int | None
    memory: bytes | None
    done: "asyncio.Future[None]"

    def end(self, error: Exception | None = None) -> None:
        if self.done.done():  # the caller was cancelled
            return
        if error is None:
            self.done.set_result(None)
        else:
            self.done.set_exception(error)


class Appender:
    """Appends rows. While a transaction is being made durable, which a disk does some hundred times in a second, the
    requests that come in wait; the next transaction stores all of them."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._waiting: list[_Request] = []
        self._task: asyncio.Task[None] | None = None

    async def append(self, recording_id: int, rows: Sequence[Row], stored: int | None, memory: bytes | None) -> None:
        """See `Recordings.append`."""
        for row in rows:
            row.check()
        if stored is not None and not 0 <= stored <= MOST:
            raise UsageError("the number of stored faces must be between 0 and 2^63 - 1")
        request = _Request(recording_id, rows, stored, memory, asyncio.get_running_loop().create_future())
        self._waiting.append(request)
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._store_waiting())
        await request.done

    async def finish(self) -> None:
        """Wait until nothing is waiting."""
        if self._task is not None:
            await self._task

    async def _store_waiting(self) -> None:
        while self._waiting:
            requests, self._waiting = self._waiting, []
            try:
                async with self._database.writing() as session:
                    unknown = await self._store(session, requests)
            except LowbeamError as error:
                for request in requests:
                    request.end(error)
            else:
                for request in requests:
                    is_unknown = request.recording_id in unknown
                    request.end(UsageError(f"there is no recording {request.recording_id}") if is_unknown else None)

    async def _store(self, session: AsyncSession, requests: Sequence[_Request]) -> set[int]:
        """Store all requests; returns the ids of recordings that do not exist."""
        ids = {request.recording_id for request in requests}
        found = select(RecordingRow).where(RecordingRow.id.in_(ids)).order_by(RecordingRow.id).with_for_update()
        recordings = {recording.id: recording for recording in await session.scalars(found)}
        values: dict[tuple[int, int], dict[str, Any]] = {}
        for request in requests:
            if (recording := recordings.get(request.recording_id)) is None:
                continue
            if request.stored is not None:
                recording.stored = max(recording.stored, request.stored)
            if request.memory is not None:
                recording.memory = request.memory
            for row in request.rows:
                before = values.get((recording.id, row.number))
                if before is None or (row.is_final and not before["is_final"]):
                    values[recording.id, row.number] = _values(recording, row)
        await session.flush()
        if values:
            connection = await session.connection()
            await connection.execute(self._insert(), [values[place] for place in sorted(values)])
        return ids - set(recordings)

    def _insert(self) -> "sqlite.Insert | postgresql.Insert":
        new = sqlite.insert(EstimateRow) if self._database.is_sqlite else postgresql.insert(EstimateRow)
        return new.on_conflict_do_update(
            index_elements=["recording_id", "number"],
            set_={name: new.excluded[name] for name in REPLACED},
            where=~EstimateRow.is_final & new.excluded["is_final"],
        )


def _values(recording: RecordingRow, row: Row) -> dict[str, Any]:
    return row.estimate._asdict() | {
        "recording_id": recording.id,
        "number": row.number,
        "sender_id": recording.sender_id,
        "utc": recording.started_utc + row.estimate.time_s,
        "arrived_utc": row.arrived_utc,
        "is_final": row.is_final,
        "image": row.face,
    }
