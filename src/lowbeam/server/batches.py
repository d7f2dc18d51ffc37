"""Batches: what came of all streams since the last batch is estimated, shown and stored together."""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Sequence

from lowbeam.errors import LowbeamError, OutputError
from lowbeam.estimator import Estimator, richness
from lowbeam.link.incoming import Item, ReceivedFace
from lowbeam.server.estimation import Seen, estimate_together
from lowbeam.server.followed import Arrival
from lowbeam.server.hub import Hub
from lowbeam.server.link_stream import LinkStream
from lowbeam.server.store import Row, Store
from lowbeam.server.workers import Workers

EVERY_S = 0.04  # between the beginnings of batches at least: faces that come meanwhile share a run and a transaction
LARGEST = 64  # faces of one stream in a batch
RETRY_S = 2.0  # between attempts to store
PATIENCE_S = 20.0  # that a store may fail; then the senders keep the faces until it is back

Processed = Callable[[LinkStream, bool], Awaitable[None]]
"""Called when what came of a stream was processed: the stream, and whether that failed."""

log = logging.getLogger(__name__)


class Batches:
    """The batches of the streams that share a thread of the workers, `number`."""

    def __init__(self, store: Store, hub: Hub, workers: Workers, number: int, keep_faces: bool) -> None:
        self._store, self._hub, self._workers, self._number = store, hub, workers, number
        self._keep_faces = keep_faces
        self._waiting: dict[int, LinkStream] = {}  # by id of the recording
        self._has_come, self._is_idle = asyncio.Event(), asyncio.Event()
        self._is_idle.set()

    def add(self, stream: LinkStream, item: Item) -> None:
        """Something came of a stream."""
        stream.waiting.append(item)
        self._waiting[stream.recording.id] = stream
        self._has_come.set()
        self._is_idle.clear()

    async def drained(self) -> None:
        """Wait until all that came is stored."""
        await self._is_idle.wait()

    async def run(self, processed: Processed) -> None:
        """Process what comes until this task is cancelled."""
        while True:
            await self._has_come.wait()
            begun_s = time.monotonic()
            streams = [one for one in self._waiting.values() if one.waiting]  # not those that failed meanwhile
            self._waiting.clear()
            self._has_come.clear()
            await self._process_all(streams, processed)
            self._waiting |= {one.recording.id: one for one in streams if one.waiting}
            if self._waiting:
                self._has_come.set()
            else:
                self._is_idle.set()
            await asyncio.sleep(begun_s + EVERY_S - time.monotonic())

    async def _process_all(self, streams: Sequence[LinkStream], processed: Processed) -> None:
        parts = [_Part(one, [one.waiting.popleft() for _ in range(min(LARGEST, len(one.waiting)))]) for one in streams]
        for stream in streams:
            stream.is_in_batch = True
        try:
            await self._estimate(parts)
        except Exception:  # a defect: the next batches must not wait for ever
            log.exception("a batch of faces cannot be estimated")
            for part in parts:
                part.has_failed = True
        await self._store_all([part for part in parts if not part.has_failed])
        for part in parts:
            part.stream.is_in_batch = False
            part.has_failed |= part.stream.is_flooded
            if part.has_failed:
                part.stream.waiting.clear()
            try:
                await processed(part.stream, part.has_failed)
            except Exception as error:
                trace = None if isinstance(error, LowbeamError) else error
                log.error("recording %d: %s", part.stream.recording.id, error, exc_info=trace)

    async def _estimate(self, parts: Sequence["_Part"]) -> None:
        def work(estimator: Estimator) -> None:
            given = [(part.stream.followed, part.arrivals) for part in parts]
            for part, seen in zip(parts, estimate_together(estimator, given, self._keep_faces), strict=True):
                part.seen, part.has_failed, part.memory = seen or [], seen is None, part.stream.followed.save()

        await self._workers.run(self._number, work)
        now = time.time()
        for part in parts:
            for row, face in part.seen:
                part.stream.live.see(row.estimate, face.pixels, now)
            part.fused = part.stream.layered.take((row, richness(face)) for row, face in part.seen)
            for row in part.fused:
                part.stream.live.refine(row.estimate)
            part.stream.count(len(part.seen))
            self._hub.changed(part.stream.live.id)

    async def _store_all(self, parts: Sequence["_Part"]) -> None:
        parts = [part for part in parts if part.seen or part.settled > part.stream.stored]
        until_s = time.monotonic() + PATIENCE_S
        while parts:
            results = await asyncio.gather(*(self._store_one(part) for part in parts), return_exceptions=True)
            errors = [(part, error) for part, error in zip(parts, results, strict=True) if error is not None]
            parts = [part for part, error in errors if isinstance(error, OutputError) and time.monotonic() < until_s]
            for part, error in errors:
                if part not in parts:
                    part.has_failed = True
                    trace = None if isinstance(error, LowbeamError) else error
                    log.error(
                        "faces of recording %d are not stored: %s", part.stream.recording.id, error, exc_info=trace
                    )
            if parts:
                log.error("%s", errors[0][1])
                await asyncio.sleep(RETRY_S)

    async def _store_one(self, part: "_Part") -> None:
        stream, rows = part.stream, [row for row, _ in part.seen]
        await self._store.recordings.append(stream.recording.id, rows, part.settled, part.memory, part.fused)
        stream.stored = part.settled
        stream.followed.settle(part.settled)


class _Part:
    """What came of one stream."""

    def __init__(self, stream: LinkStream, items: Sequence[Item]) -> None:
        faces = [item for item in items if isinstance(item, ReceivedFace)]
        self.stream, self.settled = stream, max([stream.stored, *(item.settled for item in items)])
        self.arrivals = stream.followed.new(
            [
                Arrival(one.decoded.number, face, one.decoded.is_final, one.arrived_utc, place)
                for one in faces
                for place, face in enumerate(one.decoded.faces)
            ]
        )
        self.seen: list[Seen] = []
        self.fused: list[Row] = []
        self.memory = b""
        self.has_failed = False
