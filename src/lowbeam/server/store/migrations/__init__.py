"""Brings the tables to the version of this lowbeam, by Alembic. The versions ship in the wheel."""

from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, text

from lowbeam.errors import OutputError
from lowbeam.server.store.database import Database

LOCK = 0x6C6F7762  # PostgreSQL's number of the lock that one process at a time holds to upgrade


async def upgrade(database: Database) -> None:
    """Upgrade the tables to the newest version; processes that open the store at once wait for each other. Raises
    `OutputError` if a newer lowbeam wrote the store."""
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent).replace("%", "%%"))
    script = ScriptDirectory.from_config(config)
    async with database.reading() as session:
        current = await (await session.connection()).run_sync(_revision)
    if current == script.get_current_head():
        return
    if current is not None and current not in {known.revision for known in script.walk_revisions()}:
        raise OutputError("the store was written by a newer version of lowbeam; install that version")
    async with database.writing() as session:
        if not database.is_sqlite:
            await session.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": LOCK})
        connection = await session.connection()
        await connection.run_sync(_upgrade, config)


def _revision(connection: Connection) -> str | None:
    return MigrationContext.configure(connection).get_current_revision()


def _upgrade(connection: Connection, config: Config) -> None:
    config.attributes["connection"] = connection
    command.upgrade(config, "head")
