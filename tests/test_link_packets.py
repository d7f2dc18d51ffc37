"""Packets of estimates over the link: the server stores every sample once, as a file gives it; stores are upgraded."""

import asyncio
import sqlite3
import time
from itertools import pairwise
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import psycopg
import pytest

pytest.importorskip("aioquic", reason="aioquic comes with the extra link")
pytest.importorskip("sqlalchemy", reason="SQLAlchemy comes with the extra serve")

from alembic import command
from alembic.config import Config
from sqlalchemy import text
from sqlalchemy.exc import IntegrityError

import lowbeam
from lowbeam.codec import OperatingPoint, PlacedFace
from lowbeam.codec.compact.policy import CompactFixed
from lowbeam.codec.compact.track_encoder import CompactTrackEncoder
from lowbeam.codec.layers import Layers
from lowbeam.codec.policy import Fixed
from lowbeam.codec.track_encoders import AnyPolicy
from lowbeam.container import FaceStreamWriter
from lowbeam.face import Face
from lowbeam.link import Address, Receiver, Sender, SendingOptions, Spool, fingerprint, own_certificate
from lowbeam.link.policy import CompactLinkPolicy, LinkPolicy, link_layers
from lowbeam.recognize import Recognizer
from lowbeam.server.hub import Hub
from lowbeam.server.link_ingest import LinkIngest
from lowbeam.server.store import Row, Store, migrations
from lowbeam.server.store.database import Database
from lowbeam.server.workers import Workers
from lowbeam.trace import Estimate
from tests.compact_source import NOTHING, POINT, Feeling, face_of, feeling, regular
from tests.ports import free_port
from tools.relay import Relay

pytest_plugins = ["tests.server_database"]

PERIOD_S = 0.02  # real seconds between frames, which are 0.1 s of the source apart: five times as fast
SECONDS = 12.0
START = 1.7e9


class KeepingEncoder(CompactTrackEncoder):
    """The encoder of a sender, which keeps what it coded."""

    made: ClassVar[list["KeepingEncoder"]] = []

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self.kept: list[PlacedFace] = []
        self.made.append(self)

    def flush(self) -> list[PlacedFace]:
        found = super().flush()
        self.kept += found
        return found


Frames = list[tuple[float, list[Face]]]


def two_people(seconds: float = SECONDS) -> Frames:
    """The second is away for a while."""
    return [
        (time_s, [face_of(time_s, person) for person in (0, 1) if person == 0 or not 3 <= time_s < 6])
        for time_s in regular(10, seconds)
    ]


def send(frames: Frames, layers: Layers, token: str, pin: str, port: int) -> None:
    options = SendingOptions(Address("127.0.0.1", port), token, pin, latency_s=0.0)
    with Sender(options, Spool(), layers, name="camera", make_mirror=Feeling) as sender:
        for time_s, faces in frames:
            if layers.looks_at(time_s):
                sender.send(time_s, faces)
            time.sleep(PERIOD_S)
        assert sender.finish(40)


async def stored_by_server(
    frames: Frames, policy: AnyPolicy | Layers, folder: Path, loss: float, keep_faces: bool = False
) -> list[Row]:
    layers = policy if isinstance(policy, Layers) else Layers([policy])
    store, workers, port = await Store.open(f"sqlite:///{folder / 'store.sqlite'}"), Workers(count=1), free_port()
    sender, token = await store.accounts.add_sender("camera")
    certificate, key = own_certificate(folder, "127.0.0.1")
    ingest = LinkIngest(store, Hub(), workers, keep_faces=keep_faces)
    async with Receiver(certificate, key, authorize=ingest.authorize, port=port, stores_itself=True) as receiver:
        running = asyncio.create_task(ingest.run(receiver))
        with Relay(("127.0.0.1", port), bps=64_000, delay_s=0.02, loss=loss, seed=3) as relay:
            await asyncio.to_thread(send, frames, layers, token, fingerprint(certificate), relay.port)
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
    pages = [page async for page in store.recordings.rows(sender.id, 0.0, time.time() + 600)]
    workers.close()
    await store.close()
    return [row for page in pages for _, _, row in page]


