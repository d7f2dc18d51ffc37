"""Logging in and out, and the first run."""

import logging
from typing import Annotated

from fastapi import APIRouter, Form, Request
from fastapi.responses import HTMLResponse, JSONResponse, RedirectResponse, Response
from pydantic import BaseModel

from lowbeam.server.guard import address_of, cookie_name
from lowbeam.server.pages.layout import THEME_BUTTON, complaint, plain_page
from lowbeam.server.site import Site
from lowbeam.server.store import AccountError

log = logging.getLogger(__name__)
router = APIRouter()


def site_of(request: Request) -> Site:
    """The site that a request is for."""
    site: Site = request.scope["lowbeam.site"]
    return site


def _set_cookie(response: Response, site: Site, cookie: str) -> None:
    is_secure = site.settings.is_secure
    response.set_cookie(cookie_name(is_secure), cookie, path="/", secure=is_secure, httponly=True, samesite="strict")


@router.get("/login")
async def login_page(request: Request) -> HTMLResponse:
    """The page to log in."""
    return HTMLResponse(_login_form(None, await site_of(request).store.accounts.has_admin()))


@router.post("/login")
async def log_in(
    request: Request, name: Annotated[str, Form()] = "", password: Annotated[str, Form()] = ""
) -> Response:  # fmt: skip
    """Begin a session."""
    site, address = site_of(request), address_of(request.scope)
    try:
        cookie = await site.store.accounts.log_in(name, password, address)
    except AccountError as error:
        log.warning("a login from %s failed: %s", address, error)
        return HTMLResponse(_login_form(str(error), True), 401)
    session = await site.store.accounts.session(cookie)
    if session is not None:
        await site.note(session, "log in", "", address)
    response = RedirectResponse("/", 303)
    _set_cookie(response, site, cookie)
    return response


@router.post("/logout")
async def log_out(request: Request) -> RedirectResponse:
    """End the session."""
    site = site_of(request)
    await site.store.accounts.log_out(request.scope["lowbeam.cookie"])
    await site.note(request.scope["lowbeam.session"], "log out", "", address_of(request.scope))
    response = RedirectResponse("/login", 303)
    response.delete_cookie(
        cookie_name(site.settings.is_secure), path="/", secure=site.settings.is_secure, httponly=True, samesite="strict"
    )
    return response


class Setup(BaseModel):
    """What makes the first admin."""

    token: str
    name: str
    password: str


@router.get("/setup")
async def setup_page() -> HTMLResponse:
    """The page of the first run. The secret stands in the fragment of its address, which browsers do not send."""
    body = (
        '<section class="panel narrow"><h1>Make the first admin</h1><form id="setup">'
        '<label>Name <input name="name" autocomplete="username" required maxlength="100" autofocus></label>'
        '<label>Password, at least 10 characters <input name="password" type="password" autocomplete="new-password" '
        'required minlength="10"></label><button>Make the admin</button>'
        '<p class="wrong" role="alert" hidden></p></form>'
        f"</section>{THEME_BUTTON}"
    )
    return HTMLResponse(plain_page("First run", body, "setup.js"))


@router.post("/setup")
async def set_up(request: Request, wanted: Setup) -> JSONResponse:
    """Make the first admin and log in."""
    site, address = site_of(request), address_of(request.scope)
    accounts = site.store.accounts
    try:
        user = await accounts.use_setup_token(wanted.token, wanted.name, wanted.password)
        cookie = await accounts.log_in(user.name, wanted.password, address)
    except AccountError as error:
        return JSONResponse({"error": str(error)}, 403)
    await site.store.audit.note(user.name, "first run", f"user {user.id} ({user.name})", address)
    response = JSONResponse({"name": user.name})
    _set_cookie(response, site, cookie)
    return response


def _login_form(wrong: str | None, has_admin: bool) -> str:
    hint = "" if has_admin else (
        "<p>There is no admin yet. Open the first-run link that <code>lowbeam serve</code> printed.</p>"
    )  # fmt: skip
    body = (
        f'<section class="panel narrow"><h1>lowbeam</h1>{hint}<form method="post" action="/login">'
        '<label>Name <input name="name" autocomplete="username" required autofocus></label>'
        '<label>Password <input name="password" type="password" autocomplete="current-password" required></label>'
        f"<button>Log in</button>{complaint(wrong)}</form></section>{THEME_BUTTON}"
    )
    return plain_page("Log in", body)
