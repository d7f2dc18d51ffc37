"""The page of links and budgets."""

from html import escape

from fastapi import Request
from nicegui import ui

from lowbeam.server.hub import LiveStream
from lowbeam.server.pages.card import state_badge
from lowbeam.server.pages.layout import faces, kbps, percent, seconds, utc
from lowbeam.server.pages.live import LivePage, Piece

TITLES = (
    "Name", "Kind", "State", "Bit rate", "Link carries", "Budget", "Loss", "Delay", "Faces", "To fill in",
    "Operating point", "Began",
)  # fmt: skip


@ui.page("/links")
async def links_page(request: Request) -> None:
    """All links and their budgets."""
    page = LivePage(request, "/links", "Links")
    with ui.element("div").classes("content"), ui.element("section").classes("panel"):
        ui.html("<h1>Links</h1>", sanitize=False)
        table = Piece("wide stack")
    heads = "".join(f"<th>{title}</th>" for title in TITLES)

    async def show() -> None:
        streams = sorted(page.site.hub.streams.values(), key=lambda stream: (stream.name, stream.id))
        rows = "".join(map(_row, streams)) or f'<tr><td colspan="{len(TITLES)}">No link is on.</td></tr>'
        table.show(f"<table><thead><tr>{heads}</tr></thead><tbody>{rows}</tbody></table>")

    page.keep_showing(show)


def _row(stream: LiveStream) -> str:
    link = stream.link
    cells = (
        f'<a href="/people/{stream.sender}">{escape(stream.name)}</a>', stream.kind, state_badge(link),
        kbps(link.rate_bps), kbps(link.estimate_bps), kbps(link.budget_bps), percent(link.loss), seconds(link.delay_s),
        f"{link.faces_per_s:.1f} /s", faces(link.behind), escape(link.point) or "–", utc(stream.started_utc),
    )  # fmt: skip
    titled = zip(TITLES, cells, strict=True)
    return "<tr>" + "".join(f'<td data-title="{title}">{cell}</td>' for title, cell in titled) + "</tr>"
