"""The tables. Times are Unix seconds. A change here needs a new file in `migrations/versions`; a test compares both."""

from sqlalchemy import BigInteger, Double, ForeignKey, Index, LargeBinary, MetaData, Text, UniqueConstraint
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

NAMING = {
    "pk": "pk_%(table_name)s",
    "fk": "fk_%(table_name)s_%(column_0_name)s",
    "uq": "uq_%(table_name)s_%(column_0_name)s",
    "ix": "ix_%(table_name)s_%(column_0_name)s",
}


class Base(DeclarativeBase):
    """The base of all tables."""

    metadata = MetaData(naming_convention=NAMING)
    type_annotation_map = {float: Double, str: Text, bytes: LargeBinary}  # noqa: RUF012


class SenderRow(Base):
    """A sender; `secret_hash` is the argon2 hash of the secret in its token."""

    __tablename__ = "senders"
    __table_args__ = {"sqlite_autoincrement": True}  # noqa: RUF012  (an id is never given twice)
    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str]
    secret_hash: Mapped[str]
    created_utc: Mapped[float]
    revoked_utc: Mapped[float | None]


class RecordingRow(Base):
    """A recording of a sender, which the sender names by `key`. Faces 0 to `stored` - 1 are stored for good."""

    __tablename__ = "recordings"
    __table_args__ = (UniqueConstraint("sender_id", "key"), {"sqlite_autoincrement": True})
    id: Mapped[int] = mapped_column(primary_key=True)
    sender_id: Mapped[int] = mapped_column(ForeignKey("senders.id"))
    key: Mapped[bytes]
    kind: Mapped[str]
    name: Mapped[str]
    started_utc: Mapped[float] = mapped_column(index=True)
    ended_utc: Mapped[float | None]
    stored: Mapped[int] = mapped_column(BigInteger)
    memory: Mapped[bytes]


class EstimateRow(Base):
    """An estimate of the face `number` of a recording, or of the sample `place` of a packet. `utc` is the recording's
    start plus `time_s`; the index serves spans of one sender in order of time. `image` is the coded face where faces
    are kept."""

    __tablename__ = "estimates"
    recording_id: Mapped[int] = mapped_column(ForeignKey("recordings.id"), primary_key=True)
    number: Mapped[int] = mapped_column(BigInteger, primary_key=True)
    place: Mapped[int] = mapped_column(primary_key=True)
    sender_id: Mapped[int] = mapped_column(ForeignKey("senders.id"))
    utc: Mapped[float]
    time_s: Mapped[float]
    face: Mapped[int] = mapped_column(BigInteger)
    valence: Mapped[float]
    arousal: Mapped[float]
    valence_std: Mapped[float]
    arousal_std: Mapped[float]
    x: Mapped[float]
    y: Mapped[float]
    side: Mapped[float]
    arrived_utc: Mapped[float]
    is_final: Mapped[bool]
    image: Mapped[bytes | None]
    __table_args__ = (
        Index("ix_estimates_span", "sender_id", "utc", "recording_id", "number"),
        {"sqlite_with_rowid": False},
    )


class UserRow(Base):
    """A person who may log in. `login` is the name as it is compared: without regard to case."""

    __tablename__ = "users"
    __table_args__ = {"sqlite_autoincrement": True}  # noqa: RUF012
    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str]
    login: Mapped[str] = mapped_column(unique=True)
    password_hash: Mapped[str]
    role: Mapped[str]
    created_utc: Mapped[float]


class SessionRow(Base):
    """A session of a user who logged in; `cookie_hash` is the hash of the cookie's value."""

    __tablename__ = "sessions"
    cookie_hash: Mapped[bytes] = mapped_column(primary_key=True)
    user_id: Mapped[int] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"), index=True)
    created_utc: Mapped[float]
    seen_utc: Mapped[float]


class LoginFailureRow(Base):
    """A failed attempt to log in. Only a hash of the name is kept, since people type passwords in its place."""

    __tablename__ = "login_failures"
    id: Mapped[int] = mapped_column(primary_key=True)
    utc: Mapped[float] = mapped_column(index=True)
    login_hash: Mapped[bytes]
    address: Mapped[str]


class SetupRow(Base):
    """The hash of the secret that makes the first administrator; at most one row."""

    __tablename__ = "setup"
    secret_hash: Mapped[bytes] = mapped_column(primary_key=True)


class AuditRow(Base):
    """Who did what to whom, and from which address."""

    __tablename__ = "audit"
    id: Mapped[int] = mapped_column(primary_key=True)
    utc: Mapped[float]
    user: Mapped[str]
    action: Mapped[str]
    subject: Mapped[str]
    address: Mapped[str]
