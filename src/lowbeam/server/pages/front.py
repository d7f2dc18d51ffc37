"""The front page: who is on, a card each."""

from fastapi import Request
from nicegui import ui

from lowbeam.server.hub import LiveStream, Person
from lowbeam.server.pages.card import Card, show_numbers
from lowbeam.server.pages.live import LivePage, Piece


@ui.page("/")
async def front_page(request: Request) -> None:
    """Who is on."""
    Front(LivePage(request, "/", "Who is on"))


class Front:
    """The cards of the front page."""

    def __init__(self, page: LivePage) -> None:
        self._page = page
        self._cards: dict[tuple[int, int | None], Card] = {}
        with ui.element("div").classes("content"):
            self._empty = Piece("empty")
            self._grid = ui.element("div").classes("cards")
        page.keep_showing(self._show, self._show_numbers)

    async def _show(self) -> None:
        site = self._page.site
        streams = sorted(site.hub.streams.values(), key=lambda stream: (stream.name, stream.id))
        for stream in streams:
            await site.note_look(self._page.session, stream.sender, self._page.address)
        shown: list[tuple[LiveStream, Person | None]] = []
        for stream in streams:
            shown += [(stream, person) for person in stream.people.values()] or [(stream, None)]
        wanted = {(stream.id, person.id if person else None) for stream, person in shown}
        for key in [key for key in self._cards if key not in wanted]:
            self._grid.remove(self._cards.pop(key).element)
        for stream, person in shown:
            key = (stream.id, person.id if person else None)
            if key not in self._cards:
                with self._grid:
                    self._cards[key] = Card(site.pictures, name_is_link=True)
            self._cards[key].show(stream, person)
        self._empty.show("" if shown else "<p>Nobody is on.</p>")

    def _show_numbers(self, changed: set[int]) -> bool:
        return show_numbers(self._cards, self._page.site.hub, changed)
