"""The live way and the file way give the same estimates: what the server stores is what `lowbeam.read` finds."""

import asyncio
import time
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest

pytest.importorskip("aioquic", reason="aioquic comes with the extra link")
pytest.importorskip("sqlalchemy", reason="SQLAlchemy comes with the extra serve")

import lowbeam
from lowbeam.codec import OperatingPoint, PlacedFace
from lowbeam.codec.layers import Layers
from lowbeam.codec.policy import Fixed
from lowbeam.codec.track_encoder import TrackEncoder
from lowbeam.container import FaceStreamWriter
from lowbeam.face import Box, Face
from lowbeam.link import Address, Receiver, Sender, SendingOptions, Spool, fingerprint, own_certificate
from lowbeam.scale import Faces
from lowbeam.server.hub import Hub
from lowbeam.server.link_ingest import LinkIngest
from lowbeam.server.store import Store
from lowbeam.server.workers import Workers
from lowbeam.trace import Estimate
from tests.ports import free_port
from tools.relay import Relay

POINT = OperatingPoint("hevc", 8, 32, 12.5)
PERIOD_S = 0.08
TOLERANCE = 1e-4  # of valence and arousal: faces are estimated in other batches
BOX_TOLERANCE_PX = 4.0  # a small move is sent with the next key face by the link, later in a file


def frames_of(faces: Faces) -> list[list[Face]]:
    """Two people in each frame, whose boxes move; the second is away for a while."""
    return [
        [
            Face(index * PERIOD_S, person, Box(10.0 + 150 * person + index, 20.0, 80.0), faces[(index * step) % 50])
            for person, step in ((0, 1), (1, 3))
            if person == 0 or not 10 <= index < 20
        ]
        for index in range(len(faces))
    ]


class KeepingEncoder(TrackEncoder):
    """The encoder of a sender, which keeps what it coded as the container takes it."""

    made: ClassVar[list["KeepingEncoder"]] = []

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self.kept: list[PlacedFace] = []
        self.made.append(self)

    def encode(self, face: Face) -> list[PlacedFace]:
        is_restarted = self._is_restarted
        found = super().encode(face)
        for placed in found:
            config = self._encoder.in_band_config if is_restarted and placed is found[0] else b""
            self.kept.append(replace(placed, coded=replace(placed.coded, data=config + placed.coded.data)))
        return found


def read_from_file(encoders: list[KeepingEncoder], path: Path) -> list[Estimate]:
    with path.open("wb") as file, FaceStreamWriter(file, (640, 360)) as writer:
        tracks = [writer.add_track(encoder.header, POINT) for encoder in encoders]
        pairs = [(track, placed) for track, encoder in zip(tracks, encoders, strict=True) for placed in encoder.kept]
        for track, placed in sorted(pairs, key=lambda pair: pair[1].coded.time_ms):
            track.write(placed)
    return list(lowbeam.read(path, faces="all"))


def send(frames: list[list[Face]], token: str, pin: str, port: int) -> None:
    options = SendingOptions(Address("127.0.0.1", port), token, pin)
    with Sender(options, Spool(), Layers([Fixed(POINT)]), name="camera") as sender:
        for number, frame in enumerate(frames):
            sender.send(number * PERIOD_S, frame)
            time.sleep(PERIOD_S)
        assert sender.finish(40)


async def stored_by_server(frames: list[list[Face]], folder: Path, loss: float) -> list[Estimate]:
    store, workers, port = await Store.open(f"sqlite:///{folder / 'store.sqlite'}"), Workers(count=1), free_port()
    sender, token = await store.accounts.add_sender("camera")
    certificate, key = own_certificate(folder, "127.0.0.1")
    ingest = LinkIngest(store, Hub(), workers)
    async with Receiver(certificate, key, authorize=ingest.authorize, port=port, stores_itself=True) as receiver:
        running = asyncio.create_task(ingest.run(receiver))
        with Relay(("127.0.0.1", port), bps=64_000, delay_s=0.02, loss=loss, seed=3) as relay:
            await asyncio.to_thread(send, frames, token, fingerprint(certificate), relay.port)
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
    pages = [page async for page in store.recordings.rows(sender.id, 0.0, time.time() + 60)]
    workers.close()
    await store.close()
    return [row.estimate for page in pages for _, _, row in page]


def in_order(estimates: list[Estimate]) -> list[Estimate]:
    return sorted(estimates, key=lambda one: (one.time_s, one.face))


@pytest.mark.parametrize("loss", [0.0, 0.2])
def test_the_server_stores_what_a_file_with_the_same_faces_gives(
    tmp_path: Path, hr_faces: Faces, loss: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(KeepingEncoder, "made", [])
    monkeypatch.setattr("lowbeam.codec.track_encoders.TrackEncoder", KeepingEncoder)
    stored = in_order(asyncio.run(stored_by_server(frames_of(hr_faces), tmp_path, loss)))
    from_file = in_order(read_from_file(KeepingEncoder.made, tmp_path / "face.mkv"))
    assert len(from_file) == 90
    assert [(one.time_s, one.face) for one in stored] == [(one.time_s, one.face) for one in from_file]
    live, file = np.array(stored)[:, 2:], np.array(from_file)[:, 2:]
    np.testing.assert_allclose(live[:, :4], file[:, :4], atol=TOLERANCE, rtol=0)
    np.testing.assert_allclose(live[:, 4:], file[:, 4:], atol=BOX_TOLERANCE_PX, rtol=0)
    assert np.ptp(file[:, 0]) > 100 * TOLERANCE  # the faces differ
