"""The connection to SQLite or PostgreSQL: transactions that are durable once they end, and errors in one line."""

import asyncio
import logging
import os
import sqlite3
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any

from sqlalchemy import URL, Connection, event, make_url, text
from sqlalchemy.exc import ArgumentError, DBAPIError, SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession, create_async_engine

from lowbeam.errors import OutputError, UsageError, reason

BUSY_S = 10.0  # how long a transaction waits for another process that writes to the same SQLite file
CONNECT_S, ANSWER_MS = 10, 20_000  # how long PostgreSQL's host may take to connect, and to acknowledge what was sent
READY_S = 5.0  # how long the database may take to answer that it is there
PRAGMAS = (
    "auto_vacuum = INCREMENTAL",  # takes effect in a new file only, before the next line
    "journal_mode = WAL",
    "synchronous = FULL",  # what is committed survives a power loss
    "foreign_keys = ON",
    "secure_delete = ON",
)

logging.getLogger("aiosqlite").setLevel(logging.INFO)  # at DEBUG it logs all parameters, some of which are secret


class Database:
    """A database that is open. Raises `OutputError` in one line where it fails."""

    def __init__(self, engine: AsyncEngine) -> None:
        self.engine = engine
        self.is_sqlite = engine.dialect.name == "sqlite"
        self._writer = engine.execution_options(writes=True)
        self._writing = asyncio.Lock()

    @classmethod
    def at(cls, url: str) -> "Database":
        """The database at `url`, ``sqlite:///FILE`` or ``postgresql+psycopg://…``; nothing is connected yet. Raises
        `UsageError`, or `OutputError` if the file cannot be created."""
        parsed = _parsed(url)
        is_sqlite = parsed.drivername == "sqlite+aiosqlite"
        arguments = {"timeout": BUSY_S} if is_sqlite else {"connect_timeout": CONNECT_S, "tcp_user_timeout": ANSWER_MS}
        try:
            engine = create_async_engine(
                parsed,
                hide_parameters=True,  # in messages of errors: some are secret
                pool_pre_ping=not is_sqlite,  # connects again after the server was away
                connect_args=arguments,
            )
        except ImportError as error:
            raise UsageError(f"the store needs {error.name}: pip install 'lowbeam[serve]'") from error
        if is_sqlite:
            _create_private(str(parsed.database))
            event.listen(engine.sync_engine, "connect", _set_pragmas)
            event.listen(engine.sync_engine, "begin", _begin)
        else:
            event.listen(engine.sync_engine, "connect", _set_durable)
        return cls(engine)

    @asynccontextmanager
    async def reading(self) -> AsyncIterator[AsyncSession]:
        """A transaction that only reads."""
        with self.translated():
            async with AsyncSession(self.engine, expire_on_commit=False) as session:
                yield session

    @asynccontextmanager
    async def writing(self) -> AsyncIterator[AsyncSession]:
        """A transaction that writes, one at a time in this process. It is durable when the block has ended, and has
        no effect if the block raises."""
        with self.translated():
            async with self._writing, AsyncSession(self._writer, expire_on_commit=False) as session:
                yield session
                await session.commit()

    async def is_ready(self) -> bool:
        """Whether the database answers within `READY_S`."""
        try:
            async with asyncio.timeout(READY_S), self.reading() as session:
                await session.execute(text("SELECT 1"))
        except (OutputError, TimeoutError):
            return False
        return True

    async def free(self) -> None:
        """Give the space of deleted rows back, so that their content is not left in the files."""
        with self.translated():
            async with self.engine.connect() as connection:
                if self.is_sqlite:
                    driver: Any = (await connection.get_raw_connection()).driver_connection
                    await driver.executescript("PRAGMA incremental_vacuum; PRAGMA wal_checkpoint(TRUNCATE);")
                else:
                    await connection.execution_options(isolation_level="AUTOCOMMIT")
                    await connection.execute(text("VACUUM estimates, recordings, audit"))

    @contextmanager
    def translated(self) -> Iterator[None]:
        """Raise `OutputError` for the errors of SQLAlchemy and the system."""
        try:
            yield
        except (SQLAlchemyError, OSError) as error:
            cause = error.orig if isinstance(error, DBAPIError) and isinstance(error.orig, Exception) else error
            url = self.engine.url
            name = url.database if self.is_sqlite else url.render_as_string(hide_password=True)
            raise OutputError(f"the store {name} cannot be used: {reason(cause)}") from error

    async def close(self) -> None:
        """Close all connections."""
        await self.engine.dispose()


def _parsed(url: str) -> URL:
    try:
        parsed = make_url(url)
    except ArgumentError as error:
        raise UsageError("the store must be sqlite:///FILE or postgresql+psycopg://USER@HOST/DATABASE") from error
    if parsed.drivername in ("sqlite", "sqlite+aiosqlite"):
        if not parsed.database or parsed.database.startswith((":", "file:")):
            raise UsageError("the store must be a file: sqlite:///FILE")
        return parsed.set(drivername="sqlite+aiosqlite", query={})
    if parsed.drivername in ("postgresql", "postgresql+psycopg"):
        return parsed.set(drivername="postgresql+psycopg")
    raise UsageError(
        f"the store cannot be {parsed.drivername}; use sqlite:///FILE or postgresql+psycopg://USER@HOST/DATABASE"
    )


def _create_private(file: str) -> None:
    """Create the SQLite file so that only its owner can read it; SQLite gives the files beside it the same mode."""
    try:
        os.close(os.open(file, os.O_CREAT | os.O_RDWR, 0o600))
    except (OSError, ValueError) as error:
        raise OutputError(f"the store {file} cannot be opened: {reason(error)}") from error


def _set_pragmas(connection: Any, _: object) -> None:
    connection.isolation_level = None  # transactions begin by `_begin` only, those that change tables too
    cursor = connection.cursor()
    for pragma in PRAGMAS:
        _execute_when_free(cursor, f"PRAGMA {pragma}")
    cursor.close()


def _execute_when_free(cursor: Any, statement: str) -> None:
    """SQLite does not wait for another process where the journal becomes a write-ahead log."""
    until = time.monotonic() + BUSY_S
    while True:
        try:
            cursor.execute(statement)
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode != sqlite3.SQLITE_BUSY or time.monotonic() > until:
                raise
            time.sleep(0.05)
        else:
            return


def _begin(connection: Connection) -> None:
    """A transaction that writes takes the lock at its start: it waits for its turn instead of failing later."""
    writes = connection.get_execution_options().get("writes", False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")


def _set_durable(connection: Any, _: object) -> None:
    cursor = connection.cursor()
    cursor.execute("SET synchronous_commit = on")
    cursor.close()
    connection.commit()
