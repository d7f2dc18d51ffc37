"""Checks every request before anything else sees it: the table of access, the session, where the request comes from
and its size. Adds the headers that confine what a browser does with the answer."""

import ipaddress
import logging
from collections.abc import Mapping
from http.cookies import CookieError, SimpleCookie
from urllib.parse import parse_qs, urlsplit

from nicegui import Client
from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from lowbeam.errors import LowbeamError, shown
from lowbeam.server.access import WEBSOCKET, Rule
from lowbeam.server.pages.layout import error_page
from lowbeam.server.site import Site
from lowbeam.server.store import Session

log = logging.getLogger(__name__)
LONGEST_BODY = 65_536  # bytes
SAFE = {"GET", "HEAD", "OPTIONS"}
HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), microphone=(), geolocation=()",
}
PLAIN_CSP = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
# NiceGUI writes its elements as a script into the page, and Vue compiles templates in the browser.
LIVE_CSP = (
    "default-src 'none'; script-src 'self' 'unsafe-inline' 'unsafe-eval'; style-src 'self' 'unsafe-inline'; "
    "img-src 'self' data:; font-src 'self' data:; connect-src 'self'; form-action 'self'; base-uri 'none'; "
    "object-src 'none'; frame-ancestors 'none'"
)


def cookie_name(is_secure: bool) -> str:
    """The name of the session's cookie. Browsers accept the prefix ``__Host-`` only with TLS and for one host."""
    return "__Host-lowbeam" if is_secure else "lowbeam"


def cookie_of(headers: Mapping[str, str], is_secure: bool) -> str | None:
    """The value of the session's cookie."""
    try:
        found = SimpleCookie(headers.get("cookie", "")).get(cookie_name(is_secure))
    except CookieError:
        return None
    return found.value if found else None


def address_of(scope: Scope) -> str:
    """The address of the other side."""
    client = scope.get("client")
    return str(client[0]) if client else "?"


def is_same_origin(headers: Mapping[str, str], may_lack_origin: bool = True) -> bool:
    """Whether a request comes from a page of this server, as the browser says. A form in a page without referrer
    has ``Origin: null`` or none, but ``Sec-Fetch-Site``."""
    origin = headers.get("origin")
    if origin in {None, "null"}:
        return may_lack_origin and headers.get("sec-fetch-site") == "same-origin"
    try:
        return urlsplit(str(origin)).netloc == headers.get("host")
    except ValueError:
        return False


