"""The store of the server: what is acknowledged is kept, once, in SQLite and in PostgreSQL."""

import asyncio
import multiprocessing
import os
import random
import signal
import sqlite3
from dataclasses import replace
from itertools import pairwise
from multiprocessing.connection import Connection
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import event, text

from lowbeam.errors import OutputError, UsageError
from lowbeam.server.store import Recording, Row, Store, database
from lowbeam.server.store.append import Appender
from lowbeam.server.store.schema import Base
from lowbeam.trace import Estimate
from tests.server_database import Clock, Postgres

pytest_plugins = ["tests.server_database"]
pytestmark = pytest.mark.anyio

START = 1.7e9


def row(
    number: int, *, time_s: float | None = None, valence: float = 0.25, is_final: bool = True, face: int = 1
) -> Row:  # fmt: skip
    at = number / 5 if time_s is None else time_s
    return Row(number, Estimate(at, face, valence, -0.5, 0.1, 0.2, 10.0, 20.5, 96.0), START + at + 0.3, is_final)


@pytest.fixture
async def recording(store: Store) -> Recording:
    sender, _ = await store.accounts.add_sender("bed 4")
    return await store.recordings.begin(sender.id, b"key", "link", "camera:0", START)


async def stored_rows(store: Store, recording: Recording) -> list[Row]:
    pages = store.recordings.rows(recording.sender_id, 0, 1e12)
    return [each for page in [page async for page in pages] for _, _, each in page]


# --- opening


async def test_the_migrations_make_the_tables_of_the_schema(store: Store) -> None:
    async with store._database.reading() as session:
        connection = await session.connection()
        differences = await connection.run_sync(
            lambda sync: compare_metadata(MigrationContext.configure(sync), Base.metadata)
        )
    assert differences == []


async def test_a_store_that_is_opened_again_has_what_was_stored(
    store: Store, store_url: str, recording: Recording
) -> None:
    await store.recordings.append(recording.id, [row(0)], stored=1, memory=b"state")
    again = await Store.open(store_url)
    try:
        assert await again.recordings.get(recording.id) == replace(recording, stored=1, memory=b"state")
        assert await stored_rows(again, recording) == [row(0)]
        assert await again.is_ready()
    finally:
        await again.close()


async def test_stores_that_are_opened_at_once_upgrade_it_once(store_url: str) -> None:
    stores = await asyncio.gather(*(Store.open(store_url) for _ in range(6)))
    for each in stores:
        assert await each.accounts.senders() == []
        await each.close()


async def test_a_store_of_a_newer_version_is_refused(store: Store, store_url: str) -> None:
    async with store._database.writing() as session:
        await session.execute(text("UPDATE alembic_version SET version_num = 'from-the-future'"))
    with pytest.raises(OutputError, match="newer version"):
        await Store.open(store_url)


@pytest.mark.parametrize(
    "url", ["store.db", "mysql://host/db", "sqlite://", "sqlite:///:memory:", "sqlite:///file:x?mode=memory&uri=true"]
)
async def test_other_kinds_of_store_are_refused(url: str) -> None:
    with pytest.raises(UsageError, match="the store"):
        await Store.open(url)


async def test_a_file_that_cannot_be_opened_is_named_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "text.db").write_text("this is not a database " * 100)
    for file, why in (("no/such.db", "no such file"), ("text.db", "not a database")):
        with pytest.raises(OutputError, match=why) as raised:
            await Store.open(f"sqlite:///{tmp_path / file}")
        assert file in str(raised.value)
        assert "\n" not in str(raised.value)


async def test_a_server_that_cannot_be_reached_is_named_without_its_password() -> None:
    with pytest.raises(OutputError, match="refused") as raised:
        await Store.open("postgresql+psycopg://lowbeam:open-sesame@127.0.0.1:1/db")
    assert "127.0.0.1:1" in str(raised.value)
    assert "open-sesame" not in str(raised.value)
    assert "\n" not in str(raised.value)


