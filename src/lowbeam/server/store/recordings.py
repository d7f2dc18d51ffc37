"""Recordings and the estimates of their faces."""

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass

from sqlalchemy import func, select, tuple_, update
from sqlalchemy.dialects import postgresql, sqlite

from lowbeam.errors import UsageError, shown
from lowbeam.server.store.append import Appender
from lowbeam.server.store.database import Database
from lowbeam.server.store.history import Point, thinned
from lowbeam.server.store.retention import delete_before
from lowbeam.server.store.row import Row
from lowbeam.server.store.schema import EstimateRow, RecordingRow
from lowbeam.trace import Estimate

PAGE = 1000  # rows that are read at once
ESTIMATE = tuple(getattr(EstimateRow, name) for name in Estimate._fields)
LONGEST = 200  # characters of a name
LONGEST_KEY = 64  # bytes
LATEST_UTC = 2e11  # the start of a recording at most: times up to the year 9999 can be exported


@dataclass(frozen=True)
class Recording:
    """A recording of a sender, which the sender names by `key`. Times are Unix seconds; `ended_utc` is None while it is
    on. Faces 0 to `stored` - 1 are stored for good; `memory` is what the receiver remembers of it."""

    id: int
    sender_id: int
    key: bytes
    kind: str
    name: str
    started_utc: float
    ended_utc: float | None
    stored: int
    memory: bytes


class Recordings:
    """The recordings of a store."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._appender = Appender(database)

    async def begin(self, sender_id: int, key: bytes, kind: str, name: str, started_utc: float) -> Recording:
        """Begin a recording, or go on with the one that the sender began with this `key` (1 to 64 bytes), as it was
        stored then. Raises `UsageError` if the key or the time is out of its range."""
        if not 0 < len(key) <= LONGEST_KEY or not 0 <= started_utc <= LATEST_UTC:
            raise UsageError(f"a recording has a key of 1 to {LONGEST_KEY} bytes and a start after 1970")
        dialect = sqlite if self._database.is_sqlite else postgresql
        values = {"sender_id": sender_id, "key": key, "kind": kind, "name": shown(name, LONGEST)}
        new = dialect.insert(RecordingRow).values(**values, started_utc=started_utc, stored=0, memory=b"")
        async with self._database.writing() as session:
            await session.execute(
                new.on_conflict_do_update(index_elements=["sender_id", "key"], set_={"ended_utc": None})
            )
            same = (RecordingRow.sender_id == sender_id) & (RecordingRow.key == key)
            return _recording((await session.scalars(select(RecordingRow).where(same))).one())

    async def append(
        self, recording_id: int, rows: Sequence[Row], stored: int | None = None, memory: bytes | None = None,
        fused: Sequence[Row] = (),
    ) -> None:  # fmt: skip
        """Store rows, durably once this returns. A number is stored once: a final row replaces a provisional one, no
        other row replaces any, but the estimates of `fused` replace those of rows that are there. `stored` only grows.
        All of it is stored or nothing; if this is cancelled, either. Raises `UsageError` if a value is not finite or
        too large."""
        await self._appender.append(recording_id, rows, stored, memory, fused)

    async def end(self, recording_id: int, ended_utc: float) -> None:
        """A recording ends. Rows can still be appended, and it goes on when it is begun again."""
        async with self._database.writing() as session:
            if row := await session.get(RecordingRow, recording_id):
                row.ended_utc = ended_utc

    async def end_all(self) -> None:
        """End the recordings that are on, each at the time of its last row, or at its start if it has none: those that
        a server which was killed has left. One that its sender goes on with is on again once it is begun again."""
        rows = select(func.max(EstimateRow.utc)).where(EstimateRow.recording_id == RecordingRow.id).scalar_subquery()
        last = func.coalesce(rows, RecordingRow.started_utc)
        async with self._database.writing() as session:
            await session.execute(update(RecordingRow).where(RecordingRow.ended_utc.is_(None)).values(ended_utc=last))

    async def get(self, recording_id: int) -> Recording | None:
        """A recording, None if there is none with this id."""
        async with self._database.reading() as session:
            row = await session.get(RecordingRow, recording_id)
            return _recording(row) if row else None

    async def between(self, since_utc: float, until_utc: float, sender_id: int | None = None) -> list[Recording]:
        """The recordings that were on at some time of [since, until), of one or of all senders, in order of start."""
        row = RecordingRow
        found = select(row).where(row.started_utc < until_utc)
        found = found.where(row.ended_utc.is_(None) | (row.ended_utc >= since_utc))
        if sender_id is not None:
            found = found.where(row.sender_id == sender_id)
        async with self._database.reading() as session:
            return [_recording(each) for each in await session.scalars(found.order_by(row.started_utc, row.id))]

    async def history(
        self, sender_id: int, since_utc: float, until_utc: float, max_points: int = 2000
    ) -> list[Point]:  # fmt: skip
        """The estimates of a sender in [since, until) in order of time, `max_points` at most, evenly over the time."""
        async with self._database.reading() as session:
            return await thinned(session, sender_id, since_utc, until_utc, max_points)

    async def rows(
        self, sender_id: int, since_utc: float, until_utc: float
    ) -> AsyncIterator[list[tuple[float, int, Row]]]:  # fmt: skip
        """All rows of a sender in [since, until) in order of time, in pages: Unix time, id of the recording, row. No
        transaction is open between pages."""
        row = EstimateRow
        key = (row.utc, row.recording_id, row.number, row.place)
        found = select(*key, row.arrived_utc, row.is_final, row.image, *ESTIMATE).order_by(*key).limit(PAGE)
        found = found.where(row.sender_id == sender_id, row.utc < until_utc)
        span = found.where(row.utc >= since_utc)
        while True:
            async with self._database.reading() as session:
                page = (await session.execute(span)).all()
            if page:
                yield [
                    (utc, recording_id, Row(number, Estimate(*estimate), arrived_utc, is_final, image, place))
                    for utc, recording_id, number, place, arrived_utc, is_final, image, *estimate in page
                ]
            if len(page) < PAGE:
                return
            last = page[-1][:4]
            span = found.where(row.utc >= last[0], tuple_(*key) > last)  # the first bound is that of the index

    async def delete_before(self, utc: float) -> int:
        """Delete the estimates and faces from before `utc` for good, and the recordings that ended and have none left.
        Returns the number of estimates."""
        return await delete_before(self._database, utc)

    async def finish(self) -> None:
        """Wait for rows that are being stored."""
        await self._appender.finish()


def _recording(row: RecordingRow) -> Recording:
    return Recording(
        row.id, row.sender_id, row.key, row.kind, row.name, row.started_utc, row.ended_utc, row.stored, row.memory
    )  # fmt: skip