class Guard:
    """The middleware in front of everything."""

    def __init__(self, app: ASGIApp, site: Site) -> None:
        self._app, self._site = app, site

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        scope["lowbeam.site"] = self._site
        is_websocket = scope["type"] == "websocket"
        rule, methods = self._site.access.find(WEBSOCKET if is_websocket else scope["method"], scope["path"])
        refusal = await self._refusal(scope, rule, methods, is_websocket)
        if refusal is not None and refusal.status_code >= 400:
            what = scope.get("method", WEBSOCKET), shown(scope["path"]), address_of(scope), refusal.status_code
            log.info("refused %s %s from %s with status %d", *what)
        if is_websocket:
            if refusal is None:
                await self._app(scope, receive, send)
            else:
                self._site.metrics.refused(refusal.status_code)
                await send({"type": "websocket.close", "code": 1008})
            return
        answer = self._answering(scope, rule, send)
        if refusal is not None:
            await refusal(scope, receive, answer)
        elif rule is not None and rule.who == "sender":
            await self._app(scope, receive, answer)
        else:
            await self._app(scope, _limited(receive), answer)

    async def _refusal(
        self, scope: Scope, rule: Rule | None, methods: list[str], is_websocket: bool
    ) -> Response | None:  # fmt: skip
        """The answer to a request that is refused, None if it is not."""
        headers, path, is_secure = Headers(scope=scope), scope["path"], self._site.settings.is_secure
        if rule is None:
            return _refused(path, 405 if methods else 404, {"Allow": ", ".join(methods)} if methods else None)
        if rule.who == "sender":
            return None
        if (status := _foreign(scope, headers, is_websocket)) is not None:
            return _refused(path, status)
        cookie = cookie_of(headers, is_secure)
        try:
            session = await self._site.store.accounts.session(cookie) if cookie and rule.who != "anyone" else None
        except LowbeamError:
            return _refused(path, 503)
        scope["lowbeam.session"], scope["lowbeam.cookie"] = session, cookie
        if is_websocket and session is not None and not _owns_client(scope, cookie, is_secure):
            return _refused(path, 403)
        return self._not_allowed(rule, session, scope, headers)

    def _not_allowed(self, rule: Rule, session: Session | None, scope: Scope, headers: Headers) -> Response | None:
        if rule.who == "anyone" or (rule.who == "local" and _is_local(scope, headers)):
            return None
        path = scope["path"]
        if session is None:
            if scope["type"] == "http" and scope["method"] in SAFE and not path.startswith(("/api/", "/_", "/metrics")):
                return RedirectResponse("/login", 303)
            return _refused(path, 401)
        if rule.who != "viewer" and session.user.role != "admin":
            return _refused(path, 403)
        return None

    def _answering(self, scope: Scope, rule: Rule | None, send: Send) -> Send:
        is_live = rule is not None and rule.path in {"/", "/people/{sender_id}", "/links"}
        is_static = rule is not None and rule.path.startswith("/_nicegui/")

        async def answer(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    headers[name] = value
                headers["Content-Security-Policy"] = LIVE_CSP if is_live else PLAIN_CSP
                if not is_static:
                    headers["Cache-Control"] = "no-store"
                if message["status"] >= 400:
                    self._site.metrics.refused(message["status"])
            await send(message)

        return answer


def _foreign(scope: Scope, headers: Headers, is_websocket: bool) -> int | None:
    """The status to refuse a request with that changes something and comes from elsewhere or is too long."""
    if is_websocket:
        return None if is_same_origin(headers, may_lack_origin=False) else 403
    if scope["method"] in SAFE:
        return None
    if not is_same_origin(headers):
        return 403
    return 413 if _length(headers) > LONGEST_BODY else None


def _owns_client(scope: Scope, cookie: str | None, is_secure: bool) -> bool:
    """Whether the page that a websocket updates was opened by the same session."""
    found = parse_qs(scope["query_string"].decode("latin-1")).get("client_id", [])
    client = Client.instances.get(found[0]) if found else None
    return client is not None and cookie_of(client.request.headers, is_secure) == cookie


def _is_local(scope: Scope, headers: Headers) -> bool:
    """Whether a request comes from the server's own machine, and neither through a proxy there nor from a page whose
    name was made to mean this machine."""
    if "x-forwarded-for" in headers or "forwarded" in headers:
        return False
    host = headers.get("host", "").rpartition(":")[0] or headers.get("host", "")
    return _is_loopback(address_of(scope)) and (host == "localhost" or _is_loopback(host.strip("[]")))


def _is_loopback(address: str) -> bool:
    try:
        return ipaddress.ip_address(address).is_loopback
    except ValueError:
        return False


def _length(headers: Headers) -> int:
    text = headers.get("content-length", "0")
    return int(text) if text.isascii() and text.isdigit() and len(text) < 20 else LONGEST_BODY + 1


def _limited(receive: Receive) -> Receive:
    """`receive` that ends a body which turns out longer than `LONGEST_BODY`, as if the other side had left."""
    received = 0

    async def limited() -> Message:
        nonlocal received
        message = await receive()
        received += len(message.get("body", b""))
        return message if received <= LONGEST_BODY else {"type": "http.disconnect"}

    return limited


TEXTS = {
    401: "Log in first.",
    403: "This is not allowed.",
    404: "There is no such page.",
    405: "This method is not allowed here.",
    413: "The request is too long.",
    422: "The request is malformed.",
    500: "The server failed. Its log says more.",
    503: "The store does not answer.",
}


def _refused(path: str, status: int, headers: Mapping[str, str] | None = None) -> Response:
    return plain_error(path, status, TEXTS[status], headers)


def plain_error(path: str, status: int, text: str, headers: Mapping[str, str] | None = None) -> Response:
    """An error as JSON below ``/api``, and as a page elsewhere."""
    if path.startswith("/api/"):
        return JSONResponse({"error": text}, status, headers=headers)
    return Response(error_page(status, text), status, headers, "text/html")
