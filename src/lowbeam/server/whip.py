"""Ingest by WHIP (RFC 9725): a peer offers its video in one request, and ends it in another."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import APIRouter, FastAPI, Request, Response

from lowbeam.server.hub import Hub
from lowbeam.server.store import Sender, Store
from lowbeam.server.whip_session import OfferError, WhipSession
from lowbeam.server.workers import Workers

SDP = "application/sdp"
MAX_OFFER = 65536  # bytes
MAX_SESSIONS = 32  # at once; of one sender, a new session replaces the last
CORS = {  # any page may publish with a token: no cookie is read here
    "Access-Control-Allow-Origin": "*",
    "Access-Control-Allow-Methods": "POST, DELETE, OPTIONS",
    "Access-Control-Allow-Headers": "Authorization, Content-Type",
    "Access-Control-Expose-Headers": "Location, ETag, Accept-Post",
}


class _Sessions:
    """The sessions that are on."""

    def __init__(self, store: Store, hub: Hub, workers: Workers, keep_faces: bool) -> None:
        self._store, self._hub, self._workers, self._keep_faces = store, hub, workers, keep_faces
        self._by_sender: dict[int, WhipSession] = {}
        self._watches: set[asyncio.Task[None]] = set()
        self._starting = 0

    async def begin(self, sender: Sender, offer: str) -> tuple[WhipSession, str] | None:
        """A new session and its answer; None if there are too many. Raises `OfferError`."""
        if len(self._by_sender) + self._starting >= MAX_SESSIONS and sender.id not in self._by_sender:
            return None
        self._starting += 1
        try:
            session = WhipSession(sender, self._store, self._hub, self._workers, keep_faces=self._keep_faces)
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


def whip_router(store: Store, hub: Hub, workers: Workers, *, keep_faces: bool) -> APIRouter:
    """The routes ``/whip`` and ``/whip/{session}``. Their sessions end when the application does."""
    sessions = _Sessions(store, hub, workers, keep_faces)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        try:
            yield
        finally:
            await sessions.close()

    router = APIRouter(lifespan=lifespan)

    async def sender_of(request: Request) -> Sender | None:
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        return await store.accounts.sender_of(token.strip()) if scheme.lower() == "bearer" else None

    async def post(request: Request) -> Response:
        sender = await sender_of(request)
        if sender is None:
            return _refusal(401, "a sender's token is needed", {"WWW-Authenticate": "Bearer"})
        if request.headers.get("content-type", "").partition(";")[0].strip().lower() != SDP:
            return _refusal(415, f"the offer must be {SDP}", {"Accept-Post": SDP})
        if not _accepts_sdp(request.headers.get("accept", "*/*")):
            return _refusal(406, f"the answer is {SDP}")
        body = b""
        async for part in request.stream():
            body += part
            if len(body) > MAX_OFFER:
                return _refusal(413, f"an offer has at most {MAX_OFFER} bytes")
        try:
            begun = await sessions.begin(sender, body.decode())
        except UnicodeDecodeError:
            return _refusal(400, "the offer is not UTF-8")
        except OfferError as error:
            return _refusal(422, str(error))
        if begun is None:
            return _refusal(503, "too many sessions", {"Retry-After": "30"})
        session, answer = begun
        headers = {"Location": f"{request.url.path}/{session.id}", "ETag": f'"{session.id}"', **CORS}
        return Response(answer, 201, headers, SDP)

    async def delete(request: Request) -> Response:
        sender = await sender_of(request)
        if sender is None:
            return _refusal(401, "a sender's token is needed", {"WWW-Authenticate": "Bearer"})
        session = sessions.find(sender, request.path_params["session"])
        if session is None:
            return _refusal(404, "no such session")
        await session.close()
        return Response(status_code=200, headers=CORS)

    async def endpoint(request: Request) -> Response:
        if request.method == "POST":
            return await post(request)
        return _other(request.method, "POST, OPTIONS")

    async def resource(request: Request) -> Response:
        if request.method == "DELETE":
            return await delete(request)
        return _other(request.method, "DELETE, OPTIONS")

    methods = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"]
    router.add_route("/whip", endpoint, methods=methods, include_in_schema=False)
    router.add_route("/whip/{session}", resource, methods=methods, include_in_schema=False)
    return router


def _other(method: str, allowed: str) -> Response:
    """OPTIONS is answered; all else is reserved, PATCH too: trickled candidates and ICE restarts are not supported."""
    if method == "OPTIONS":
        return Response(status_code=204, headers={"Allow": allowed, "Accept-Post": SDP, **CORS})
    return _refusal(405, f"allowed: {allowed}", {"Allow": allowed})


def _accepts_sdp(accept: str) -> bool:
    """Whether an Accept header admits SDP (RFC 9110, 12.5.1)."""
    for item in accept.split(","):
        media, *parameters = (part.strip().lower() for part in item.split(";"))
        if media in (SDP, "application/*", "*/*", "") and not {"q=0", "q=0.0", "q=0.00", "q=0.000"} & set(parameters):
            return True
    return False


def _refusal(status: int, reason: str, headers: dict[str, str] | None = None) -> Response:
    return Response(reason + "\n", status, {**(headers or {}), **CORS}, "text/plain")
