"""Accounts of the server: tokens, passwords, limits, sessions and the audit log, in SQLite and in PostgreSQL."""

import asyncio
import logging
import sqlite3
from pathlib import Path

import psycopg
import pytest

from lowbeam.server.store import AccountError, AuditEntry, Sender, Session, Store, User
from tests.server_database import Clock

pytest_plugins = ["tests.server_database"]
pytestmark = pytest.mark.anyio

PASSWORD = "correct horse"
MINUTE = 60.0
HOUR = 3600.0


@pytest.fixture
async def ann(store: Store) -> User:
    return await store.accounts.add_user("Ann", PASSWORD, "admin")


# --- senders


async def test_a_token_names_its_sender(store: Store, clock: Clock) -> None:
    first, token = await store.accounts.add_sender(" bed 4 ")
    second, other = await store.accounts.add_sender("bed 4")
    assert (first.name, first.created_utc, first.revoked_utc) == ("bed 4", clock(), None)
    assert token.startswith(f"lb1_{first.id}_")
    assert await store.accounts.sender_of(token) == first
    assert await store.accounts.sender_of(other) == second
    assert await store.accounts.senders() == [first, second]
    assert await store.accounts.sender(second.id) == second
    assert await store.accounts.sender(99) is None


async def test_other_tokens_name_nobody(store: Store) -> None:
    sender, token = await store.accounts.add_sender("bed 4")
    _, other = await store.accounts.add_sender("bed 5")
    mixed = f"lb1_{sender.id}_{other.split('_', 2)[2]}"
    wrong = (mixed, token[:-1], token + "x", token.replace("lb1", "lb2"), "", "lb1", "lb1__", "lb1_999_secret")
    for each in (*wrong, "lb1_99999999999999999999_x", "lb1_²_x", "lb1_-1_x", "x" * 10**6, "\0\ud800"):
        assert await store.accounts.sender_of(each) is None


async def test_a_token_that_is_revoked_is_refused_at_once(store: Store, clock: Clock) -> None:
    sender, token = await store.accounts.add_sender("bed 4")
    assert await store.accounts.sender_of(token) == sender
    await store.accounts.revoke_sender(sender.id)
    assert await store.accounts.sender_of(token) is None
    revoked = await store.accounts.sender(sender.id)
    assert revoked is not None
    assert revoked.revoked_utc == clock()
    clock.utc += 5
    await store.accounts.revoke_sender(sender.id)
    assert await store.accounts.sender(sender.id) == revoked
    with pytest.raises(AccountError, match="no sender 99"):
        await store.accounts.revoke_sender(99)


