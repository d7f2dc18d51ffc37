"""Live pages: they change while someone looks, at the pace at which the browser shows the changes."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress

from fastapi import Request
from nicegui import Client, background_tasks, ui

from lowbeam.errors import LowbeamError
from lowbeam.server.guard import address_of
from lowbeam.server.hub import Hub
from lowbeam.server.pages.layout import HEAD, top_bar
from lowbeam.server.site import Site
from lowbeam.server.store import Session

PAUSE_S = 0.24  # between two updates of a page, or
PAUSES = 4  # times as long as an update takes
IDLE_S = 1.0  # after which a page is updated without a change, since times pass
CHECK_S = 5.0  # between two checks of the session


class Piece:
    """A part of a page that is sent only if it changed. Its content is HTML in which texts are escaped."""

    def __init__(self, classes: str = "", tag: str = "div") -> None:
        self._html = ui.html("", sanitize=False, tag=tag).classes(classes)

    def show(self, content: str) -> None:
        """Show this content."""
        if content != self._html.content:
            self._html.set_content(content)


class LivePage:
    """A page that someone has open: what it is part of, whose it is, and from where."""

    def __init__(self, request: Request, here: str, title: str) -> None:
        self.site: Site = request.scope["lowbeam.site"]
        self.session: Session = request.scope["lowbeam.session"]
        self.address = address_of(request.scope)
        self._cookie: str = request.scope["lowbeam.cookie"]
        self._may_go_on = asyncio.Event()
        self._client: Client = ui.context.client
        ui.page_title(f"{title} – lowbeam")
        ui.add_head_html(HEAD)
        ui.add_body_html('<script src="/assets/live.js" defer></script>')
        ui.html(top_bar(self.session, here), sanitize=False).classes("top")

    def keep_showing(self, show: Callable[[], Awaitable[None]]) -> None:
        """Call `show` whenever something changed, until the page is closed or the session ends. The next update waits
        until the browser has shown the last one, and while the page is hidden; so nothing piles up."""
        ui.on("shown", self._may_go_on.set)
        self._client.on_connect(self._may_go_on.set)
        task = background_tasks.create(self._run(show), name="live page")

        def stop() -> None:
            task.cancel()

        self._client.on_delete(stop)

    async def _run(self, show: Callable[[], Awaitable[None]]) -> None:
        checked = time.monotonic()
        async with self.site.hub.listening() as changed:
            while True:
                await self._may_go_on.wait()
                self._may_go_on.clear()
                if time.monotonic() - checked > CHECK_S:
                    if not await self._is_allowed():
                        break
                    checked = time.monotonic()
                began = time.monotonic()
                with self._client.content, suppress(LowbeamError):  # the store fails: what is shown stays
                    await show()
                self._client.run_javascript("lowbeam.shown()")
                await asyncio.sleep(max(PAUSE_S, PAUSES * (time.monotonic() - began)))
                await _change(changed)
        self._client.open("/login")

    async def _is_allowed(self) -> bool:
        try:
            return await self.site.store.accounts.session(self._cookie) is not None
        except LowbeamError:
            return True  # the store does not answer; what is on is still right


async def _change(changed: "asyncio.Queue[int]") -> None:
    """Wait for a change, `IDLE_S` at most."""
    try:
        async with asyncio.timeout(IDLE_S):  # `wait_for` may swallow a cancellation in Python 3.11
            await changed.get()
    except TimeoutError:
        return
    while not changed.empty():
        changed.get_nowait()


def newest_stream(hub: Hub, sender_id: int) -> int | None:
    """The stream of a sender that began last, None if none is on."""
    found = [stream for stream in hub.streams.values() if stream.sender == sender_id]
    return max(found, key=lambda stream: stream.started_utc).id if found else None