async def test_only_its_owner_can_read_an_sqlite_store(tmp_path: Path) -> None:
    store = await Store.open(f"sqlite:///{tmp_path / 'store.db'}")
    await store.accounts.add_sender("a")
    modes = {file.name: file.stat().st_mode & 0o777 for file in tmp_path.iterdir()}
    await store.close()
    assert modes == dict.fromkeys(("store.db", "store.db-wal", "store.db-shm"), 0o600)


async def test_sqlite_syncs_every_commit(tmp_path: Path) -> None:
    store = await Store.open(f"sqlite:///{tmp_path / 'store.db'}")
    async with store._database.writing() as session:
        found = {
            name: await session.scalar(text(f"PRAGMA {name}"))
            for name in ("journal_mode", "synchronous", "foreign_keys", "secure_delete", "auto_vacuum")
        }
    await store.close()
    assert found == {"journal_mode": "wal", "synchronous": 2, "foreign_keys": 1, "secure_delete": 1, "auto_vacuum": 2}


# --- recordings


async def test_a_recording_that_is_begun_again_goes_on(store: Store, recording: Recording) -> None:
    await store.recordings.append(recording.id, [row(0)], stored=1)
    await store.recordings.end(recording.id, START + 60)
    again = await store.recordings.begin(recording.sender_id, b"key", "link", "camera:0", START + 100)
    assert again == replace(recording, stored=1)
    other = await store.recordings.begin(recording.sender_id, b"other", "link", "camera:0", START + 100)
    assert other.id != recording.id


async def test_recordings_that_a_killed_server_left_end_at_their_last_row(store: Store, recording: Recording) -> None:
    empty = await store.recordings.begin(recording.sender_id, b"2", "link", "n", START + 50)
    over = await store.recordings.begin(recording.sender_id, b"3", "link", "n", START)
    await store.recordings.append(recording.id, [row(number) for number in (0, 2, 1)], stored=3)
    await store.recordings.append(over.id, [row(0)], stored=1)
    await store.recordings.end(over.id, START + 60)
    await store.recordings.end_all()

    async def ends() -> list[float | None]:
        found = [await store.recordings.get(each.id) for each in (recording, empty, over)]
        return [each.ended_utc for each in found if each is not None]

    assert await ends() == [START + 2 / 5, START + 50, START + 60]
    again = await store.recordings.begin(recording.sender_id, b"key", "link", "camera:0", START)
    assert again == replace(recording, stored=3)
    assert await ends() == [None, START + 50, START + 60]


async def test_between_finds_what_was_on(store: Store, recording: Recording) -> None:
    sender, _ = await store.accounts.add_sender("bed 5")
    on = await store.recordings.begin(sender.id, b"key", "whip", "browser", START + 100)
    await store.recordings.end(recording.id, START + 60)

    async def ids(*span: float, sender_id: int | None = None) -> list[int]:
        return [each.id for each in await store.recordings.between(*span, sender_id=sender_id)]

    assert await ids(START, START + 200) == [recording.id, on.id]
    assert await ids(START, START + 100) == [recording.id]
    assert await ids(START + 61, START + 200) == [on.id]
    assert await ids(START - 9, START) == []
    assert await ids(START, START + 200, sender_id=sender.id) == [on.id]


async def test_names_from_a_sender_are_made_safe(store: Store, recording: Recording) -> None:
    named = await store.recordings.begin(recording.sender_id, b"2", "link", "a\0b\x1b[31m\ud800" + "x" * 500, START)
    assert named.name.isprintable()
    assert len(named.name) == 200


@pytest.mark.parametrize(("key", "started_utc"), [(b"", START), (b"x" * 65, START), (b"x", 1e12), (b"x", float("nan"))])
async def test_recordings_that_cannot_be_are_refused(store: Store, key: bytes, started_utc: float) -> None:
    with pytest.raises(UsageError):
        await store.recordings.begin(1, key, "link", "n", started_utc)


ORDERS = st.lists(
    st.lists(st.tuples(st.integers(0, 4), st.booleans(), st.floats(-1, 1, width=32)), max_size=6), max_size=5
)