async def test_a_token_that_is_revoked_while_it_is_verified_is_not_remembered(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, token = await store.accounts.add_sender("bed 4")
    read = store.accounts.sender

    async def read_then_revoked(sender_id: int) -> Sender | None:
        found = await read(sender_id)
        await store.accounts.revoke_sender(sender_id)
        return found

    monkeypatch.setattr(store.accounts, "sender", read_then_revoked)
    await store.accounts.sender_of(token)
    assert await store.accounts.sender_of(token) is None


async def test_another_process_refuses_a_revoked_token_within_a_minute(
    store: Store, store_url: str, clock: Clock
) -> None:
    sender, token = await store.accounts.add_sender("bed 4")
    other = await Store.open(store_url, clock)
    assert await other.accounts.sender_of(token) == sender
    await store.accounts.revoke_sender(sender.id)
    clock.utc += 60
    assert await other.accounts.sender_of(token) is None
    await other.close()


async def test_a_token_is_verified_by_argon2_once_a_minute(
    store: Store, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    sender, token = await store.accounts.add_sender("bed 4")
    verified = []
    matches = store.accounts._argon2.matches

    async def counted(hashed: str | None, secret: str) -> bool:
        verified.append(hashed)
        return await matches(hashed, secret)

    monkeypatch.setattr(store.accounts._argon2, "matches", counted)
    for _ in range(5):
        assert await store.accounts.sender_of(token) == sender
    assert len(verified) == 1
    clock.utc += 60
    assert await store.accounts.sender_of(token) == sender
    assert len(verified) == 2
    for _ in range(2):  # unknown and revoked ones cost as much every time
        assert await store.accounts.sender_of("lb1_99_unknown") is None
    assert verified[2:] == [None, None]


# --- users


async def test_users_are_listed_and_removed(store: Store, ann: User) -> None:
    bob = await store.accounts.add_user("Bob", PASSWORD, "viewer")
    assert await store.accounts.users() == [ann, bob]
    cookie = await store.accounts.log_in("Bob", PASSWORD, "::1")
    await store.accounts.remove_user(bob.id)
    assert await store.accounts.users() == [ann]
    assert await store.accounts.session(cookie) is None
    with pytest.raises(AccountError, match="no user"):
        await store.accounts.remove_user(bob.id)
    with pytest.raises(AccountError, match="last administrator"):
        await store.accounts.remove_user(ann.id)


@pytest.mark.parametrize(
    ("name", "password", "role", "why"),
    [
        ("Bob", "123456789", "viewer", "10 to 1000 characters"),
        ("Bob", "x" * 1001, "viewer", "10 to 1000 characters"),
        ("  ", PASSWORD, "viewer", "1 to 64 printable"),
        ("B\nb", PASSWORD, "viewer", "1 to 64 printable"),
        ("x" * 65, PASSWORD, "viewer", "1 to 64 printable"),
        ("aNN", PASSWORD, "viewer", "is taken"),
        ("Bob", PASSWORD, "root", "viewer, admin"),
    ],
)
async def test_users_that_cannot_be_are_refused(
    store: Store, ann: User, name: str, password: str, role: str, why: str
) -> None:
    with pytest.raises(AccountError, match=why):
        await store.accounts.add_user(name, password, role)  # type: ignore[arg-type]
    assert await store.accounts.users() == [ann]


async def test_a_new_password_ends_the_sessions(store: Store, ann: User) -> None:
    cookie = await store.accounts.log_in("Ann", PASSWORD, "::1")
    with pytest.raises(AccountError, match="characters"):
        await store.accounts.set_password(ann.id, "short")
    await store.accounts.set_password(ann.id, "another password")
    assert await store.accounts.session(cookie) is None
    with pytest.raises(AccountError, match="wrong"):
        await store.accounts.log_in("Ann", PASSWORD, "::1")
    assert await store.accounts.log_in("Ann", "another password", "::1")
    with pytest.raises(AccountError, match="no user"):
        await store.accounts.set_password(99, PASSWORD)


async def test_the_first_administrator_is_made_once(store: Store) -> None:
    assert not await store.accounts.has_admin()
    replaced = await store.accounts.setup_token()
    token = await store.accounts.setup_token()
    assert replaced is not None
    assert token is not None
    for wrong in ("", "x", replaced):
        with pytest.raises(AccountError, match="not valid"):
            await store.accounts.use_setup_token(wrong, "Eve", PASSWORD)
    with pytest.raises(AccountError, match="characters"):
        await store.accounts.use_setup_token(token, "Ann", "short")
    made = await asyncio.gather(
        *(store.accounts.use_setup_token(token, name, PASSWORD) for name in ("Ann", "Bob")), return_exceptions=True
    )
    assert sorted(type(each).__name__ for each in made) == ["AccountError", "User"]
    assert [user.role for user in await store.accounts.users()] == ["admin"]
    assert await store.accounts.has_admin()
    assert await store.accounts.setup_token() is None


# --- sessions


async def test_a_session_lasts_twelve_hours_while_it_is_used(store: Store, ann: User, clock: Clock) -> None:
    cookie = await store.accounts.log_in("  ann ", PASSWORD, "::1")
    begun = clock()
    session = await store.accounts.session(cookie)
    assert session is not None
    assert (session.user, session.expires_utc) == (ann, begun + HOUR)
    while clock() < begun + 11.5 * HOUR:
        clock.utc += 59 * MINUTE
        assert await store.accounts.session(cookie) is not None
    last = await store.accounts.session(cookie)
    assert last is not None
    assert last.expires_utc == begun + 12 * HOUR
    assert last.csrf == session.csrf
    clock.utc = begun + 12 * HOUR
    assert await store.accounts.session(cookie) is None
    clock.utc = begun + 10  # it is gone, not only hidden
    assert await store.accounts.session(cookie) is None


async def test_a_session_that_is_not_used_for_an_hour_ends(store: Store, ann: User, clock: Clock) -> None:
    cookie = await store.accounts.log_in("Ann", PASSWORD, "::1")
    clock.utc += HOUR
    assert await store.accounts.session(cookie) is None


async def test_logging_out_ends_one_session_or_all(store: Store, ann: User) -> None:
    cookies = [await store.accounts.log_in("Ann", PASSWORD, "::1") for _ in range(3)]
    sessions = [await store.accounts.session(cookie) for cookie in cookies]
    assert len({session.csrf for session in sessions if session}) == 3
    await store.accounts.log_out(cookies[0])
    await store.accounts.log_out("unknown")
    assert [await store.accounts.session(cookie) is not None for cookie in cookies] == [False, True, True]
    await store.accounts.log_out_all(ann.id)
    assert [await store.accounts.session(cookie) for cookie in cookies] == [None, None, None]


@pytest.mark.parametrize("cookie", ["", "x", "\0", "\ud800", "x" * 10**6])
async def test_other_cookies_are_no_session(store: Store, cookie: str) -> None:
    assert await store.accounts.session(cookie) is None


async def fails(store: Store, name: str, password: str, address: str) -> str:
    with pytest.raises(AccountError) as raised:
        await store.accounts.log_in(name, password, address)
    return str(raised.value)


async def test_an_unknown_name_and_a_wrong_password_look_alike(store: Store, ann: User) -> None:
    answers = {await fails(store, name, "wrong password", name) for name in ("Ann", "Bob", "", "\0", "\ud800")}
    assert answers == {"the name or the password is wrong"}


async def test_attempts_with_a_name_are_limited(store: Store, ann: User, clock: Clock) -> None:
    for number in range(5):
        assert "wrong" in await fails(store, "aNN", "wrong password", f"10.0.0.{number}")
        clock.utc += MINUTE
    assert "try again in 10 min" in await fails(store, "Ann", PASSWORD, "10.0.0.9")
    clock.utc += 10 * MINUTE
    assert await store.accounts.log_in("Ann", PASSWORD, "10.0.0.9")


async def test_attempts_from_an_address_are_limited(store: Store, ann: User) -> None:
    for number in range(20):
        assert "wrong" in await fails(store, f"user {number}", "wrong password", "10.0.0.1")
    assert "too many" in await fails(store, "Ann", PASSWORD, "10.0.0.1")
    assert await store.accounts.log_in("Ann", PASSWORD, "10.0.0.2")


async def test_attempts_that_are_made_at_once_are_limited(store: Store, ann: User) -> None:
    answers = await asyncio.gather(*(fails(store, "Ann", "wrong password", "10.0.0.1") for _ in range(12)))
    assert sum("wrong" in answer for answer in answers) == 5
    assert sum("too many" in answer for answer in answers) == 7


async def test_a_login_forgives_the_failures_before_it(store: Store, ann: User) -> None:
    for _ in range(3):
        for _ in range(4):
            await fails(store, "Ann", "wrong password", "10.0.0.1")
        assert await store.accounts.log_in("Ann", PASSWORD, "10.0.0.1")


# --- the audit log


async def test_the_audit_log_gives_the_last_entries_first(store: Store, clock: Clock) -> None:
    for number in range(3):
        await store.audit.note("Ann", "looked at", f"sender {number}", "10.0.0.1")
        clock.utc += 1
    last = await store.audit.last(2)
    assert last[0] == AuditEntry(clock() - 1, "Ann", "looked at", "sender 2", "10.0.0.1")
    assert [entry.subject for entry in last] == ["sender 2", "sender 1"]


async def test_old_entries_of_the_audit_log_are_deleted(store: Store, clock: Clock) -> None:
    for number in range(3):
        await store.audit.note("Ann", "looked at", f"sender {number}", "10.0.0.1")
        clock.utc += 60
    assert await store.audit.delete_before(clock.utc - 60) == 2
    assert [entry.subject for entry in await store.audit.last(9)] == ["sender 2"]
    assert await store.audit.delete_before(clock.utc - 60) == 0


async def test_the_audit_log_takes_any_text(store: Store) -> None:
    await store.audit.note("\0\ud800\x1b[31m", "looked at\n", "x" * 10**6, "")
    (entry,) = await store.audit.last(9)
    assert entry.user.isprintable()
    assert len(entry.subject) == 200


# --- secrets


def everything_in(url: str) -> str:
    """The content of all tables."""
    if url.startswith("sqlite"):
        with sqlite3.connect(Path(url.removeprefix("sqlite:///"))) as lite:
            return "\n".join(lite.iterdump())
    with psycopg.connect(url.replace("+psycopg", "")) as connection:
        tables = connection.execute("SELECT table_name FROM information_schema.tables WHERE table_schema = 'public'")
        return "\n".join(str(connection.execute(f"SELECT * FROM {name}").fetchall()) for (name,) in tables.fetchall())


async def test_no_secret_is_stored_logged_or_shown(store_url: str, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    store = await Store.open(store_url)
    setup = await store.accounts.setup_token()
    assert setup is not None
    stored = everything_in(store_url)
    user = await store.accounts.use_setup_token(setup, "Ann", PASSWORD)
    sender, token = await store.accounts.add_sender("bed 4")
    assert await store.accounts.sender_of(token)
    cookie = await store.accounts.log_in("Ann", PASSWORD, "::1")
    session = await store.accounts.session(cookie)
    assert session is not None
    await fails(store, PASSWORD, "a wrong password", "::1")
    with pytest.raises(AccountError) as taken:
        await store.accounts.add_user("Ann", PASSWORD, "viewer")
    shown = repr((user, sender, session, store, taken.value, taken.value.__cause__))
    await store.close()
    stored += everything_in(store_url)
    secrets = (setup, token, token.split("_", 2)[2], cookie, PASSWORD, "a wrong password", session.csrf)
    assert not [each for each in secrets if each in stored + caplog.text + shown]
    assert stored.count("$argon2id$v=19$m=65536,t=3,p=4$") == 2
    assert "argon2id" not in caplog.text + shown


def test_the_csrf_secret_is_not_shown() -> None:
    assert "secret" not in repr(Session(User(1, "Ann", "admin"), 0.0, "secret"))
