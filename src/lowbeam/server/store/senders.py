"""Senders and their tokens."""

import hashlib
import hmac
import secrets
from collections.abc import Callable
from dataclasses import dataclass

from sqlalchemy import select

from lowbeam.server.store.database import Database
from lowbeam.server.store.part import AccountsPart
from lowbeam.server.store.schema import SenderRow
from lowbeam.server.store.secret import AccountError, new_secret

PREFIX = "lb1"  # of tokens: lb1_<id>_<secret>
CACHE_S = 60.0  # how long a token that was verified is known without argon2
LONGEST_NAME = 64  # characters
MOST_ID = 2**31 - 1


@dataclass(frozen=True)
class Sender:
    """A sender that has a token; `revoked_utc` is set if the token is no longer valid. Times are Unix seconds."""

    id: int
    name: str
    created_utc: float
    revoked_utc: float | None = None


class Senders(AccountsPart):
    """The senders."""

    def __init__(self, database: Database, clock: Callable[[], float]) -> None:
        super().__init__(database, clock)
        self._cache: dict[bytes, tuple[Sender, float]] = {}  # by a keyed hash of the token, with the time it ends
        self._cache_key = secrets.token_bytes(32)
        self._revocations = 0

    async def add_sender(self, name: str) -> tuple[Sender, str]:
        """Add a sender; returns it and its token, which cannot be shown again. Raises `AccountError` if the name is
        empty or too long."""
        name = checked_name(name)
        secret = new_secret()
        hashed = await self._argon2.hash(secret)
        async with self._database.writing() as session:
            row = SenderRow(name=name, secret_hash=hashed, created_utc=self._clock())
            session.add(row)
            await session.flush()
            return _sender(row), f"{PREFIX}_{row.id}_{secret}"

    async def sender_of(self, token: str) -> Sender | None:
        """The sender whose token this is; None if it is unknown or revoked, which takes as long as if it is valid. A
        token that was valid is remembered for `CACHE_S`: one that another process revokes is refused after that time at
        the latest."""
        key = hmac.new(self._cache_key, token.encode("utf-8", "surrogatepass"), hashlib.sha256).digest()
        known, until = self._cache.get(key, (None, 0.0))
        if known is not None and self._clock() < until:
            return known
        revocations = self._revocations
        sender_id, secret = _parsed(token)
        async with self._database.reading() as session:
            row = await session.get(SenderRow, sender_id)
        is_valid = row is not None and row.revoked_utc is None
        if not await self._argon2.matches(row.secret_hash if row and is_valid else None, secret):
            return None
        sender = await self.sender(sender_id)
        if sender is None or sender.revoked_utc is not None:
            return None
        if revocations == self._revocations:
            self._cache[key] = sender, self._clock() + CACHE_S
        return sender

    async def senders(self) -> list[Sender]:
        """All senders in the order in which they were added, the revoked ones too."""
        async with self._database.reading() as session:
            return [_sender(row) for row in await session.scalars(select(SenderRow).order_by(SenderRow.id))]

    async def sender(self, sender_id: int) -> Sender | None:
        """A sender, None if there is none with this id."""
        async with self._database.reading() as session:
            row = await session.get(SenderRow, sender_id)
            return _sender(row) if row else None

    async def revoke_sender(self, sender_id: int) -> None:
        """Refuse the sender's token from now on. What it sent is kept. Raises `AccountError` if there is none."""
        async with self._database.writing() as session:
            row = await session.get(SenderRow, sender_id)
            if row is None:
                raise AccountError(f"there is no sender {sender_id}")
            if row.revoked_utc is None:
                row.revoked_utc = self._clock()
        self._revocations += 1
        self._cache = {key: entry for key, entry in self._cache.items() if entry[0].id != sender_id}


def checked_name(name: str) -> str:
    """`name` without spaces around it. Raises `AccountError` if it cannot be a name."""
    name = name.strip()
    if not 0 < len(name) <= LONGEST_NAME or not name.isprintable():
        raise AccountError(f"a name has 1 to {LONGEST_NAME} printable characters")
    return name


def _parsed(token: str) -> tuple[int, str]:
    """The id and the secret in a token; of a malformed one, an id that no sender has."""
    prefix, _, rest = token.partition("_")
    number, _, secret = rest.partition("_")
    is_id = prefix == PREFIX and number.isascii() and number.isdigit() and len(number) <= 10
    return (int(number) if is_id and int(number) <= MOST_ID else 0), secret


def _sender(row: SenderRow) -> Sender:
    return Sender(row.id, row.name, row.created_utc, row.revoked_utc)
