"""People who may log in, and how the first administrator is made."""

from dataclasses import dataclass
from typing import Literal, cast, get_args

from sqlalchemy import delete, func, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncSession

from lowbeam.server.store.part import AccountsPart
from lowbeam.server.store.schema import SessionRow, SetupRow, UserRow
from lowbeam.server.store.secret import LONGEST, AccountError, digest, new_secret
from lowbeam.server.store.senders import checked_name

Role = Literal["viewer", "admin"]
SHORTEST = 10  # characters of a password


@dataclass(frozen=True)
class User:
    """A person who may log in: a viewer looks, an administrator also manages."""

    id: int
    name: str
    role: Role


class Users(AccountsPart):
    """The people who may log in. Their names are unique without regard to case."""

    async def add_user(self, name: str, password: str, role: Role) -> User:
        """Add a user. Raises `AccountError` if the name is taken or malformed, or the password has less than `SHORTEST`
        characters."""
        new = await self._new(name, password, role)
        async with self._database.writing() as session:
            return await _added(session, new)

    async def users(self) -> list[User]:
        """All users in the order in which they were added."""
        async with self._database.reading() as session:
            return [user_of(row) for row in await session.scalars(select(UserRow).order_by(UserRow.id))]

    async def remove_user(self, user_id: int) -> None:
        """Remove a user, who is logged out. Raises `AccountError` if there is none, or it is the last administrator."""
        async with self._database.writing() as session:
            # The administrators are locked, so that two of them cannot remove each other.
            admins = (await session.scalars(select(UserRow).where(UserRow.role == "admin").with_for_update())).all()
            row = await _user_row(session, user_id)
            if [admin.id for admin in admins] == [user_id]:
                raise AccountError("the last administrator cannot be removed")
            await session.delete(row)

    async def set_password(self, user_id: int, password: str) -> None:
        """Change a password; the user is logged out everywhere. Raises `AccountError` as `add_user`."""
        hashed = await self._argon2.hash(_checked_password(password))
        async with self._database.writing() as session:
            (await _user_row(session, user_id)).password_hash = hashed
            await session.execute(delete(SessionRow).where(SessionRow.user_id == user_id))

    async def has_admin(self) -> bool:
        """Whether there is an administrator."""
        async with self._database.reading() as session:
            return await _has_admin(session)

    async def setup_token(self) -> str | None:
        """A secret that makes the first administrator, once; it replaces earlier ones. None if there is one already."""
        secret = new_secret()
        async with self._database.writing() as session:
            if await _has_admin(session):
                return None
            await session.execute(delete(SetupRow))
            session.add(SetupRow(secret_hash=digest(secret)))
        return secret

    async def use_setup_token(self, token: str, name: str, password: str) -> User:
        """Make the first administrator. Raises `AccountError` if the token is not valid, or as `add_user`; the token
        stays valid then."""
        new = await self._new(name, password, "admin")
        async with self._database.writing() as session:
            used = await session.scalars(
                delete(SetupRow).where(SetupRow.secret_hash == digest(token)).returning(SetupRow.secret_hash)
            )
            if not used.all() or await _has_admin(session):
                raise AccountError("this link is not valid, or was used before; start the server again for another")
            return await _added(session, new)

    async def _new(self, name: str, password: str, role: Role) -> UserRow:
        name = checked_name(name)
        if role not in get_args(Role):
            raise AccountError(f"a role is one of {', '.join(get_args(Role))}")
        hashed = await self._argon2.hash(_checked_password(password))
        return UserRow(
            name=name, login=name.casefold(), password_hash=hashed, role=role, created_utc=self._clock()
        )  # fmt: skip


async def _added(session: AsyncSession, new: UserRow) -> User:
    session.add(new)
    try:
        await session.flush()
    except IntegrityError as error:
        raise AccountError(f"the name {new.name} is taken") from error
    return user_of(new)


async def _user_row(session: AsyncSession, user_id: int) -> UserRow:
    row = await session.get(UserRow, user_id)
    if row is None:
        raise AccountError(f"there is no user {user_id}")
    return row


async def _has_admin(session: AsyncSession) -> bool:
    return bool(await session.scalar(select(func.count()).select_from(UserRow).where(UserRow.role == "admin")))


def _checked_password(password: str) -> str:
    if not SHORTEST <= len(password) <= LONGEST:
        raise AccountError(f"a password has {SHORTEST} to {LONGEST} characters")
    return password


def user_of(row: UserRow) -> User:
    """The user of a row."""
    return User(row.id, row.name, cast(Role, row.role))
