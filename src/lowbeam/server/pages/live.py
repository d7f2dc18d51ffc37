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

PAUSE_S = 0.1  # between two updates of a page, or
PAUSES = 4  # times as long as an update takes
WHOLE_S = 0.24  # between two updates of a whole page; numbers are sent before that
IDLE_S = 1.0  # after which a page is updated without a change, since times pass
CHECK_S = 5.0  # between two checks of the session

ShowNumbers = Callable[[set[int]], bool]


class Piece:
    """A part of a page that is sent only if it changed. Its content is HTML in which texts are escaped."""

    def __init__(self, classes: str = "", tag: str = "div") -> None:
        self._html = ui.html("", sanitize=False, tag=tag).classes(classes)

    def show(self, content: str) -> bool:
        """Show this content. Returns whether it is new."""
        if content == self._html.content:
            return False
        self._html.set_content(content)
        return True


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

    def keep_showing(
        self, show: Callable[[], Awaitable[None]], show_numbers: ShowNumbers = lambda changed: False
    ) -> None:
        """Call `show` whenever something changed, until the page is closed or the session ends. The next update waits
        until the browser has shown the last one, and while the page is hidden; so nothing piles up. `show_numbers` is
        given the streams that changed; it shows their new numbers, and returns whether there are any. They are sent at
        once, and the rest of the page with the next update."""
        ui.on("shown", self._may_go_on.set)
        self._client.on_connect(self._may_go_on.set)
        task = background_tasks.create(self._run(show, show_numbers), name="live page")

        def stop() -> None:
            task.cancel()

        self._client.on_delete(stop)

    async def _run(self, show: Callable[[], Awaitable[None]], show_numbers: ShowNumbers) -> None:
        checked, due, is_stale, are_numbers_ahead = time.monotonic(), 0.0, True, False
        async with self.site.hub.listening() as queue:
            while True:
                await self._may_go_on.wait()
                changed = await _changes(queue, max(0.0, due - time.monotonic()) if is_stale else IDLE_S)
                is_stale = is_stale or bool(changed)
                if time.monotonic() - checked > CHECK_S:
                    if not await self._is_allowed():
                        break
                    checked = time.monotonic()
                began = time.monotonic()
                with self._client.content:
                    if not (are_numbers_ahead and began >= due) and show_numbers(changed):
                        are_numbers_ahead = True
                    elif began >= due:
                        with suppress(LowbeamError):  # the store fails: what is shown stays
                            await show()
                        is_stale, are_numbers_ahead = False, False
                        due = time.monotonic() + WHOLE_S
                    else:
                        continue
                self._may_go_on.clear()
                self._client.run_javascript("lowbeam.shown()")
                await asyncio.sleep(max(PAUSE_S, PAUSES * (time.monotonic() - began)))
        self._client.open("/login")

    async def _is_allowed(self) -> bool:
        try:
            return await self.site.store.accounts.session(self._cookie) is not None
        except LowbeamError:
            return True  # the store does not answer; what is on is still right


async def _changes(queue: "asyncio.Queue[int]", most_s: float) -> set[int]:
    """Wait for a change, `most_s` seconds at most. Returns the streams that changed."""
    found = set()
    with suppress(TimeoutError):
        async with asyncio.timeout(most_s):  # `wait_for` may swallow a cancellation in Python 3.11
            found.add(await queue.get())
    while not queue.empty():
        found.add(queue.get_nowait())
    return found


def newest_stream(hub: Hub, sender_id: int) -> int | None:
    """The stream of a sender that began last, None if none is on."""
    found = [stream for stream in hub.streams.values() if stream.sender == sender_id]
    return max(found, key=lambda stream: stream.started_utc).id if found else None
