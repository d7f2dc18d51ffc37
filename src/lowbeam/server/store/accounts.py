"""Accounts: senders, users and their sessions."""

from lowbeam.server.store.senders import Senders
from lowbeam.server.store.sessions import Sessions
from lowbeam.server.store.users import Users


class Accounts(Senders, Users, Sessions):
    """The accounts of a store."""
