"""Takes the faces of the link: has them estimated, stored and shown, and confirms what is stored."""

import asyncio
import logging
import time
from functools import partial

from lowbeam.errors import OutputError, UsageError
from lowbeam.link.incoming import Accepted, Incoming, Item
from lowbeam.link.messages import Hello
from lowbeam.link.receiver import Receiver
from lowbeam.server.batches import Batches
from lowbeam.server.failures import Failures
from lowbeam.server.followed import Followed
from lowbeam.server.hub import Hub, LiveStream
from lowbeam.server.link_stream import LinkStream
from lowbeam.server.store import Store
from lowbeam.server.workers import Workers

AWAY_S = 60.0  # seconds after which a sender that is cut off is not shown any more
FORGET_S = 900.0  # seconds after which what waits for it is forgotten: it sends it again
MOST_WAITING = 4096  # items of one stream; no link fills it, since the server estimates some thousand faces a second
DRAIN_S = 5.0  # that what has come may take to be stored when the server ends

log = logging.getLogger(__name__)


class LinkIngest:
    """Runs a receiver: everything that it yields is estimated, stored and shown."""

    def __init__(self, store: Store, hub: Hub, workers: Workers, *, keep_faces: bool = False) -> None:
        self._store, self._hub = store, hub
        self._streams: dict[bytes, LinkStream] = {}
        self._batches = [Batches(store, hub, workers, number, keep_faces) for number in range(workers.count)]
        self._failures = Failures()

    async def authorize(self, hello: Hello, address: str) -> Accepted | str:
        """Let in the senders whose token the store knows (an `Authorize`). Raises `LowbeamError` if they have to try
        again later: a database that is down must not end a camera."""
        if self._failures.is_limited(address):
            raise UsageError("too many wrong tokens came from this address")
        sender = await self._store.accounts.sender_of(hello.token)
        if sender is None:
            self._failures.add(address)
            return "the token is unknown or was revoked"
        name = hello.name or sender.name
        recording = await self._store.recordings.begin(
            sender.id, hello.key, "link", name, hello.started_ms / 1000
        )  # fmt: skip
        if (stream := self._streams.get(hello.key)) is not None:
            stream.stored = max(stream.stored, recording.stored)
        else:
            live = LiveStream(recording.id, sender.id, sender.name, "link", recording.started_utc)
            self._streams[hello.key] = LinkStream(recording, Followed(recording.memory), live, recording.stored)
        return Accepted(sender.id, recording.stored)

    async def run(self, receiver: Receiver) -> None:
        """Take what `receiver` yields until this task is cancelled; what has come is then stored."""
        processed = partial(self._processed, receiver)
        tasks = [asyncio.create_task(one.run(processed)) for one in self._batches]
        tidying = asyncio.create_task(self._tidy(receiver))
        try:
            async for item in receiver:
                self._take(item)
        finally:
            tidying.cancel()
            await asyncio.wait([asyncio.create_task(one.drained()) for one in self._batches], timeout=DRAIN_S)
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    def _take(self, item: Item) -> None:
        stream = self._streams.get(item.recording.key)
        if stream is not None and not item.recording.is_dropped:
            stream.incoming = item.recording
            stream.is_flooded |= len(stream.waiting) >= MOST_WAITING
            if not stream.is_flooded:
                self._batches[stream.live.id % len(self._batches)].add(stream, item)

    async def _processed(self, receiver: Receiver, stream: LinkStream, has_failed: bool) -> None:
        """What came of a stream is stored, or could not be: then its sender has to send it again."""
        incoming = stream.incoming
        assert incoming is not None
        if has_failed:
            self._hub.end(stream.live.id)
            self._streams.pop(incoming.key, None)
            receiver.drop(incoming, "the server could not store the faces")
        else:
            receiver.stored(incoming, stream.stored)
            await self._show(stream)

    async def _show(self, stream: LinkStream) -> None:
        """Show how the link is doing; begin and end the stream."""
        incoming, live, now = stream.incoming, stream.live, time.time()
        assert incoming is not None
        stream.tell(now)
        if incoming.is_complete:
            await self._store.recordings.end(stream.recording.id, now)
            if incoming.is_complete:  # still: it may have begun again
                self._hub.end(live.id)
                self._streams.pop(incoming.key, None)
        elif incoming.is_connected and live.id not in self._hub.streams and stream.is_present(now):
            self._hub.begin(live)
        self._hub.changed(live.id)

    async def _tidy(self, receiver: Receiver) -> None:
        """Remove senders that are away for long, and forget what waits for them."""
        while True:
            await asyncio.sleep(1.0)
            for key, stream in [*self._streams.items()]:
                if stream.incoming is None or stream.is_busy or self._streams.get(key) is not stream:
                    continue
                try:
                    await self._tidy_one(receiver, stream, stream.incoming)
                except OutputError as error:  # in a second again
                    log.error("%s", error)

    async def _tidy_one(self, receiver: Receiver, stream: LinkStream, incoming: Incoming) -> None:
        await self._show(stream)
        if stream.away_s is None:
            return
        away_s = time.time() - stream.away_s
        if away_s > AWAY_S and stream.live.id in self._hub.streams:
            self._hub.end(stream.live.id)
        if away_s > FORGET_S:
            await self._store.recordings.end(stream.recording.id, stream.away_s)
            if not incoming.is_connected:  # still
                receiver.forget(incoming)
                self._streams.pop(incoming.key, None)
