"""The first tables."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None


def upgrade() -> None:
    """Create all tables."""
    op.create_table(
        "senders",
        sa.Column("id", sa.Integer, nullable=False),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("secret_hash", sa.Text, nullable=False),
        sa.Column("created_utc", sa.Double, nullable=False),
        sa.Column("revoked_utc", sa.Double),
        sa.PrimaryKeyConstraint("id", name="pk_senders"),
        sqlite_autoincrement=True,
    )
    op.create_table(
        "recordings",
        sa.Column("id", sa.Integer, nullable=False),
        sa.Column("sender_id", sa.Integer, nullable=False),
        sa.Column("key", sa.LargeBinary, nullable=False),
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("started_utc", sa.Double, nullable=False),
        sa.Column("ended_utc", sa.Double),
        sa.Column("stored", sa.BigInteger, nullable=False),
        sa.Column("memory", sa.LargeBinary, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_recordings"),
        sa.UniqueConstraint("sender_id", "key", name="uq_recordings_sender_id"),
        sa.ForeignKeyConstraint(["sender_id"], ["senders.id"], name="fk_recordings_sender_id"),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_recordings_started_utc", "recordings", ["started_utc"])
    op.create_table(
        "estimates",
        sa.Column("recording_id", sa.Integer, nullable=False),
        sa.Column("number", sa.BigInteger, nullable=False),
        sa.Column("sender_id", sa.Integer, nullable=False),
        sa.Column("utc", sa.Double, nullable=False),
        sa.Column("time_s", sa.Double, nullable=False),
        sa.Column("face", sa.BigInteger, nullable=False),
        sa.Column("valence", sa.Double, nullable=False),
        sa.Column("arousal", sa.Double, nullable=False),
        sa.Column("valence_std", sa.Double, nullable=False),
        sa.Column("arousal_std", sa.Double, nullable=False),
        sa.Column("x", sa.Double, nullable=False),
        sa.Column("y", sa.Double, nullable=False),
        sa.Column("side", sa.Double, nullable=False),
        sa.Column("arrived_utc", sa.Double, nullable=False),
        sa.Column("is_final", sa.Boolean, nullable=False),
        sa.Column("image", sa.LargeBinary),
        sa.PrimaryKeyConstraint("recording_id", "number", name="pk_estimates"),
        sa.ForeignKeyConstraint(["recording_id"], ["recordings.id"], name="fk_estimates_recording_id"),
        sa.ForeignKeyConstraint(["sender_id"], ["senders.id"], name="fk_estimates_sender_id"),
        sqlite_with_rowid=False,
    )
    op.create_index("ix_estimates_span", "estimates", ["sender_id", "utc", "recording_id", "number"])
    op.create_table(
        "users",
        sa.Column("id", sa.Integer, nullable=False),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("login", sa.Text, nullable=False),
        sa.Column("password_hash", sa.Text, nullable=False),
        sa.Column("role", sa.Text, nullable=False),
        sa.Column("created_utc", sa.Double, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_users"),
        sa.UniqueConstraint("login", name="uq_users_login"),
        sqlite_autoincrement=True,
    )
    op.create_table(
        "sessions",
        sa.Column("cookie_hash", sa.LargeBinary, nullable=False),
        sa.Column("user_id", sa.Integer, nullable=False),
        sa.Column("created_utc", sa.Double, nullable=False),
        sa.Column("seen_utc", sa.Double, nullable=False),
        sa.PrimaryKeyConstraint("cookie_hash", name="pk_sessions"),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name="fk_sessions_user_id", ondelete="CASCADE"),
    )
    op.create_index("ix_sessions_user_id", "sessions", ["user_id"])
    op.create_table(
        "login_failures",
        sa.Column("id", sa.Integer, nullable=False),
        sa.Column("utc", sa.Double, nullable=False),
        sa.Column("login_hash", sa.LargeBinary, nullable=False),
        sa.Column("address", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_login_failures"),
    )
    op.create_index("ix_login_failures_utc", "login_failures", ["utc"])
    op.create_table(
        "setup",
        sa.Column("secret_hash", sa.LargeBinary, nullable=False),
        sa.PrimaryKeyConstraint("secret_hash", name="pk_setup"),
    )
    op.create_table(
        "audit",
        sa.Column("id", sa.Integer, nullable=False),
        sa.Column("utc", sa.Double, nullable=False),
        sa.Column("user", sa.Text, nullable=False),
        sa.Column("action", sa.Text, nullable=False),
        sa.Column("subject", sa.Text, nullable=False),
        sa.Column("address", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_audit"),
    )
