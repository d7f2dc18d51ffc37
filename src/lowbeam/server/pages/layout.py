"""What all pages have in common: the head, the bar on top, and how numbers are written."""

import time
from html import escape

from lowbeam.server.store import Session

HEAD = (
    '<meta name="viewport" content="width=device-width, initial-scale=1">'
    '<link rel="stylesheet" href="/assets/style.css"><link rel="icon" href="/assets/icon.svg">'
    '<script src="/assets/theme.js"></script>'
)
THEME_BUTTON = '<button type="button" class="quiet" data-theme-toggle title="Dark or light">◐</button>'


def top_bar(session: Session, here: str) -> str:
    """The bar on top of pages for those who are logged in; `here` is the path of the page."""
    links = [("/", "Who is on"), ("/links", "Links")]
    if session.user.role == "admin":
        links.append(("/admin", "Admin"))
    current = ' aria-current="page"'
    shown = "".join(f'<a href="{path}"{current if path == here else ""}>{text}</a>' for path, text in links)
    return (
        f'<header class="bar"><a class="brand" href="/">lowbeam</a><nav>{shown}</nav><span class="user">'
        f"<span>{escape(session.user.name)}</span>{THEME_BUTTON}"
        '<form method="post" action="/logout"><button class="quiet">Log out</button></form></span></header>'
    )


def plain_page(title: str, body: str, *scripts: str, bar: str = "") -> str:
    """A page without live parts. `body` and `bar` are HTML."""
    more = "".join(f'<script src="/assets/{script}" defer></script>' for script in scripts)
    return (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{escape(title)} – lowbeam</title>'
        f'{HEAD}{more}</head><body>{bar}<main class="content">{body}</main></body></html>'
    )


def error_page(status: int, text: str) -> str:
    """A page that says what is wrong."""
    body = f'<h1>{status}</h1><p>{escape(text)}</p><p><a href="/">Who is on</a></p>'
    return plain_page(str(status), f'<section class="panel narrow">{body}</section>')


def complaint(text: str | None) -> str:
    """What is wrong with a form, as HTML."""
    return f'<p class="wrong" role="alert">{escape(text)}</p>' if text else ""


def kbps(rate_bps: float | None) -> str:
    """A bit rate with its unit."""
    return "–" if rate_bps is None else f"{rate_bps / 1000:.1f} kbit/s"


def seconds(value_s: float | None) -> str:
    """A delay with its unit."""
    return "–" if value_s is None else f"{value_s:.2f} s"


def percent(share: float) -> str:
    """A share in [0, 1] with its unit."""
    return f"{100 * share:.1f} %"


def signed(value: float) -> str:
    """A value with its sign and two decimals."""
    return f"{value:+.2f}".replace("-", "−")


def faces(count: int) -> str:
    """A number of faces with its unit."""
    return f"{count} face{'s' if count != 1 else ''}"


def utc(time_utc: float | None) -> str:
    """A time as HTML, which `theme.js` shows in the browser's zone."""
    if time_utc is None:
        return "–"
    text = time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime(time_utc))
    return f'<time datetime="{text.replace(" ", "T")}Z">{text} UTC</time>'
