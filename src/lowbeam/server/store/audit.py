"""The audit log: who did what to whom, and from which address."""

from collections.abc import Callable
from dataclasses import dataclass

from sqlalchemy import delete, select

from lowbeam.errors import shown
from lowbeam.server.store.database import Database
from lowbeam.server.store.schema import AuditRow

LONGEST = 200  # characters of each text


@dataclass(frozen=True)
class AuditEntry:
    """An entry of the audit log; `utc` in Unix seconds."""

    utc: float
    user: str
    action: str
    subject: str
    address: str


class Audit:
    """The audit log. Entries are added, never changed, and deleted only when they are old."""

    def __init__(self, database: Database, clock: Callable[[], float]) -> None:
        self._database, self._clock = database, clock

    async def note(self, user_name: str, action: str, subject: str, address: str) -> None:
        """Add an entry. Longer texts are cut."""
        async with self._database.writing() as session:
            texts = {"user": user_name, "action": action, "subject": subject, "address": address}
            session.add(AuditRow(utc=self._clock(), **{name: shown(text, LONGEST) for name, text in texts.items()}))

    async def last(self, limit: int) -> list[AuditEntry]:
        """The last entries, the newest first."""
        async with self._database.reading() as session:
            rows = await session.scalars(select(AuditRow).order_by(AuditRow.id.desc()).limit(limit))
            return [AuditEntry(row.utc, row.user, row.action, row.subject, row.address) for row in rows]

    async def delete_before(self, utc: float) -> int:
        """Delete the entries from before `utc` for good. Returns their number."""
        async with self._database.writing() as session:
            old = delete(AuditRow).where(AuditRow.utc < utc).returning(AuditRow.id)
            deleted = len((await session.scalars(old)).all())
        if deleted:
            await self._database.free()
        return deleted
