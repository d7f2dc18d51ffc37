"""The page of one person in full."""

import math
import time
from html import escape
from typing import Any

from fastapi import Request
from fastapi.responses import HTMLResponse
from nicegui import ui

from lowbeam.server.hub import LiveStream
from lowbeam.server.pages.card import Card, show_numbers
from lowbeam.server.pages.chart import faces_of, options, series_data
from lowbeam.server.pages.layout import error_page, kbps, utc
from lowbeam.server.pages.live import LivePage, Piece, newest_stream
from lowbeam.server.store import Point, Sender

SPANS_S = {"10 min": 600, "1 h": 3600, "24 h": 86_400, "7 days": 604_800}
HISTORY_EVERY_S = {600: 5.0, 3600: 20.0}  # between two reads of the history, else OTHER_EVERY_S
OTHER_EVERY_S = 120.0
LOOK_S = 10
MOST_EVENTS = 50
MOST_POINTS = 800  # of the history
ENLARGED_PX = 192
CURRENT = ' aria-current="true"'


@ui.page("/people/{sender_id}")
async def person_page(
    request: Request, sender_id: int, span: int = 600, face: int | None = None
) -> HTMLResponse | None:  # fmt: skip
    """One person: live, the history, events, and what crossed the link."""
    store = request.scope["lowbeam.site"].store
    sender = await store.accounts.sender(sender_id) if 0 < sender_id < 2**31 else None
    if sender is None:
        return HTMLResponse(error_page(404, "There is no such person."), 404)
    page = LivePage(request, "/people", sender.name)
    await page.site.note_look(page.session, sender_id, page.address)
    view = PersonPage(page, sender, span if span in SPANS_S.values() else 600, face)
    page.keep_showing(view.show, view.show_numbers)
    return None


