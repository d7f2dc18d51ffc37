"""Stores rows durably, many callers' in one transaction."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from types import ModuleType
from typing import Any

from sqlalchemy import Executable, bindparam, func, select, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.asyncio import AsyncSession

from lowbeam.errors import UsageError
from lowbeam.server.store.database import Database
from lowbeam.server.store.row import MOST, Row
from lowbeam.server.store.schema import EstimateRow, RecordingRow


def _insert(dialect: ModuleType) -> Executable:
    """Insert rows: a number that is there is replaced only if it is not final and the new row is."""
    new = dialect.insert(EstimateRow)
    replaced = [column.name for column in EstimateRow.__table__.columns if not column.primary_key]
    inserted: Executable = new.on_conflict_do_update(
        index_elements=["recording_id", "number", "place"],
        set_={name: new.excluded[name] for name in replaced},
        where=~EstimateRow.is_final & new.excluded["is_final"],
    )
    return inserted


# Statements are made once: making one takes longer than running it.
INSERTS = {"sqlite": _insert(sqlite), "postgresql": _insert(postgresql)}
FIND = (
    select(RecordingRow.id, RecordingRow.sender_id, RecordingRow.started_utc, RecordingRow.stored)
    .where(RecordingRow.id.in_(bindparam("ids", expanding=True)))
    .order_by(RecordingRow.id)
    .with_for_update()
)
CHANGE = (
    update(RecordingRow.__table__)  # type: ignore[arg-type]  # a table
    .where(RecordingRow.id == bindparam("of"))
    .values(stored=bindparam("until"), memory=func.coalesce(bindparam("state"), RecordingRow.memory))
)
FUSED = ("valence", "arousal", "valence_std", "arousal_std")
FUSE = (
    update(EstimateRow.__table__)  # type: ignore[arg-type]  # a table
    .where(
        EstimateRow.recording_id == bindparam("of"), EstimateRow.number == bindparam("at"),
        EstimateRow.place == bindparam("in_packet"),
    )
    .values({name: bindparam(f"new_{name}") for name in FUSED})
)  # fmt: skip


@dataclass(frozen=True)
class _Request:
    recording_id: int
    rows: Sequence[Row]
    stored: int | None
    memory: bytes | None
    fused: Sequence[Row]
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

    async def append(
        self, recording_id: int, rows: Sequence[Row], stored: int | None, memory: bytes | None, fused: Sequence[Row]
    ) -> None:
        """See `Recordings.append`."""
        for row in (*rows, *fused):
            row.check()
        if stored is not None and not 0 <= stored <= MOST:
            raise UsageError("the number of stored faces must be between 0 and 2^63 - 1")
        request = _Request(recording_id, rows, stored, memory, fused, asyncio.get_running_loop().create_future())
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
            except Exception as error:  # also of a defect: no caller may wait for ever
                for request in requests:
                    request.end(error)
            else:
                for request in requests:
                    is_unknown = request.recording_id in unknown
                    request.end(UsageError(f"there is no recording {request.recording_id}") if is_unknown else None)

    async def _store(self, session: AsyncSession, requests: Sequence[_Request]) -> set[int]:
        """Store all requests; returns the ids of recordings that do not exist."""
        ids = {request.recording_id for request in requests}
        connection = await session.connection()
        recordings = {found.id: found for found in await connection.execute(FIND, {"ids": sorted(ids)})}
        changes = {key: {"of": key, "until": found.stored, "state": None} for key, found in recordings.items()}
        values: dict[tuple[int, int, int], dict[str, Any]] = {}
        for request in requests:
            if (recording := recordings.get(request.recording_id)) is None:
                continue
            change = changes[recording.id]
            change["until"] = max(change["until"], request.stored or 0)
            change["state"] = change["state"] if request.memory is None else request.memory
            for row in request.rows:
                key = recording.id, row.number, row.place
                before = values.get(key)
                if before is None or (row.is_final and not before["is_final"]):
                    values[key] = _values(recording, row)
        if changes:
            await connection.execute(CHANGE, [*changes.values()])
        if values:
            insert = INSERTS[self._database.engine.dialect.name]
            await connection.execute(insert, [values[key] for key in sorted(values)])
        known = [request for request in requests if request.recording_id in recordings]
        if fused := [_fused(request.recording_id, row) for request in known for row in request.fused]:
            await connection.execute(FUSE, fused)
        return ids - set(recordings)


def _values(recording: Any, row: Row) -> dict[str, Any]:
    return row.estimate._asdict() | {
        "recording_id": recording.id,
        "number": row.number,
        "place": row.place,
        "sender_id": recording.sender_id,
        "utc": recording.started_utc + row.estimate.time_s,
        "arrived_utc": row.arrived_utc,
        "is_final": row.is_final,
        "image": row.face,
    }


def _fused(recording_id: int, row: Row) -> dict[str, Any]:
    new = {f"new_{name}": getattr(row.estimate, name) for name in FUSED}
    return new | {"of": recording_id, "at": row.number, "in_packet": row.place}
