"""Logging in, its limits, and sessions."""

import math
from dataclasses import dataclass, field

from sqlalchemy import delete, func, select
from sqlalchemy.ext.asyncio import AsyncSession

from lowbeam.errors import shown
from lowbeam.server.store.part import AccountsPart
from lowbeam.server.store.schema import LoginFailureRow, SessionRow, UserRow
from lowbeam.server.store.secret import LONGEST, AccountError, digest, new_secret
from lowbeam.server.store.users import User, user_of

SESSION_S = 12 * 3600.0
IDLE_S = 3600.0
SEEN_EVERY_S = 60.0  # how exactly the last use of a session is stored
WINDOW_S = 900.0  # in which failures are counted
MOST_PER_NAME = 5
MOST_PER_ADDRESS = 20
LONGEST_ADDRESS = 100  # characters


@dataclass(frozen=True)
class Session:
    """A session of `user`, which ends at `expires_utc` (Unix seconds) if it is not used before. `csrf` is a secret that
    pages of this session send with what they change."""

    user: User
    expires_utc: float
    csrf: str = field(repr=False)


class Sessions(AccountsPart):
    """Who is logged in. A session ends after `SESSION_S`, and when it was not used for `IDLE_S`."""

    async def log_in(self, name: str, password: str, address: str) -> str:
        """Begin a session; returns the value of its cookie. Raises `AccountError` if the name or the password is wrong,
        or `MOST_PER_NAME` attempts with this name or `MOST_PER_ADDRESS` from this address failed within `WINDOW_S`."""
        login, now = name.strip().casefold(), self._clock()
        attempt = LoginFailureRow(utc=now, login_hash=digest(login[:LONGEST]), address=shown(address, LONGEST_ADDRESS))
        async with self._database.writing() as session:
            await _check_limits(session, attempt)
            session.add(attempt)  # before the password is checked, so that attempts made at once are counted
            row = await session.scalar(select(UserRow).where(UserRow.login == (login if login.isprintable() else "")))
        if not await self._argon2.matches(row.password_hash if row else None, password) or row is None:
            raise AccountError("the name or the password is wrong")
        cookie = new_secret()
        async with self._database.writing() as session:
            if await session.get(UserRow, row.id) is None:  # removed in the meantime
                raise AccountError("the name or the password is wrong")
            await session.execute(
                delete(LoginFailureRow)
                .where(LoginFailureRow.login_hash == attempt.login_hash)
                .where(LoginFailureRow.address == attempt.address)
            )
            has_ended = (SessionRow.created_utc <= now - SESSION_S) | (SessionRow.seen_utc <= now - IDLE_S)
            await session.execute(delete(SessionRow).where(has_ended))
            session.add(SessionRow(cookie_hash=digest(cookie), user_id=row.id, created_utc=now, seen_utc=now))
        return cookie

    async def session(self, cookie: str) -> Session | None:
        """The session with this cookie, which counts as used now; None if there is none or it has ended."""
        key, now = digest(cookie), self._clock()
        found = select(SessionRow, UserRow).join(UserRow, SessionRow.user_id == UserRow.id)
        async with self._database.reading() as session:
            pair = (await session.execute(found.where(SessionRow.cookie_hash == key))).one_or_none()
        if pair is None:
            return None
        row, user = pair
        if now >= min(row.created_utc + SESSION_S, row.seen_utc + IDLE_S):
            await self.log_out(cookie)
            return None
        if now >= row.seen_utc + SEEN_EVERY_S:
            async with self._database.writing() as session:
                seen = await session.get(SessionRow, key)
                if seen is None:  # logged out in the meantime
                    return None
                seen.seen_utc = now
        return Session(user_of(user), min(row.created_utc + SESSION_S, now + IDLE_S), digest("csrf " + cookie).hex())

    async def log_out(self, cookie: str) -> None:
        """End a session; nothing happens if there is none."""
        async with self._database.writing() as session:
            await session.execute(delete(SessionRow).where(SessionRow.cookie_hash == digest(cookie)))

    async def log_out_all(self, user_id: int) -> None:
        """End all sessions of a user."""
        async with self._database.writing() as session:
            await session.execute(delete(SessionRow).where(SessionRow.user_id == user_id))


async def _check_limits(session: AsyncSession, attempt: LoginFailureRow) -> None:
    failure, now = LoginFailureRow, attempt.utc
    await session.execute(delete(failure).where(failure.utc <= now - WINDOW_S))
    for same, most in (
        (failure.login_hash == attempt.login_hash, MOST_PER_NAME),
        (failure.address == attempt.address, MOST_PER_ADDRESS),
    ):
        count, first = (await session.execute(select(func.count(), func.min(failure.utc)).where(same))).one()
        if count >= most:
            minutes = math.ceil((first + WINDOW_S - now) / 60)
            raise AccountError(f"too many attempts to log in failed; try again in {minutes} min")