@given(order=ORDERS)
@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
async def test_a_number_is_stored_once_and_a_final_row_stays(
    store: Store, recording: Recording, order: list[list[tuple[int, bool, float]]]
) -> None:
    recording = await store.recordings.begin(recording.sender_id, os.urandom(8), "link", "n", START)
    expected: dict[int, Row] = {}
    for batch in order:
        rows = [row(number, valence=valence, is_final=is_final) for number, is_final, valence in batch]
        await store.recordings.append(recording.id, rows)
        for each in rows:
            if each.number not in expected or (each.is_final and not expected[each.number].is_final):
                expected[each.number] = each
    pages = store.recordings.rows(recording.sender_id, 0, 1e12)
    found = [each for page in [page async for page in pages] for _, own, each in page if own == recording.id]
    assert found == [expected[number] for number in sorted(expected)]


async def test_fused_estimates_replace_those_of_rows_that_are_there(store: Store, recording: Recording) -> None:
    rows = [replace(row(number), face=b"png") for number in range(4)]
    await store.recordings.append(recording.id, rows[:3], stored=3)
    fused = [row(number, valence=0.75) for number in (1, 3, 9)]
    await store.recordings.append(recording.id, rows[3:], stored=4, fused=fused)
    found = await stored_rows(store, recording)
    assert [(one.number, one.estimate.valence) for one in found] == [(0, 0.25), (1, 0.75), (2, 0.25), (3, 0.75)]
    assert all(one.face == b"png" for one in found)
    await store.recordings.append(recording.id, [row(1, valence=-1.0)])  # it comes again
    assert [one.estimate.valence for one in await stored_rows(store, recording)] == [0.25, 0.75, 0.25, 0.75]


async def test_stored_only_grows_and_memory_is_replaced(store: Store, recording: Recording) -> None:
    for stored, memory in ((5, b"a"), (3, None), (None, b"b")):
        await store.recordings.append(recording.id, [], stored, memory)
    found = await store.recordings.get(recording.id)
    assert found is not None
    assert (found.stored, found.memory) == (5, b"b")


async def test_rows_that_are_appended_at_once_are_all_stored(store: Store, recording: Recording) -> None:
    await asyncio.gather(*(store.recordings.append(recording.id, [row(number)], number + 1) for number in range(200)))
    assert await stored_rows(store, recording) == [row(number) for number in range(200)]
    found = await store.recordings.get(recording.id)
    assert found is not None
    assert found.stored == 200


async def test_a_caller_that_is_cancelled_disturbs_no_other(store: Store, recording: Recording) -> None:
    tasks = [asyncio.create_task(store.recordings.append(recording.id, [row(number)])) for number in range(20)]
    await asyncio.sleep(0)
    for task in tasks[::2]:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    assert {each.number for each in await stored_rows(store, recording)} >= set(range(1, 20, 2))


async def test_a_transaction_that_is_cancelled_leaves_the_store_usable(store: Store) -> None:
    for number in range(20):
        note = asyncio.create_task(store.audit.note("Ann", "looked at", f"sender {number}", "::1"))
        await asyncio.sleep(number * 0.0003)
        note.cancel()
        await asyncio.wait([note])
    await store.audit.note("Ann", "looked at", "the last", "::1")
    assert (await store.audit.last(1))[0].subject == "the last"
    assert await store.is_ready()


async def test_an_unknown_recording_is_refused_and_others_are_stored(store: Store, recording: Recording) -> None:
    answers = await asyncio.gather(
        store.recordings.append(recording.id, [row(0)]),
        store.recordings.append(999, [row(1)]),
        store.recordings.append(recording.id, [row(2)]),
        return_exceptions=True,
    )
    assert [type(answer) for answer in answers] == [type(None), UsageError, type(None)]
    assert await stored_rows(store, recording) == [row(0), row(2)]


