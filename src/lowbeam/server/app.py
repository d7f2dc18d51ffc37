"""The web application: pages, JSON interface and metrics behind one guard."""

import asyncio
import logging
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import nicegui
from fastapi import APIRouter, FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import Response
from nicegui import ui
from starlette.exceptions import HTTPException
from starlette.responses import FileResponse

from lowbeam.errors import LowbeamError
from lowbeam.server import api, auth
from lowbeam.server.access import RULES, Access, Rule
from lowbeam.server.guard import TEXTS, Guard, plain_error
from lowbeam.server.hub import Hub
from lowbeam.server.metrics import Metrics
from lowbeam.server.pages import admin, front, links, person
from lowbeam.server.settings import ServerSettings
from lowbeam.server.site import Site
from lowbeam.server.store import Store

log = logging.getLogger(__name__)
ASSETS = Path(__file__).parent / "assets"
MOST_MESSAGES = 20  # kept for each page, to be sent again after a short interruption
LIVE_PAGES = (front, links, person)  # NiceGUI knows their routes once they are imported


def make_app(
    settings: ServerSettings, store: Store, hub: Hub, *, routers: Sequence[APIRouter] = (), rules: Sequence[Rule] = ()
) -> FastAPI:
    """The application. `routers` are added to it; every route of theirs needs a rule in `rules`, or it is refused. Its
    `state.site` is the `Site`, with the metrics.

    NiceGUI is one for each process, so only the application that was made last can be served.
    """
    site = Site(settings, store, hub, Access((*RULES, *rules)), Metrics(hub))

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        running = asyncio.create_task(site.run())
        yield
        running.cancel()
        with suppress(asyncio.CancelledError):
            await running

    app = FastAPI(title="lowbeam", docs_url=None, redoc_url=None, openapi_url=None, lifespan=lifespan)
    app.state.site = site
    app.add_middleware(Guard, site=site)
    for router in (api.router, auth.router, admin.router, *routers):
        app.include_router(router)
    app.add_api_route("/assets/{name}", _asset, methods=["GET"])
    app.add_api_route("/favicon.ico", _icon, methods=["GET"])
    app.add_exception_handler(HTTPException, _http_error)
    app.add_exception_handler(RequestValidationError, _malformed)
    app.add_exception_handler(LowbeamError, _store_failed)
    app.add_exception_handler(Exception, _failed)
    nicegui.app.user_middleware.clear()  # of an application that was made before
    nicegui.app.middleware_stack = None
    ui.run_with(
        app, title="lowbeam", dark=None, tailwind=False, show_welcome_message=False,
        message_history_length=MOST_MESSAGES, binding_refresh_interval=None,
    )  # fmt: skip
    return app


async def _icon() -> FileResponse:
    return FileResponse(ASSETS / "icon.svg")


async def _asset(name: str) -> Response:
    """A file of `ASSETS`."""
    files = {path.name: path for path in ASSETS.iterdir()}
    if name not in files:
        raise HTTPException(404, TEXTS[404])
    return FileResponse(files[name])


async def _http_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    text = TEXTS.get(error.status_code, "") if error.detail in {"Not Found", "Method Not Allowed"} else error.detail
    return plain_error(request.url.path, error.status_code, text, error.headers)


async def _malformed(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    places = ", ".join(str(each["loc"][-1]) for each in error.errors())
    return plain_error(request.url.path, 422, f"{TEXTS[422]} Look at: {places}.")


async def _store_failed(request: Request, error: Exception) -> Response:
    log.error("%s", error)
    return plain_error(request.url.path, 503, TEXTS[503])


async def _failed(request: Request, _: Exception) -> Response:
    return plain_error(request.url.path, 500, TEXTS[500])
