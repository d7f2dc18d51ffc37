"""Sends frames over a lossy link to a server, for tests of packets and layers: what was sent, and what is stored."""

import asyncio
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from lowbeam.codec import CodedFace, TrackHeader
from lowbeam.codec.layers import Layers
from lowbeam.codec.policy import Mirror
from lowbeam.face import Face
from lowbeam.link import Address, Receiver, Sender, SendingOptions, Spool, fingerprint, own_certificate
from lowbeam.link.recording_sender import RecordingSender
from lowbeam.server.hub import Hub
from lowbeam.server.link_ingest import LinkIngest
from lowbeam.server.store import Row, Store
from lowbeam.server.workers import Workers
from tests.compact_source import Feeling
from tests.ports import free_port
from tools.relay import Relay

Frames = Sequence[tuple[float, list[Face]]]
Sent = list[list[tuple[TrackHeader, CodedFace]]]  # of each track
PERIOD_S = 0.02  # real seconds between frames


async def sent_and_stored(
    frames: Frames, layers: Layers, folder: Path, loss: float, make_mirror: Callable[[], Mirror] = Feeling
) -> tuple[list[Row], Sent]:
    """The rows that a server has stored of `frames`, and what was sent of each track."""
    store, workers, port = await Store.open(f"sqlite:///{folder / 'store.sqlite'}"), Workers(count=1), free_port()
    camera, token = await store.accounts.add_sender("camera")
    certificate, key = own_certificate(folder, "127.0.0.1")
    ingest = LinkIngest(store, Hub(), workers)
    sent: dict[int, list[tuple[TrackHeader, CodedFace]]] = {}

    def send(relay_port: int) -> None:
        options = SendingOptions(Address("127.0.0.1", relay_port), token, fingerprint(certificate), latency_s=0.0)
        with Sender(options, Spool(), layers, name="camera", make_mirror=make_mirror) as sender:
            keep(sender._recording, sent)
            for time_s, faces in frames:
                if layers.looks_at(time_s):
                    sender.send(time_s, faces)
                time.sleep(PERIOD_S)
            assert sender.finish(40)

    async with Receiver(certificate, key, authorize=ingest.authorize, port=port, stores_itself=True) as receiver:
        running = asyncio.create_task(ingest.run(receiver))
        with Relay(("127.0.0.1", port), bps=64_000, delay_s=0.02, loss=loss, seed=3) as relay:
            await asyncio.to_thread(send, relay.port)
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
    pages = [page async for page in store.recordings.rows(camera.id, 0.0, time.time() + 600)]
    workers.close()
    await store.close()
    return [row for page in pages for _, _, row in page], [sent[track] for track in sorted(sent)]


def keep(recording: RecordingSender, sent: dict[int, list[tuple[TrackHeader, CodedFace]]]) -> None:
    """Keep what is given to a recording, by track."""
    add = recording.add

    def kept(coded: CodedFace, track: int, header: TrackHeader, *others: object) -> None:
        sent.setdefault(track, []).append((header, coded))
        add(coded, track, header, *others)  # type: ignore[arg-type]

    recording.add = kept  # type: ignore[method-assign,assignment]
