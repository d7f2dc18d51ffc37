"""What the parts of the accounts have in common."""

from collections.abc import Callable

from lowbeam.server.store.database import Database
from lowbeam.server.store.secret import Argon2


class AccountsPart:
    """A part of the accounts; `clock` gives Unix seconds."""

    def __init__(self, database: Database, clock: Callable[[], float]) -> None:
        self._database, self._clock = database, clock
        self._argon2 = Argon2()
