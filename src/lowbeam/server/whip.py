"""Ingest by WHIP (RFC 9725): a peer offers its video in one request, and ends it in another."""

from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Any

from fastapi import APIRouter, FastAPI, Request, Response

from lowbeam.errors import LowbeamError
from lowbeam.server.failures import SECONDS, Failures
from lowbeam.server.guard import address_of
from lowbeam.server.hub import Hub
from lowbeam.server.site import Site
from lowbeam.server.store import Sender, Store
from lowbeam.server.whip_session import OfferError, WhipLimits
from lowbeam.server.whip_sessions import WhipSessions
from lowbeam.server.workers import Workers

SDP = "application/sdp"
MAX_OFFER = 65536  # bytes
CORS = {  # any page may publish with a token: no cookie is read here
    "Access-Control-Allow-Origin": "*",
    "Access-Control-Allow-Methods": "POST, DELETE, OPTIONS",
    "Access-Control-Allow-Headers": "Authorization, Content-Type",
    "Access-Control-Expose-Headers": "Location, ETag, Accept-Post",
}
METHODS = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"]


class _RefusedError(Exception):
    """A request that is answered with an error."""

    def __init__(self, status: int, reason: str, headers: dict[str, str] | None = None) -> None:
        super().__init__(reason)
        self.response = Response(reason + "\n", status, {**(headers or {}), **CORS}, "text/plain")


class _Endpoint:
    """What is done with each request."""

    def __init__(self, store: Store, sessions: WhipSessions) -> None:
        self._store, self._sessions, self._failures = store, sessions, Failures()

    async def endpoint(self, request: Request) -> Response:
        """``/whip``"""
        return await _answered(request, "POST", self._post)

    async def resource(self, request: Request) -> Response:
        """``/whip/{session}``"""
        return await _answered(request, "DELETE", self._delete)

    async def _post(self, request: Request) -> Response:
        sender = await self._sender_of(request)
        offer = await _offer_of(request)
        try:
            begun = await self._sessions.begin(sender, offer, _drop_counter(request))
        except OfferError as error:
            raise _RefusedError(422, str(error)) from error
        if begun is None:
            raise _RefusedError(503, "too many sessions", {"Retry-After": "30"})
        session, answer = begun
        headers = {"Location": f"{request.url.path}/{session.id}", "ETag": f'"{session.id}"', **CORS}
        return Response(answer, 201, headers, SDP)

    async def _delete(self, request: Request) -> Response:
        sender = await self._sender_of(request)
        session = self._sessions.find(sender, request.path_params["session"])
        if session is None:
            raise _RefusedError(404, "no such session")
        await session.close()
        return Response(status_code=200, headers=CORS)

    async def _sender_of(self, request: Request) -> Sender:
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        is_token, address = scheme.lower() == "bearer", address_of(request.scope)
        if is_token and self._failures.is_limited(address):
            raise _RefusedError(429, "too many wrong tokens from this address", {"Retry-After": str(round(SECONDS))})
        sender = await self._store.accounts.sender_of(token.strip()) if is_token else None
        if sender is None:
            if is_token:
                self._failures.add(address)
            raise _RefusedError(401, "a sender's token is needed", {"WWW-Authenticate": "Bearer"})
        return sender


def whip_router(
    store: Store, hub: Hub, workers: Workers, *, keep_faces: bool, limits: WhipLimits | None = None
) -> APIRouter:  # fmt: skip
    """The routes ``/whip`` and ``/whip/{session}``. Their sessions end when the application does."""
    sessions = WhipSessions(store, hub, workers, keep_faces, limits or WhipLimits())

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        try:
            yield
        finally:
            await sessions.close()

    router, does = APIRouter(lifespan=lifespan), _Endpoint(store, sessions)
    router.add_route("/whip", does.endpoint, methods=METHODS, include_in_schema=False)
    router.add_route("/whip/{session}", does.resource, methods=METHODS, include_in_schema=False)
    return router


async def _answered(request: Request, method: str, act: Callable[[Request], Coroutine[Any, Any, Response]]) -> Response:
    """`act` for requests of `method`. OPTIONS is answered; all else is reserved, PATCH too: trickled candidates and ICE
    restarts are not supported."""
    allowed = f"{method}, OPTIONS"
    try:
        if request.method == method:
            return await act(request)
        if request.method == "OPTIONS":
            return Response(status_code=204, headers={"Allow": allowed, "Accept-Post": SDP, **CORS})
        raise _RefusedError(405, f"allowed: {allowed}", {"Allow": allowed})
    except _RefusedError as refused:
        return refused.response
    except LowbeamError:
        return _RefusedError(503, "the store does not answer", {"Retry-After": "30"}).response


async def _offer_of(request: Request) -> str:
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != SDP:
        raise _RefusedError(415, f"the offer must be {SDP}", {"Accept-Post": SDP})
    if not _accepts_sdp(request.headers.get("accept", "*/*")):
        raise _RefusedError(406, f"the answer is {SDP}")
    body = b""
    async for part in request.stream():
        body += part
        if len(body) > MAX_OFFER:
            raise _RefusedError(413, f"an offer has at most {MAX_OFFER} bytes")
    try:
        return body.decode()
    except UnicodeDecodeError as error:
        raise _RefusedError(400, "the offer is not UTF-8") from error


def _accepts_sdp(accept: str) -> bool:
    """Whether an Accept header admits SDP (RFC 9110, 12.5.1)."""
    for item in accept.split(","):
        media, *parameters = (part.strip().lower() for part in item.split(";"))
        if media in (SDP, "application/*", "*/*", "") and not {"q=0", "q=0.0", "q=0.00", "q=0.000"} & set(parameters):
            return True
    return False


def _drop_counter(request: Request) -> Callable[[int], None]:
    """Counts dropped frames in the metrics of the site, if the routes are part of one."""
    site: Site | None = request.scope.get("lowbeam.site")
    return (lambda count: site.metrics.dropped("frame", count)) if site is not None else (lambda count: None)
