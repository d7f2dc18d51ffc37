"""A packet of a compact codec has several estimates, each with its place in the packet."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    """Add `place` to the estimates and to their key. SQLite copies the table."""
    recreate = "always" if op.get_bind().dialect.name == "sqlite" else "never"
    options = {"recreate": recreate, "table_kwargs": {"sqlite_with_rowid": False}}
    with op.batch_alter_table("estimates", **options) as table:
        table.add_column(sa.Column("place", sa.Integer, nullable=False, server_default="0"))
        table.drop_constraint("pk_estimates", type_="primary")
        table.create_primary_key("pk_estimates", ["recording_id", "number", "place"])
        if recreate == "never":
            table.alter_column("place", server_default=None)
    if recreate == "always":
        with op.batch_alter_table("estimates", **options) as table:
            table.alter_column("place", server_default=None)
