"""Takes the faces of the link: estimates them, stores them, shows them, and confirms what is stored."""

import asyncio
import logging
import time
from collections import deque
from dataclasses import dataclass, field

from lowbeam.errors import LowbeamError, UsageError
from lowbeam.face import Grey
from lowbeam.link.incoming import Accepted, Incoming, Item, ReceivedFace
from lowbeam.link.messages import Ask as LinkAsk
from lowbeam.link.messages import Hello
from lowbeam.link.receiver import Receiver
from lowbeam.recognize import Recognizer
from lowbeam.server.failures import Failures
from lowbeam.server.followed import Followed
from lowbeam.server.hub import Ask, Hub, LinkState, LiveStream
from lowbeam.server.store import Recording, Row, Store
from lowbeam.server.workers import Workers

BATCH = 64  # faces that are estimated and stored together at most
AWAY_S = 60.0  # seconds after which a sender that is cut off is not shown any more
FORGET_S = 900.0  # seconds after which what waits for it is forgotten: it sends it again
DRAIN_S = 5.0
RETRY_S = 2.0  # between attempts to store

log = logging.getLogger(__name__)


@dataclass
class _Stream:
    """A recording that is received, and what waits to be estimated."""

    recording: Recording
    followed: Followed
    live: LiveStream
    queue: "asyncio.Queue[Item]" = field(default_factory=asyncio.Queue)
    task: "asyncio.Task[None] | None" = None
    times: deque[float] = field(default_factory=lambda: deque(maxlen=100))
    stored: int = 0
    away_s: float | None = None


class LinkIngest:
    """Runs a receiver: everything that it yields is estimated, stored and shown."""

    def __init__(self, store: Store, hub: Hub, workers: Workers, *, keep_faces: bool = False) -> None:
        self._store, self._hub, self._workers, self._keep_faces = store, hub, workers, keep_faces
        self._streams: dict[bytes, _Stream] = {}
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
            followed = Followed(recording.memory, self._keep_faces)
            self._streams[hello.key] = _Stream(recording, followed, live, stored=recording.stored)
        return Accepted(sender.id, recording.stored)

    async def run(self, receiver: Receiver) -> None:
        """Take what `receiver` yields until this task is cancelled; what has come is then stored."""
        tidying = asyncio.create_task(self._tidy(receiver))
        try:
            async for item in receiver:
                stream = self._streams.get(item.recording.key)
                if stream is None:
                    continue
                stream.queue.put_nowait(item)
                if stream.task is None:
                    stream.task = asyncio.create_task(self._work(receiver, item.recording, stream))
        finally:
            tidying.cancel()
            await self._finish()

    async def _finish(self) -> None:
        """Let what has come be stored, for `DRAIN_S` at most."""
        tasks = [stream.task for stream in self._streams.values() if stream.task is not None]
        if tasks:
            await asyncio.wait(tasks, timeout=DRAIN_S)

    async def _work(self, receiver: Receiver, incoming: Incoming, stream: _Stream) -> None:
        """Estimate and store what waits, in order."""
        try:
            while not stream.queue.empty():
                items = [stream.queue.get_nowait() for _ in range(min(BATCH, stream.queue.qsize()))]
                await self._take(items, stream)
                receiver.stored(incoming, stream.stored)
                await self._show(incoming, stream)
        except Exception:  # a defect: later faces must not be confirmed beyond those that were lost by it
            log.exception("a batch of faces cannot be processed; the sender has to send it again")
            self._hub.end(stream.live.id)
            self._streams.pop(incoming.key, None)
            receiver.drop(incoming, "the server failed")
        finally:
            stream.task = None

    async def _take(self, items: list[Item], stream: _Stream) -> None:
        faces = [
            (item.decoded.number, item.decoded.face, item.decoded.is_final, item.arrived_utc)
            for item in items
            if isinstance(item, ReceivedFace) and item.decoded.face is not None
        ]

        def work(recognizer: Recognizer) -> tuple[list[tuple[Row, Grey]], bytes]:
            return stream.followed.estimate(recognizer, faces), stream.followed.save()

        settled = items[-1].settled
        if not faces and settled <= stream.stored:
            return
        rows, memory = await self._workers.run(stream.live.id, work)
        now = time.time()
        for row, pixels in rows:
            stream.live.see(row.estimate, pixels, now)
            stream.times.append(now)
        self._hub.changed(stream.live.id)
        while True:
            try:
                await self._store.recordings.append(
                    stream.recording.id, [row for row, _ in rows], max(settled, stream.stored), memory
                )  # fmt: skip
                break
            except LowbeamError as error:  # nothing is lost: the sender keeps what is not confirmed
                log.error("%s", error)
                await asyncio.sleep(RETRY_S)
        stream.stored = max(settled, stream.stored)

    async def _show(self, incoming: Incoming, stream: _Stream) -> None:
        """Show how the link is doing; begin and end the stream."""
        live, now = stream.live, time.time()
        report = incoming.report
        state = "live" if incoming.is_connected else "away"
        live.ask = (lambda ask: incoming.ask(_link_ask(ask))) if incoming.is_connected else None
        recent = [one for one in stream.times if now - one <= 10]
        live.link = LinkState(
            state, incoming.rate_bps(), report.estimate_bps if report else None,
            report.budget_bps if report else None, report.loss_permille / 1000 if report else 0.0, incoming.delay_s,
            len(recent) / 10, report.point if report else "", report.behind if report else 0,
        )  # fmt: skip
        stream.away_s = None if incoming.is_connected else stream.away_s or now
        if incoming.is_complete:
            await self._store.recordings.end(stream.recording.id, now)
            self._hub.end(live.id)
            self._streams.pop(incoming.key, None)
        elif incoming.is_connected and live.id not in self._hub.streams and _is_present(live, now):
            self._hub.begin(live)
        self._hub.changed(live.id)

    async def _tidy(self, receiver: Receiver) -> None:
        """Remove senders that are away for long, and forget what waits for them."""
        while True:
            await asyncio.sleep(1.0)
            now = time.time()
            for key, stream in [*self._streams.items()]:
                incoming = receiver.recordings.get(key)
                if incoming is not None and stream.task is None and stream.live.id in self._hub.streams:
                    await self._show(incoming, stream)
                if stream.away_s is None or stream.task is not None:
                    continue
                if now - stream.away_s > AWAY_S and stream.live.id in self._hub.streams:
                    self._hub.end(stream.live.id)
                if now - stream.away_s > FORGET_S:
                    if incoming is not None:
                        receiver.forget(incoming)
                    await self._store.recordings.end(stream.recording.id, stream.away_s)
                    self._streams.pop(key, None)


def _is_present(live: LiveStream, now: float) -> bool:
    """Whether the stream is on: not an earlier recording that is filled in."""
    newest = max((p.estimates[-1].time_s for p in live.people.values() if p.estimates), default=None)
    return newest is None or now - live.started_utc - newest < AWAY_S


def _link_ask(ask: Ask) -> LinkAsk:
    budget = None if ask.budget_bps is None else round(ask.budget_bps)
    return LinkAsk(ask.key, budget, None if ask.look_s is None else round(ask.look_s))
