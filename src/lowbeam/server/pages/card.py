"""The card of one person who is on."""

import time
from collections.abc import Mapping
from html import escape

from nicegui import ui

from lowbeam.server.hub import Hub, LinkState, LiveStream, Person
from lowbeam.server.pages.layout import faces, kbps, percent, seconds, signed
from lowbeam.server.pages.live import Piece
from lowbeam.server.pages.sparkline import sparkline
from lowbeam.server.pictures import Pictures

GOOD, BAD = {"live", "connected", "steady"}, {"lost", "closed", "failed", "down", "stalled", "broken"}
STALE_S = 5.0  # without a face, after which a person counts as away
AXIS = '<div class="axis"><span>60 s ago</span><span>now</span></div>'


class Card:
    """Shows one person of a stream: faces, estimates, and the link."""

    def __init__(self, pictures: Pictures, name_is_link: bool) -> None:
        self._pictures, self._name_is_link = pictures, name_is_link
        self.element = ui.element("article").classes("card")
        with self.element:
            self._head = Piece("card-head")
            with ui.element("div").classes("faces"):
                self._received, self._restored = Piece(tag="figure"), Piece(tag="figure")
                self._now = Piece("now")
            self._plot = Piece("plot")
            self._numbers = Piece("numbers")

    def show(self, stream: LiveStream, person: Person | None) -> None:
        """Show the newest of this person, or that none has been seen yet."""
        name = escape(stream.name)
        title = f'<a href="/people/{stream.sender}">{name}</a>' if self._name_is_link else name
        number = f' <span class="unit">person {person.id}</span>' if person and len(stream.people) > 1 else ""
        self._head.show(f"<h2>{title}{number}</h2>{state_badge(stream.link)}")
        self._show_faces(stream, person)
        self.show_numbers(stream, person)
        if person and person.estimates:
            until_s = person.estimates[-1].time_s + max(0.0, time.time() - person.seen_utc)
            self._plot.show(sparkline(person.estimates, until_s) + AXIS)
        self._numbers.show(link_numbers(stream.link))

    def show_numbers(self, stream: LiveStream, person: Person | None) -> bool:
        """Show the newest estimate only. Returns whether it is new."""
        return self._now.show(_now(stream, person))

    def _show_faces(self, stream: LiveStream, person: Person | None) -> None:
        face = person.face if person else None
        if person is None or face is None:
            self._received.show(_empty("received"))
            self._restored.show(_empty("restored"))
            return
        key = (stream.id, person.id)
        height, width = face.shape
        received = self._pictures.received(key, face)
        size = f"{width} × {height} px"
        self._received.show(
            f'<img src="{received}" alt="received face" class="received"><figcaption>received<br>{size}</figcaption>'
        )
        restored = self._pictures.restored(key, face)
        if restored is None:
            self._restored.show(_empty("restored"))
        else:
            self._restored.show(
                f'<img src="{restored}" alt="restored face"><figcaption>restored<br>not evidence</figcaption>'
            )


def show_numbers(cards: Mapping[tuple[int, int | None], Card], hub: Hub, changed: set[int]) -> bool:
    """Show the newest estimates of the streams that changed, on `cards` by stream and person. Returns whether there are
    new ones."""
    found = False
    for (number, face), card in cards.items():
        if number in changed and face is not None and (stream := hub.streams.get(number)) is not None:
            person = stream.people.get(face)
            found |= person is not None and card.show_numbers(stream, person)
    return found


def _empty(what: str) -> str:
    return f'<div class="no-face"></div><figcaption>{what}<br>–</figcaption>'


def _now(stream: LiveStream, person: Person | None) -> str:
    """The newest estimate. `data-time` is the time of its frame in Unix seconds, by the sender's clock."""
    if person is None or not person.estimates:
        return '<p class="unit">no face yet</p>'
    last = person.estimates[-1]
    away, time_utc = time.time() - person.seen_utc, stream.started_utc + last.time_s
    shown = "".join(
        f'<div class="affect {name}"><span>{name}</span><b data-value="{name}" data-time="{time_utc:.3f}">'
        f"{signed(value)}</b>"
        f'<span class="unit">± {deviation:.2f}</span></div>'
        for name, value, deviation in (
            ("valence", last.valence, last.valence_std),
            ("arousal", last.arousal, last.arousal_std),
        )
    )
    return shown + (f'<p class="unit">no face for {away:.0f} s</p>' if away > STALE_S else "")


def state_badge(link: LinkState) -> str:
    """The state of a link, coloured."""
    kind = "good" if link.state in GOOD else "bad" if link.state in BAD else "fair"
    return f'<span class="state {kind}">{escape(link.state)}</span>'


def link_numbers(link: LinkState) -> str:
    """How a link does, as a list of terms."""
    pairs = [
        ("bit rate", kbps(link.rate_bps)),
        ("budget", kbps(link.budget_bps)),
        ("loss", percent(link.loss)),
        ("delay", seconds(link.delay_s)),
        ("faces", f"{link.faces_per_s:.1f} /s"),
        ("to fill in", faces(link.behind)),
        ("operating point", escape(link.point) or "–"),
    ]
    return "<dl>" + "".join(f"<div><dt>{term}</dt><dd>{value}</dd></div>" for term, value in pairs) + "</dl>"
