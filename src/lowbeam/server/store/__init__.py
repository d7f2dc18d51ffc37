"""What the server keeps: recordings and their estimates, accounts, and the audit log, in SQLite or PostgreSQL."""

from lowbeam.server.store.accounts import Accounts
from lowbeam.server.store.audit import Audit, AuditEntry
from lowbeam.server.store.history import Point
from lowbeam.server.store.recordings import Recording, Recordings
from lowbeam.server.store.row import Row
from lowbeam.server.store.secret import AccountError
from lowbeam.server.store.senders import Sender
from lowbeam.server.store.sessions import Session
from lowbeam.server.store.store import Store
from lowbeam.server.store.users import Role, User

__all__ = [
    "AccountError",
    "Accounts",
    "Audit",
    "AuditEntry",
    "Point",
    "Recording",
    "Recordings",
    "Role",
    "Row",
    "Sender",
    "Session",
    "Store",
    "User",
]