def read_from_file(path: Path) -> list[Estimate]:
    """What the kept packets give as a file."""
    encoders = [encoder for encoder in KeepingEncoder.made if encoder.kept]
    with path.open("wb") as file, FaceStreamWriter(file, (640, 360)) as writer:
        tracks = [writer.add_track(encoder.header, POINT) for encoder in encoders]
        pairs = [(track, placed) for track, encoder in zip(tracks, encoders, strict=True) for placed in encoder.kept]
        for track, placed in sorted(pairs, key=lambda pair: pair[1].coded.time_ms):
            track.write(placed)
    return list(lowbeam.read(path, faces="all"))


@pytest.fixture(autouse=True)
def keeping(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(KeepingEncoder, "made", [])
    monkeypatch.setattr("lowbeam.codec.track_encoders.CompactTrackEncoder", KeepingEncoder)


def in_order(estimates: list[Estimate]) -> list[Estimate]:
    return sorted(estimates, key=lambda one: (one.time_s, one.face))


@pytest.mark.parametrize("loss", [0.0, 0.2])
def test_the_server_stores_every_sample_once_as_a_file_gives_it(tmp_path: Path, loss: float) -> None:
    frames = [(time_s, [face_of(time_s)]) for time_s in regular(10, SECONDS)]
    rows = asyncio.run(stored_by_server(frames, CompactFixed(POINT), tmp_path, loss))
    from_file = read_from_file(tmp_path / "face.mkv")
    assert len(from_file) == 120
    assert all(row.is_final for row in rows)
    places = [(row.number, row.place) for row in rows]
    assert len(set(places)) == len(places)
    assert places == sorted(places)
    assert {row.place for row in rows} == set(range(10))
    stored = [row.estimate for row in rows]
    assert [one.time_s for one in stored] == [one.time_s for one in from_file]
    np.testing.assert_allclose(np.array(stored), np.array(from_file), atol=1e-6)


@pytest.mark.parametrize("loss", [0.0, 0.2])
def test_two_people_are_stored_as_a_file_gives_them(tmp_path: Path, loss: float) -> None:
    rows = asyncio.run(stored_by_server(two_people(), CompactFixed(POINT), tmp_path, loss))
    stored, from_file = in_order([row.estimate for row in rows]), in_order(read_from_file(tmp_path / "face.mkv"))
    assert len(from_file) == 120 + 90
    assert [(one.time_s, one.face) for one in stored] == [(one.time_s, one.face) for one in from_file]
    np.testing.assert_allclose(np.array(stored)[:, 2:6], np.array(from_file)[:, 2:6], atol=1e-6)


def test_people_who_come_at_different_times_keep_their_times(tmp_path: Path) -> None:
    """The first comes late within a span of 3 s; the packet of the second begins earlier and is sent after it."""

    def seen(time_s: float) -> list[int]:
        return [0, 1] if time_s < 1 or 5 <= time_s < 8 else [1] if time_s < 9 else [0, 1]

    frames = [(time_s, [face_of(time_s, person) for person in seen(time_s)]) for time_s in regular(10, SECONDS)]
    rows = asyncio.run(stored_by_server(frames, CompactFixed(POINT, 3.0), tmp_path, 0.0))
    stored, from_file = in_order([row.estimate for row in rows]), in_order(read_from_file(tmp_path / "face.mkv"))
    assert [(one.time_s, one.face) for one in stored] == [(one.time_s, one.face) for one in from_file]


def test_times_that_are_stored_are_those_of_the_source(tmp_path: Path) -> None:
    frames = [(time_s, [face_of(time_s)]) for time_s in regular(10, SECONDS)]
    (policy,) = link_layers("estimates", latency_s=2.0).policies
    assert isinstance(policy, CompactLinkPolicy)
    rows = asyncio.run(stored_by_server(frames, policy, tmp_path, 0.0))
    assert {row.number for row in rows} in ({*range(6)}, {*range(7)})  # a new connection ends a packet
    for row in rows:
        assert abs(row.estimate.valence - feeling(row.estimate.time_s, 0).valence) < 0.35
    assert all(b.estimate.time_s > a.estimate.time_s for a, b in pairwise(rows))


def test_a_server_that_keeps_faces_keeps_nothing_of_estimates(tmp_path: Path) -> None:
    frames = [(time_s, [face_of(time_s)]) for time_s in regular(10, 3)]
    rows = asyncio.run(stored_by_server(frames, CompactFixed(POINT), tmp_path, 0.0, keep_faces=True))
    assert len(rows) == 30
    assert {row.face for row in rows} == {None}


def test_the_server_fuses_what_comes_in_two_layers(tmp_path: Path) -> None:
    """The faces are black: what the network reads in them is far from what the camera's own estimates tell."""
    frames = [(time_s, [face_of(time_s)]) for time_s in regular(10, SECONDS)]
    layers = Layers([CompactFixed(POINT), Fixed(OperatingPoint("hevc", 8, 32, 4.0))])
    rows = asyncio.run(stored_by_server(frames, layers, tmp_path, 0.0))
    packets = {row.number for row in rows if row.place}
    lean = [row.estimate for row in rows if row.number in packets]
    rich = [row.estimate for row in rows if row.number not in packets]
    assert len(lean) >= 110  # a packet with one sample counts as rich here
    assert len(rich) >= 40
    black = Recognizer()(NOTHING[None, :12, :12])
    for one in rich:
        near = min(lean, key=lambda other: abs(other.time_s - one.time_s))
        assert min(near.valence, black.valence[0]) - 0.2 < one.valence < max(near.valence, black.valence[0]) + 0.2
        assert one.valence_std <= near.valence_std + 1e-6
    told = [feeling(one.time_s, 0).valence for one in rich]
    assert np.corrcoef(told, [one.valence for one in rich])[0, 1] > 0.95


def test_the_policy_of_the_link_is_that_of_the_codec() -> None:
    assert isinstance(link_layers("estimates").policies[0], CompactLinkPolicy)
    assert isinstance(link_layers("hevc").policies[0], LinkPolicy)
    policy = CompactLinkPolicy("estimates")
    before_s = policy.latency_s
    policy.follow(150.0, False, 1.0)
    assert policy.latency_s > before_s
    assert policy.report.budget.bps == 150
    policy.follow(155.0, False, 2.0)  # nearly the same
    assert policy.report.budget.bps == 150


# --- upgrading a store


def upgrade_to(revision: str) -> Any:
    """Upgrade a connection to a revision."""
    config = Config()
    config.set_main_option("script_location", str(Path(migrations.__file__).parent))

    def run(connection: Any) -> None:
        config.attributes["connection"] = connection
        command.upgrade(config, revision)

    return run


async def make_first_version(url: str, count: int) -> None:
    """A store as version 0001 left it, with two recordings of one sender."""
    database = Database.at(url)
    async with database.writing() as session:
        connection = await session.connection()
        await connection.run_sync(upgrade_to("0001"))
        await session.execute(text("INSERT INTO senders (name, secret_hash, created_utc) VALUES ('bed', 'x', 1.0)"))
        for key in ("a", "b"):
            await session.execute(
                text(
                    "INSERT INTO recordings (sender_id, key, kind, name, started_utc, stored, memory) "
                    "VALUES (1, :key, 'link', 'camera', :start, :count, :memory)"
                ),
                {"key": key.encode(), "start": START, "count": count, "memory": b"state"},
            )
        rows = [
            {"r": recording, "n": number, "u": START + number / 5, "t": number / 5, "v": number / count, "i": image,
             "f": number % 3 == 0}
            for recording in (1, 2) for number in range(count)
            for image in [bytes([number % 256]) * 5 if number % 2 else None]
        ]  # fmt: skip
        await session.execute(
            text(
                "INSERT INTO estimates (recording_id, number, sender_id, utc, time_s, face, valence, arousal, "
                "valence_std, arousal_std, x, y, side, arrived_utc, is_final, image) VALUES "
                "(:r, :n, 1, :u, :t, 2, :v, -0.5, 0.1, 0.2, 10.0, 20.0, 96.0, :u, :f, :i)"
            ),
            rows,
        )
    await database.close()


@pytest.mark.anyio
async def test_an_upgraded_store_has_all_rows(store_url: str) -> None:
    await make_first_version(store_url, 500)
    store = await Store.open(store_url)
    try:
        rows = [row async for page in store.recordings.rows(1, 0, 1e12) for row in page]
        assert len(rows) == 1000
        for utc, recording, row in rows:
            assert recording in (1, 2)
            assert (row.place, utc, row.estimate.time_s) == (0, START + row.number / 5, row.number / 5)
            assert row.estimate.valence == row.number / 500
            assert row.face == (bytes([row.number % 256]) * 5 if row.number % 2 else None)
            assert row.is_final == (row.number % 3 == 0)
        found = await store.recordings.get(1)
        assert found is not None
        assert (found.stored, found.memory) == (500, b"state")
    finally:
        await store.close()


@pytest.mark.anyio
async def test_an_upgraded_store_takes_packets_and_goes_on(store_url: str) -> None:
    await make_first_version(store_url, 5)
    store = await Store.open(store_url)
    estimate = Estimate(1.0, 2, 0.5, 0.5, 0.1, 0.1, 1.0, 2.0, 3.0)
    try:
        rows = [Row(5, estimate._replace(time_s=1 + place / 10), START, True, None, place) for place in range(8)]
        await store.recordings.append(1, rows, stored=6)
        await store.recordings.append(1, rows, stored=6)  # sent twice
        await store.recordings.append(1, [Row(1, estimate, START, True)])  # was not final
        await store.recordings.append(1, [Row(0, estimate, START, True)])  # was
        found = [row async for page in store.recordings.rows(1, 0, 1e12) for _, one, row in page if one == 1]
        assert sorted((row.number, row.place) for row in found) == [
            *((number, 0) for number in range(5)), *((5, place) for place in range(8)),
        ]  # fmt: skip
        by_number = {row.number: row.estimate.valence for row in found if row.place == 0}
        assert (by_number[0], by_number[1]) == (0.0, 0.5)
        async with store._database.writing() as session:
            with pytest.raises(IntegrityError):
                await session.execute(
                    text(
                        "INSERT INTO estimates SELECT recording_id, number, sender_id, utc, time_s, face, valence, "
                        "arousal, valence_std, arousal_std, x, y, side, arrived_utc, is_final, image, place "
                        "FROM estimates WHERE number = 5 AND place = 3"
                    )
                )
            await session.rollback()
        assert await store.recordings.delete_before(START + 1.05) > 0
    finally:
        await store.close()


@pytest.mark.anyio
async def test_an_upgraded_store_is_like_a_new_one(
    store_url: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    await make_first_version(store_url, 3)
    is_sqlite = store_url.startswith("sqlite")
    fresh = f"sqlite:///{tmp_path / 'fresh.db'}" if is_sqlite else request.getfixturevalue("postgres").new_database()
    for url in (store_url, fresh):
        await (await Store.open(url)).close()
    upgraded, new = (_shape(url) for url in (store_url, fresh))
    assert upgraded == new
    assert any("ix_estimates_span" in str(part) for part in upgraded)
    assert is_sqlite == any("WITHOUT ROWID" in str(part) for part in upgraded)


def _shape(url: str) -> list[Any]:
    """Everything that the database knows of the table of estimates."""
    if url.startswith("sqlite"):
        with sqlite3.connect(url.removeprefix("sqlite:///")) as connection:
            tables = connection.execute(
                "SELECT sql FROM sqlite_master WHERE tbl_name = 'estimates' AND sql IS NOT NULL"
            )
            return [
                sorted(line.strip(" \t,") for (sql,) in tables for line in sql.splitlines()),  # in any order
                sorted(found[2:] for found in connection.execute("PRAGMA foreign_key_list(estimates)")),
                *connection.execute("PRAGMA table_info(estimates)"),
            ]
    with psycopg.connect(url.replace("+psycopg", "")) as server:
        return [
            *server.execute("SELECT indexdef FROM pg_indexes WHERE tablename = 'estimates' ORDER BY 1"),
            *server.execute(
                "SELECT conname, pg_get_constraintdef(oid) FROM pg_constraint WHERE conrelid = 'estimates'::regclass "
                "ORDER BY 1"
            ),
            *server.execute(
                "SELECT column_name, data_type, is_nullable, column_default FROM information_schema.columns "
                "WHERE table_name = 'estimates' ORDER BY 1"
            ),
        ]


@pytest.mark.anyio
async def test_samples_of_one_time_come_on_the_right_pages(store_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lowbeam.server.store.recordings.PAGE", 7)
    store = await Store.open(store_url)
    try:
        sender, _ = await store.accounts.add_sender("a")
        recording = await store.recordings.begin(sender.id, b"k", "link", "n", START)
        same = Estimate(1.0, 2, 0.5, 0.5, 0.1, 0.1, 1.0, 2.0, 3.0)
        rows = [Row(number, same, START, True, None, place) for number in range(3) for place in range(10)]
        await store.recordings.append(recording.id, rows)
        found = [
            (row.number, row.place) async for page in store.recordings.rows(sender.id, 0, 1e12) for _, _, row in page
        ]
        assert found == [(number, place) for number in range(3) for place in range(10)]
    finally:
        await store.close()