@pytest.mark.parametrize(
    "bad", [row(2**63), row(-1), row(0, valence=float("nan")), row(0, time_s=1.1e9), row(0, face=2**64)]
)
async def test_values_that_cannot_be_stored_are_refused(store: Store, recording: Recording, bad: Row) -> None:
    with pytest.raises(UsageError):
        await store.recordings.append(recording.id, [row(1), bad])
    assert await stored_rows(store, recording) == []


async def test_faces_are_stored_where_they_are_kept(store: Store, recording: Recording) -> None:
    kept = replace(row(0), face=bytes(range(256)))
    await store.recordings.append(recording.id, [kept, row(1)])
    assert await stored_rows(store, recording) == [kept, row(1)]


# --- spans


async def test_rows_come_in_order_of_time_over_all_recordings_and_pages(
    store: Store, recording: Recording, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lowbeam.server.store.recordings.PAGE", 7)
    second = await store.recordings.begin(recording.sender_id, b"2", "link", "n", START + 1)
    other, _ = await store.accounts.add_sender("other")
    third = await store.recordings.begin(other.id, b"3", "link", "n", START)
    for each in (recording, second, third):
        await store.recordings.append(each.id, [row(number) for number in reversed(range(30))])
    pages = [page async for page in store.recordings.rows(recording.sender_id, START + 1, START + 5)]
    places = [(utc, recording_id, each.number) for page in pages for utc, recording_id, each in page]
    assert places == sorted(places)
    assert len(set(places)) == len(places) == 20 + 20
    assert {recording_id for _, recording_id, _ in places} == {recording.id, second.id}
    assert max(map(len, pages)) == 7


async def test_a_short_history_is_whole(store: Store, recording: Recording) -> None:
    await store.recordings.append(recording.id, [row(number, valence=number / 100) for number in range(100)])
    points = await store.recordings.history(recording.sender_id, START + 1, START + 3)
    assert [point.utc for point in points] == [START + number / 5 for number in range(5, 15)]
    assert points[0].valence == 0.05
    assert (points[0].recording_id, points[0].face, points[0].arousal_std) == (recording.id, 1, 0.2)


async def test_a_long_history_is_thinned_evenly(store: Store, recording: Recording) -> None:
    await store.recordings.append(recording.id, [row(number) for number in range(5000)])
    points = await store.recordings.history(recording.sender_id, START, START + 1e6, max_points=100)
    gaps = {round(b.utc - a.utc, 1) for a, b in pairwise(points)}
    assert len(points) == 100
    assert min(gaps) >= 4.8
    assert max(gaps) <= 15.2


async def test_a_thinned_history_shows_every_person(store: Store, recording: Recording) -> None:
    rows = [row(number, time_s=number // 3 / 5, face=number % 3) for number in range(3000)]
    await store.recordings.append(recording.id, rows)
    points = await store.recordings.history(recording.sender_id, START, START + 1e6, max_points=90)
    assert len(points) <= 90
    assert [point.utc for point in points] == sorted(point.utc for point in points)
    for face in range(3):
        assert sum(point.face == face for point in points) >= 25


async def test_a_thinned_history_shows_people_who_take_turns(store: Store, recording: Recording) -> None:
    await store.recordings.append(recording.id, [row(number, face=number % 2) for number in range(4000)])
    points = await store.recordings.history(recording.sender_id, START, START + 1e6, max_points=100)
    assert 30 <= sum(point.face for point in points) <= 70


async def test_a_thinned_history_has_a_point_of_a_short_visit(store: Store, recording: Recording) -> None:
    visits = [row(number, time_s=number // 20 * 600 + number % 20 / 5) for number in range(1000)]
    await store.recordings.append(recording.id, visits)
    points = await store.recordings.history(recording.sender_id, START, START + 1e6, max_points=200)
    assert {int(point.utc - START) // 600 for point in points} == set(range(50))


async def test_a_history_of_one_time_is_bounded_too(store: Store, recording: Recording) -> None:
    await store.recordings.append(recording.id, [row(number, time_s=1.0, face=number) for number in range(50)])
    assert len(await store.recordings.history(recording.sender_id, START, START + 2, max_points=10)) == 10


# --- retention


async def test_retention_deletes_what_is_older(
    store: Store, recording: Recording, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lowbeam.server.store.retention.AT_ONCE", 7)
    later = await store.recordings.begin(recording.sender_id, b"2", "link", "n", START + 100)
    await store.recordings.append(recording.id, [row(number) for number in range(50)], stored=50)
    await store.recordings.append(later.id, [row(number) for number in range(50)], stored=50)
    await store.recordings.end(recording.id, START + 10)
    assert await store.recordings.delete_before(START + 105) == 50 + 25
    assert await store.recordings.get(recording.id) is None
    assert await store.recordings.get(later.id) == replace(later, stored=50)
    assert await stored_rows(store, later) == [row(number) for number in range(25, 50)]
    assert await store.recordings.delete_before(START + 105) == 0


async def test_retention_keeps_a_recording_that_is_on(store: Store, recording: Recording) -> None:
    await store.recordings.append(recording.id, [row(0)], stored=1)
    assert await store.recordings.delete_before(START + 1000) == 1
    await store.recordings.append(recording.id, [row(1)], stored=2)
    assert await stored_rows(store, recording) == [row(1)]


async def test_nothing_of_a_deleted_face_is_left_in_the_files_of_sqlite(tmp_path: Path) -> None:
    store = await Store.open(f"sqlite:///{tmp_path / 'store.db'}")
    sender, _ = await store.accounts.add_sender("a")
    recording = await store.recordings.begin(sender.id, b"key", "link", "n", START)
    face = b"the face of a person" * 50

    def found() -> bool:
        return any(face[:20] in file.read_bytes() for file in tmp_path.iterdir())

    old = [replace(row(number), face=face) for number in range(0, 500, 2)]
    new = [row(number, time_s=1000 + number) for number in range(1, 500, 2)]  # in the same pages
    await store.recordings.append(recording.id, old + new)
    size = (tmp_path / "store.db").stat().st_size + (tmp_path / "store.db-wal").stat().st_size
    assert found()
    assert await store.recordings.delete_before(START + 1000) == len(old)
    assert not found()
    assert (tmp_path / "store.db").stat().st_size < size / 2
    await store.close()


# --- failures


async def test_a_store_that_another_process_locks_fails_in_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(database, "BUSY_S", 0.05)
    store = await Store.open(f"sqlite:///{tmp_path / 'store.db'}")
    other = sqlite3.connect(tmp_path / "store.db", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(OutputError, match="database is locked"):
        await store.accounts.add_sender("a")
    assert await store.accounts.senders() == []  # reading goes on
    other.execute("ROLLBACK")
    other.close()
    await store.accounts.add_sender("a")
    await store.close()


async def test_a_full_disk_fails_in_one_line_and_loses_nothing(tmp_path: Path) -> None:
    store = await Store.open(f"sqlite:///{tmp_path / 'store.db'}")
    sender, _ = await store.accounts.add_sender("a")
    recording = await store.recordings.begin(sender.id, b"key", "link", "n", START)
    await store.recordings.append(recording.id, [row(0)], stored=1)

    @event.listens_for(store._database.engine.sync_engine, "begin")
    def fill(connection: object) -> None:
        connection.exec_driver_sql("PRAGMA max_page_count = 1")  # type: ignore[attr-defined]  # no page more

    with pytest.raises(OutputError, match="full") as raised:
        await store.recordings.append(recording.id, [replace(row(1), face=bytes(10**6))], stored=2)
    assert "\n" not in str(raised.value)
    assert await stored_rows(store, recording) == [row(0)]
    found = await store.recordings.get(recording.id)
    assert found is not None
    assert found.stored == 1
    await store.close()


async def test_a_server_that_is_gone_fails_in_one_line_and_comes_back(postgres: Postgres, clock: Clock) -> None:
    store = await Store.open(postgres.new_database(), clock)
    sender, _ = await store.accounts.add_sender("a")
    postgres.stop()
    try:
        with pytest.raises(OutputError, match="the store postgresql") as raised:
            await store.accounts.senders()
        assert "open-sesame" not in str(raised.value)
        assert "\n" not in str(raised.value)
        assert not await store.is_ready()
    finally:
        postgres.start()
    assert await store.accounts.senders() == [sender]
    assert await store.is_ready()
    await store.close()


# --- kill -9


def append_until_killed(url: str, key: bytes, acknowledged: Connection) -> None:
    """Go on with a recording: append batches, report how many faces are stored after each."""

    async def run() -> None:
        store = await Store.open(url)
        recording = await store.recordings.begin(1, key, "link", "n", START)
        done = recording.stored
        while True:
            again = max(done - 3, 0)  # some are sent twice
            rows = [row(number) for number in range(again, done + 4)] + [row(done + 4, is_final=False)]
            await store.recordings.append(recording.id, rows, stored=done + 4)
            done += 4
            acknowledged.send(done)

    asyncio.run(run())


def test_what_is_acknowledged_survives_kill_9_of_the_writer(store_url: str) -> None:
    async def prepare() -> None:
        store = await Store.open(store_url)
        await store.accounts.add_sender("a")
        await store.close()

    async def check(acknowledged: int) -> int:
        store = await Store.open(store_url)
        recording = await store.recordings.begin(1, b"key", "link", "n", START)
        rows = await stored_rows(store, recording)
        await store.close()
        finals = [each.number for each in rows if each.is_final]
        assert recording.stored >= acknowledged
        assert finals == list(range(recording.stored))
        assert [each.number for each in rows] == list(range(len(rows)))
        return recording.stored

    asyncio.run(prepare())
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["tests.test_server_store"])
    chance = random.Random(1)
    stored = 0
    for _ in range(10):
        reports, acknowledged = context.Pipe(duplex=False)
        process = context.Process(target=append_until_killed, args=(store_url, b"key", acknowledged))
        process.start()
        acknowledged.close()
        last = reports.recv()
        process.join(chance.uniform(0, 0.2))
        process.kill()
        process.join()
        while True:
            try:
                last = reports.recv()
            except EOFError:
                break
        assert last > stored
        stored = asyncio.run(check(last))


async def test_a_defect_of_the_store_keeps_no_caller_waiting(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = await Store.open(f"sqlite:///{tmp_path / 'store.sqlite'}")
    sender, _ = await store.accounts.add_sender("a")
    recording = await store.recordings.begin(sender.id, b"key", "link", "n", START)

    async def failing(*arguments: object) -> None:
        raise RuntimeError("a defect")

    with monkeypatch.context() as broken, pytest.raises(RuntimeError, match="a defect"):
        broken.setattr(Appender, "_store", failing)
        async with asyncio.timeout(5):
            await store.recordings.append(recording.id, [row(0)], stored=1)
    await store.recordings.append(recording.id, [row(0)], stored=1)
    assert len(await stored_rows(store, recording)) == 1
    await store.close()


async def test_what_is_acknowledged_survives_kill_9_of_the_database(postgres: Postgres) -> None:
    store = await Store.open(postgres.new_database())
    sender, _ = await store.accounts.add_sender("a")
    recording = await store.recordings.begin(sender.id, b"key", "link", "n", START)
    done = 0

    async def append() -> None:
        nonlocal done
        while True:
            try:
                await store.recordings.append(recording.id, [row(done)], stored=done + 1)
            except OutputError:
                await asyncio.sleep(0.02)
            else:
                done += 1

    appending = asyncio.create_task(append())
    for _ in range(3):
        before = done
        while done < before + 20:
            await asyncio.sleep(0.01)
        postgres.stop(signal.SIGKILL)
        await asyncio.sleep(0.05)
        postgres.start()
    before = done
    while done == before:
        await asyncio.sleep(0.01)
    appending.cancel()
    await asyncio.wait([appending])
    numbers = [each.number for each in await stored_rows(store, recording)]
    await store.close()
    assert numbers in (list(range(done)), list(range(done + 1)))
