"""The JSON interface, exports, health and metrics."""

import math
import time
from collections.abc import AsyncIterator
from typing import Annotated, Any, TypeVar

from fastapi import APIRouter, HTTPException, Query, Request
from fastapi.responses import JSONResponse, PlainTextResponse, Response, StreamingResponse
from pydantic import BaseModel, ConfigDict, Field

from lowbeam.server import export
from lowbeam.server.auth import site_of
from lowbeam.server.guard import address_of
from lowbeam.server.hub import Ask, LiveStream
from lowbeam.server.store import Session

router = APIRouter()

MOST_BPS = 10_000_000.0
MOST_LOOK_S = 60.0
Chunk = TypeVar("Chunk", str, bytes)
SenderId = int
Since = Annotated[float, Query(description="Unix seconds, included")]
Until = Annotated[float | None, Query(description="Unix seconds, not included; by default now")]


@router.get("/healthz")
async def healthz() -> PlainTextResponse:
    """The server runs."""
    return PlainTextResponse("ok\n")


@router.get("/readyz")
async def readyz(request: Request) -> PlainTextResponse:
    """Whether the store answers: 200 or 503."""
    is_ready = await site_of(request).store.is_ready()
    return PlainTextResponse("ready\n" if is_ready else "the store does not answer\n", 200 if is_ready else 503)


@router.get("/metrics")
async def metrics(request: Request) -> Response:
    """Metrics in the text format of Prometheus."""
    return Response(site_of(request).metrics.text(), media_type="text/plain; version=0.0.4; charset=utf-8")


@router.get("/api/me")
async def me(request: Request) -> dict[str, str]:
    """The name and role of who asks."""
    session = _session(request)
    return {"name": session.user.name, "role": session.user.role}


@router.get("/api/streams")
async def streams(request: Request) -> list[dict[str, Any]]:
    """The streams that are on."""
    site = site_of(request)
    found = list(site.hub.streams.values())
    for stream in found:
        await site.note_look(_session(request), stream.sender, address_of(request.scope))
    return [_stream(stream) for stream in found]


class Wanted(BaseModel):
    """What is asked of a sender: see `lowbeam.server.hub.Ask`."""

    model_config = ConfigDict(extra="forbid")
    key: bool = False
    budget_bps: float | None = Field(None, ge=0, le=MOST_BPS, allow_inf_nan=False)
    look_s: float | None = Field(None, gt=0, le=MOST_LOOK_S, allow_inf_nan=False)


@router.post("/api/streams/{stream_id}/ask")
async def ask(request: Request, stream_id: int, wanted: Wanted) -> JSONResponse:
    """Ask a sender for a key face, another budget (admins), or a closer look."""
    site, session = site_of(request), _session(request)
    stream = site.hub.streams.get(stream_id)
    if stream is None:
        raise HTTPException(404, "This stream is not on.")
    if stream.ask is None:
        raise HTTPException(409, "This stream cannot be asked.")
    if wanted.budget_bps is not None and session.user.role != "admin":
        raise HTTPException(403, "Only admins change budgets.")
    asked = Ask(wanted.key, wanted.budget_bps, wanted.look_s)
    if asked == Ask():
        raise HTTPException(422, "Nothing is asked.")
    stream.ask(asked)
    parts = ["key face"] if asked.key else []
    parts += [f"budget {asked.budget_bps:.0f} bit/s"] if asked.budget_bps is not None else []
    parts += [f"closer look {asked.look_s:.0f} s"] if asked.look_s is not None else []
    await site.note(session, f"ask: {', '.join(parts)}", await site.subject(stream.sender), address_of(request.scope))
    return JSONResponse({"asked": parts}, 202)


@router.get("/api/senders/{sender_id}/history")
async def history(request: Request, sender_id: int, since: Since = 0.0, until: Until = None) -> list[dict[str, Any]]:
    """The estimates of a sender in [since, until), 2000 points at most, evenly over the time."""
    since_utc, until_utc = await _looked_at(request, sender_id, since, until, None)
    points = await site_of(request).store.recordings.history(sender_id, since_utc, until_utc)
    return [vars(point) for point in points]


@router.get("/api/senders/{sender_id}/export.csv")
async def export_csv(request: Request, sender_id: int, since: Since = 0.0, until: Until = None) -> Response:
    """The estimates of a sender in [since, until) as CSV."""
    since_utc, until_utc = await _looked_at(request, sender_id, since, until, "export CSV")
    lines = export.csv_lines(site_of(request).store, sender_id, since_utc, until_utc)
    return await _download(lines, "text/csv; charset=utf-8", f"sender-{sender_id}.csv")


@router.get("/api/senders/{sender_id}/export.parquet")
async def export_parquet(request: Request, sender_id: int, since: Since = 0.0, until: Until = None) -> Response:
    """The estimates of a sender in [since, until) as Parquet."""
    since_utc, until_utc = await _looked_at(request, sender_id, since, until, "export Parquet")
    chunks = export.parquet_chunks(site_of(request).store, sender_id, since_utc, until_utc)
    return await _download(chunks, "application/vnd.apache.parquet", f"sender-{sender_id}.parquet")


async def _looked_at(
    request: Request, sender_id: int, since: float, until: float | None, action: str | None
) -> tuple[float, float]:
    """Check a span and note who looks at it."""
    site = site_of(request)
    until = time.time() if until is None else until
    if not (math.isfinite(since) and math.isfinite(until) and since <= until):
        raise HTTPException(422, "The span must begin before it ends.")
    if not 0 < sender_id < 2**31 or await site.store.accounts.sender(sender_id) is None:
        raise HTTPException(404, "There is no such sender.")
    if action is None:
        await site.note_look(_session(request), sender_id, address_of(request.scope))
    else:
        subject = f"{await site.subject(sender_id)} {since:.0f} to {until:.0f}"
        await site.note(_session(request), action, subject, address_of(request.scope))
    return since, until


async def _download(chunks: AsyncIterator[Chunk], media_type: str, name: str) -> StreamingResponse:
    """A file for download. Waits for the first chunk, so that a store that fails is answered as an error."""
    first = await anext(chunks)

    async def content() -> AsyncIterator[Chunk]:
        yield first
        async for chunk in chunks:
            yield chunk

    disposition = {"Content-Disposition": f'attachment; filename="{name}"'}
    return StreamingResponse(content(), media_type=media_type, headers=disposition)


def _session(request: Request) -> Session:
    session: Session = request.scope["lowbeam.session"]
    return session


def _stream(stream: LiveStream) -> dict[str, Any]:
    people = [
        {"id": person.id, "estimate": person.estimates[-1]._asdict(), "seen_utc": person.seen_utc}
        for person in stream.people.values()
        if person.estimates
    ]
    return {
        "id": stream.id, "sender": stream.sender, "name": stream.name, "kind": stream.kind,
        "started_utc": stream.started_utc, "can_be_asked": stream.ask is not None, "link": vars(stream.link),
        "people": people,
    }  # fmt: skip
