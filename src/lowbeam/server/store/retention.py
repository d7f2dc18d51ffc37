"""Deletes what is older than it may be kept."""

from sqlalchemy import delete, exists, func, select, tuple_

from lowbeam.server.store.database import Database
from lowbeam.server.store.schema import EstimateRow, RecordingRow, SenderRow

AT_ONCE = 5000  # estimates deleted in one transaction, so that other writers get their turn


async def delete_before(database: Database, utc: float) -> int:
    """See `Recordings.delete_before`."""
    total = 0
    while deleted := await _delete_some(database, utc):
        total += deleted
    has_rows = exists().where(EstimateRow.recording_id == RecordingRow.id)
    async with database.writing() as session:
        empty = delete(RecordingRow).where(RecordingRow.ended_utc < utc, ~has_rows).returning(RecordingRow.id)
        recordings = len((await session.scalars(empty)).all())
    if total or recordings:
        await database.free()
    return total


async def _delete_some(database: Database, utc: float) -> int:
    row = EstimateRow
    senders = select(SenderRow.id)
    columns = (row.recording_id, row.number, row.place)
    old = select(*columns).where(row.sender_id.in_(senders), row.utc < utc).limit(AT_ONCE)
    async with database.writing() as session:
        before = await session.scalar(select(func.count()).select_from(old.subquery()))
        if before:
            await session.execute(delete(row).where(tuple_(*columns).in_(old)))
    return before or 0
