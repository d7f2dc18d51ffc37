"""A packet of a compact codec has several estimates, each with its place in the packet."""

from typing import Literal

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


WITHOUT_ROWID = {"sqlite_with_rowid": False}


def upgrade() -> None:
    """Add `place` to the estimates and to their key. SQLite copies the table."""
    is_sqlite = op.get_bind().dialect.name == "sqlite"
    way: Literal["always", "never"] = "always" if is_sqlite else "never"
    with op.batch_alter_table("estimates", recreate=way, table_kwargs=WITHOUT_ROWID) as table:
        table.add_column(sa.Column("place", sa.Integer, nullable=False, server_default="0"))
        table.drop_constraint("pk_estimates", type_="primary")
        table.create_primary_key("pk_estimates", ["recording_id", "number", "place"])
    with op.batch_alter_table("estimates", recreate=way, table_kwargs=WITHOUT_ROWID) as table:
        table.alter_column("place", server_default=None)