class PersonPage:
    """The parts of the page."""

    def __init__(self, page: LivePage, sender: Sender, span_s: int, face: int | None) -> None:
        self._page, self._sender, self._span_s, self._face = page, sender, span_s, face
        self._read_at = -math.inf
        self._cards: dict[tuple[int, int | None], Card] = {}
        self._controls_of: int | None = None
        with ui.element("div").classes("content"):
            ui.html(f"<h1>{escape(sender.name)}</h1>", sanitize=False)
            with ui.element("div").classes("two"):
                with ui.element("div"):
                    self._off = Piece("empty")
                    self._live = ui.element("div").classes("cards one")
                with ui.element("section").classes("panel"):
                    self._crossed = Piece()
                    self._controls = Piece("controls")
            with ui.element("section").classes("panel"):
                self._spans = Piece("spans")
                now = time.time()
                self._chart = ui.echart(options([], now - span_s, now)).classes("history")
                self._export = Piece("spans")
            with ui.element("section").classes("panel"):
                ui.html("<h2>Events</h2>", sanitize=False)
                self._events = Piece("wide events")

    async def show(self) -> None:
        """Show what is new."""
        stream = self._stream()
        self._show_live(stream)
        self._show_controls(stream)
        if time.monotonic() - self._read_at > HISTORY_EVERY_S.get(self._span_s, OTHER_EVERY_S):
            await self._read_history()

    def show_numbers(self, changed: set[int]) -> bool:
        """Show new numbers only; returns whether there are any."""
        return show_numbers(self._cards, self._page.site.hub, changed)

    def _stream(self) -> LiveStream | None:
        hub = self._page.site.hub
        number = newest_stream(hub, self._sender.id)
        return None if number is None else hub.streams[number]

    def _show_live(self, stream: LiveStream | None) -> None:
        people = [(stream, person) for person in stream.people.values()] if stream else []
        wanted = {(each.id, person.id) for each, person in people}
        for key in [key for key in self._cards if key not in wanted]:
            self._live.remove(self._cards.pop(key).element)
        for each, person in people:
            key = (each.id, person.id)
            if key not in self._cards:
                with self._live:
                    self._cards[key] = Card(self._page.site.pictures, name_is_link=False)
            self._cards[key].show(each, person)
        self._off.show("" if people else "<p>No face yet.</p>" if stream else "<p>Not on now.</p>")
        crossing = self._crossing(stream) if stream else "<p>Nothing now.</p>"
        self._crossed.show(f"<h2>What crossed the link</h2>{crossing}")

    def _crossing(self, stream: LiveStream) -> str:
        link = stream.link
        faces = ""
        for person in stream.people.values():
            if person.face is None:
                continue
            height, width = person.face.shape
            url = self._page.site.pictures.received((stream.id, person.id), person.face)
            faces += (
                f'<figure class="true-size"><img src="{url}" alt="received face" class="received" '
                f'width="{ENLARGED_PX}" height="{ENLARGED_PX}"><figcaption>{width} × {height} px, '
                f"enlarged {ENLARGED_PX / width:.0f} times. "
                f'True size: <img src="{url}" alt="" width="{width}" height="{height}"></figcaption></figure>'
            )
        return (
            f"<p><b>{kbps(link.rate_bps)}</b> on the wire, <b>{link.faces_per_s:.1f}</b> faces/s. The link carries "
            f"{kbps(link.estimate_bps)}.</p>{faces}"
        )

    def _show_controls(self, stream: LiveStream | None) -> None:
        number = stream.id if stream and stream.ask else None
        if number == self._controls_of:
            return
        self._controls_of = number
        if number is None:
            self._controls.show("")
            return
        path = f"/api/streams/{number}/ask"
        budget = (
            f'<form data-ask="{path}" class="inline"><label>Budget in kbit/s, 0 for the sender\'s own '
            '<input name="budget_kbps" type="number" min="0" max="10000" step="0.1" required></label>'
            "<button>Set</button></form>"
            if self._page.session.user.role == "admin"
            else ""
        )
        self._controls.show(
            f'<button data-ask="{path}" data-body=\'{{"look_s": {LOOK_S}}}\'>Look closer ({LOOK_S} s)</button> '
            f'<button data-ask="{path}" data-body=\'{{"key": true}}\'>Key face</button>{budget}'
            '<output class="unit" data-asked></output>'
        )

    async def _read_history(self) -> None:
        """Show the history until now, the exports of this span, and its events."""
        self._read_at = time.monotonic()
        until = time.time()
        since = until - self._span_s
        recordings = self._page.site.store.recordings
        points = await recordings.history(self._sender.id, since, until, MOST_POINTS)
        faces = faces_of(points)
        face = self._face if self._face in faces else faces[0] if faces else None
        self._show_chart([point for point in points if point.face == face], since, until)
        self._show_spans(faces, face, since, until)
        await self._show_events(since, until)

    def _show_chart(self, points: list[Point], since: float, until: float) -> None:
        chart: dict[str, Any] = self._chart.options
        chart["xAxis"] |= {"min": round(1000 * since), "max": round(1000 * until)}
        for series, new in zip(chart["series"], series_data(points), strict=True):
            series["data"] = new["data"]
        self._chart.update()

    def _show_spans(self, faces: list[int], face: int | None, since: float, until: float) -> None:
        base = f"/people/{self._sender.id}?span="
        spans = " ".join(
            f'<a href="{base}{length}"{CURRENT if length == self._span_s else ""}>{name}</a>'
            for name, length in SPANS_S.items()
        )
        others = " ".join(
            f'<a href="{base}{self._span_s}&amp;face={each}"{CURRENT if each == face else ""}>person {each}</a>'
            for each in sorted(faces)[:8]
        )
        self._spans.show(f"<h2>History</h2>{spans}" + (f" · {others}" if len(faces) > 1 else ""))
        path, query = f"/api/senders/{self._sender.id}/export", f"since={since:.0f}&amp;until={until:.0f}"
        self._export.show(
            f'Export this span: <a href="{path}.csv?{query}" download>CSV</a> '
            f'<a href="{path}.parquet?{query}" download>Parquet</a>'
        )

    async def _show_events(self, since: float, until: float) -> None:
        site = self._page.site
        events = [event for event in site.events(self._sender.id) if event[0] >= since]
        for recording in await site.store.recordings.between(since, until, self._sender.id):
            events.append((recording.started_utc, f"{recording.kind}: stream {recording.name} began"))
            if recording.ended_utc is not None:
                events.append((recording.ended_utc, f"{recording.kind}: stream {recording.name} ended"))
        events.sort(reverse=True)
        rows = "".join(f"<tr><td>{utc(at)}</td><td>{escape(text)}</td></tr>" for at, text in events[:MOST_EVENTS])
        rows = rows or '<tr><td colspan="2">Nothing happened in this span.</td></tr>'
        self._events.show(f"<table><thead><tr><th>Time</th><th>Event</th></tr></thead><tbody>{rows}</tbody></table>")
