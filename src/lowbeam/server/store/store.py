"""The store: one database with recordings, accounts and the audit log."""

import time
from collections.abc import Callable

from lowbeam.server.store.accounts import Accounts
from lowbeam.server.store.audit import Audit
from lowbeam.server.store.database import Database
from lowbeam.server.store.migrations import upgrade
from lowbeam.server.store.recordings import Recordings


class Store:
    """A store that is open. `clock` gives Unix seconds. All methods of its parts raise `OutputError`, one line, if the
    database fails."""

    def __init__(self, database: Database, clock: Callable[[], float] = time.time) -> None:
        self._database = database
        self.recordings = Recordings(database)
        self.accounts = Accounts(database, clock)
        self.audit = Audit(database, clock)

    @classmethod
    async def open(cls, url: str, clock: Callable[[], float] = time.time) -> "Store":
        """Open the store at `url`, ``sqlite:///FILE`` or ``postgresql+psycopg://USER@HOST/DATABASE``, and bring its
        tables to the newest version. Raises `UsageError` for another URL, `OutputError` if it cannot be opened."""
        database = Database.at(url)
        try:
            await upgrade(database)
        except BaseException:
            await database.close()
            raise
        return cls(database, clock)

    async def is_ready(self) -> bool:
        """Whether the database answers."""
        return await self._database.is_ready()

    async def close(self) -> None:
        """Finish what is being written and close the database."""
        await self.recordings.finish()
        await self._database.close()
