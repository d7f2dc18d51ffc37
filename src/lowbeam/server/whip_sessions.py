"""The WHIP sessions that are on: one for each sender."""

import asyncio
from collections.abc import Callable

from lowbeam.server.hub import Hub
from lowbeam.server.store import Sender, Store
from lowbeam.server.whip_session import WhipLimits, WhipSession
from lowbeam.server.workers import Workers


class WhipSessions:
    """Begins sessions, finds them, and ends them."""

    def __init__(self, store: Store, hub: Hub, workers: Workers, keep_faces: bool, limits: WhipLimits) -> None:
        self._store, self._hub, self._workers, self._keep_faces = store, hub, workers, keep_faces
        self._limits = limits
        self._by_sender: dict[int, WhipSession] = {}
        self._watches: set[asyncio.Task[None]] = set()
        self._starting = 0

    async def begin(
        self, sender: Sender, offer: str, on_drop: Callable[[int], None]
    ) -> tuple[WhipSession, str] | None:  # fmt: skip
        """A new session and its answer, which replaces the sender's last; None if there are too many. Raises
        `OfferError`, or `LowbeamError` if nothing can be stored."""
        if len(self._by_sender.keys() - {sender.id}) + self._starting >= self._limits.sessions:
            return None
        self._starting += 1
        try:
            session = WhipSession(
                sender, self._store, self._hub, self._workers, keep_faces=self._keep_faces, limits=self._limits,
                on_drop=on_drop,
            )  # fmt: skip
            answer = await session.answer(offer)
        finally:
            self._starting -= 1
        last = self._by_sender.get(sender.id)
        self._by_sender[sender.id] = session
        watch = asyncio.create_task(self._forget_when_ended(session))
        self._watches.add(watch)
        watch.add_done_callback(self._watches.discard)
        if last is not None:
            await last.close()
        return session, answer

    def find(self, sender: Sender, session_id: str) -> WhipSession | None:
        """The session `session_id`, if it is the sender's."""
        session = self._by_sender.get(sender.id)
        return session if session is not None and session.id == session_id else None

    async def close(self) -> None:
        """End all sessions."""
        await asyncio.gather(*(session.close() for session in self._by_sender.values()))

    async def _forget_when_ended(self, session: WhipSession) -> None:
        await session.ended()
        if self._by_sender.get(session.sender.id) is session:
            del self._by_sender[session.sender.id]
