"""What all pages of one server share."""

import asyncio
import time
from collections import OrderedDict, deque
from contextlib import suppress
from dataclasses import dataclass, field

from lowbeam.server.access import Access
from lowbeam.server.hub import Hub
from lowbeam.server.metrics import Metrics
from lowbeam.server.pictures import Pictures
from lowbeam.server.settings import ServerSettings
from lowbeam.server.store import Session, Store

LOOK_AGAIN_S = 600.0  # after which a look at the same person is noted again
MOST_EVENTS = 100  # kept for each sender
MOST_SENDERS = 1000  # whose events are kept
MOST_LOOKS = 10_000


@dataclass
class Site:
    """The settings, the store, the hub, and what the pages keep in memory."""

    settings: ServerSettings
    store: Store
    hub: Hub
    access: Access
    metrics: Metrics
    pictures: Pictures = field(default_factory=Pictures)
    _events: "OrderedDict[int, deque[tuple[float, str]]]" = field(default_factory=OrderedDict)
    _looks: "OrderedDict[tuple[int, int], float]" = field(default_factory=OrderedDict)

    async def run(self) -> None:
        """Follow the streams and restore faces, until cancelled."""
        restoring = asyncio.create_task(self.pictures.run())
        states: dict[int, str] = {}
        try:
            async with self.hub.listening() as changed:
                while True:
                    stream = self.hub.streams.get(number := await changed.get())
                    if stream is None:
                        states.pop(number, None)
                        continue
                    self.metrics.seen(stream)
                    if states.get(number) != stream.link.state:
                        states[number] = stream.link.state
                        self._event(stream.sender, f"{stream.kind}: {stream.link.state}")
        finally:
            restoring.cancel()
            with suppress(asyncio.CancelledError):
                await restoring

    def _event(self, sender_id: int, text: str) -> None:
        self._events.setdefault(sender_id, deque(maxlen=MOST_EVENTS)).append((time.time(), text))
        self._events.move_to_end(sender_id)
        if len(self._events) > MOST_SENDERS:
            self._events.popitem(last=False)

    def events(self, sender_id: int) -> list[tuple[float, str]]:
        """What happened to the links of a sender since the server started: Unix time and text, in order."""
        return list(self._events.get(sender_id, ()))

    async def note_look(self, session: Session, sender_id: int, address: str) -> None:
        """Write into the audit log that a user looks at a person, once every `LOOK_AGAIN_S`."""
        key, now = (session.user.id, sender_id), time.monotonic()
        if now - self._looks.get(key, -LOOK_AGAIN_S) < LOOK_AGAIN_S:
            return
        await self.note(session, "look", await self.subject(sender_id), address)
        self._looks[key] = now
        self._looks.move_to_end(key)
        if len(self._looks) > MOST_LOOKS:
            self._looks.popitem(last=False)

    async def note(self, session: Session, action: str, subject: str, address: str) -> None:
        """Write into the audit log what a user did."""
        await self.store.audit.note(session.user.name, action, subject, address)

    async def subject(self, sender_id: int) -> str:
        """How the audit log names a sender."""
        sender = await self.store.accounts.sender(sender_id)
        return f"sender {sender_id}" + (f" ({sender.name})" if sender else "")
