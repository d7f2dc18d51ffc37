"""The page of admins: senders, users and the audit log."""

import shlex
from html import escape
from typing import Annotated, Literal

from fastapi import APIRouter, Form, Request
from fastapi.responses import HTMLResponse, RedirectResponse, Response

from lowbeam.server.auth import site_of
from lowbeam.server.guard import address_of
from lowbeam.server.pages.layout import complaint, plain_page, top_bar, utc
from lowbeam.server.settings import ServerSettings
from lowbeam.server.site import Site
from lowbeam.server.store import AccountError, AuditEntry, Sender, User

router = APIRouter()
MOST_ENTRIES = 200
PASSWORD = 'name="password" type="password" autocomplete="new-password" required minlength="10"'


@router.get("/admin")
async def admin_page(request: Request) -> HTMLResponse:
    """Senders, users and the audit log."""
    return await _page(request)


@router.post("/admin/senders")
async def add_sender(request: Request, name: Annotated[str, Form()] = "") -> Response:
    """Add a sender; its token is in the answer, and nowhere else."""
    site = site_of(request)
    try:
        sender, token = await site.store.accounts.add_sender(name)
    except AccountError as error:
        return await _page(request, str(error))
    await _note(request, "add sender", f"sender {sender.id} ({sender.name})")
    return await _page(request, new=_new_sender(site.settings, sender, token))


@router.post("/admin/senders/{sender_id}/revoke")
async def revoke_sender(request: Request, sender_id: int) -> Response:
    """Refuse a sender's token from now on."""
    site = site_of(request)
    subject = await site.subject(sender_id)
    try:
        await site.store.accounts.revoke_sender(sender_id)
    except AccountError as error:
        return await _page(request, str(error))
    await _note(request, "revoke sender", subject)
    return RedirectResponse("/admin", 303)


@router.post("/admin/users")
async def add_user(
    request: Request, name: Annotated[str, Form()] = "", password: Annotated[str, Form()] = "",
    role: Annotated[Literal["viewer", "admin"], Form()] = "viewer",
) -> Response:  # fmt: skip
    """Add a user."""
    try:
        user = await site_of(request).store.accounts.add_user(name, password, role)
    except AccountError as error:
        return await _page(request, str(error))
    await _note(request, f"add {role}", f"user {user.id} ({user.name})")
    return RedirectResponse("/admin", 303)


@router.post("/admin/users/{user_id}/remove")
async def remove_user(request: Request, user_id: int) -> Response:
    """Remove a user."""
    try:
        await site_of(request).store.accounts.remove_user(user_id)
    except AccountError as error:
        return await _page(request, str(error))
    await _note(request, "remove user", f"user {user_id}")
    return RedirectResponse("/admin", 303)


@router.post("/admin/users/{user_id}/password")
async def set_password(request: Request, user_id: int, password: Annotated[str, Form()] = "") -> Response:
    """Change a password."""
    try:
        await site_of(request).store.accounts.set_password(user_id, password)
    except AccountError as error:
        return await _page(request, str(error))
    await _note(request, "set password", f"user {user_id}")
    return RedirectResponse("/admin", 303)


async def _note(request: Request, action: str, subject: str) -> None:
    site: Site = site_of(request)
    await site.note(request.scope["lowbeam.session"], action, subject, address_of(request.scope))


async def _page(request: Request, wrong: str | None = None, new: str = "") -> HTMLResponse:
    site = site_of(request)
    senders, users = await site.store.accounts.senders(), await site.store.accounts.users()
    entries = await site.store.audit.last(MOST_ENTRIES)
    body = f"<h1>Admin</h1>{complaint(wrong)}{new}{_senders(senders)}{_users(users)}{_audit(entries)}"
    bar = top_bar(request.scope["lowbeam.session"], "/admin")
    return HTMLResponse(plain_page("Admin", body, bar=bar), 400 if wrong else 200)


def _new_sender(settings: ServerSettings, sender: Sender, token: str) -> str:
    to = settings.link_address or f"{settings.host}:{settings.port}"
    pin = f" --pin {settings.pin}" if settings.pin else ""
    command = f"lowbeam send camera:0 --to lowbeam://{shlex.quote(to)}{pin} --token {token}"
    return (
        f'<section class="panel new"><h2>{escape(sender.name)} was added</h2><p>Type this on the machine with '
        f'the camera. The token is not shown again.</p><pre id="command">{escape(command)}</pre>'
        '<button type="button" data-copy="command">Copy</button></section>'
    )


def _senders(senders: list[Sender]) -> str:
    rows = "".join(
        f'<tr><td>{each.id}</td><td><a href="/people/{each.id}">{escape(each.name)}</a></td><td>{utc(each.created_utc)}'
        f"</td><td>{_revocation(each)}</td></tr>"
        for each in senders
    )
    return (
        '<section class="panel"><h2>Senders</h2><div class="wide"><table><thead><tr><th>Id</th>'
        f"<th>Name</th><th>Added</th><th>Token</th></tr></thead><tbody>{rows}</tbody></table></div>"
        '<form method="post" action="/admin/senders" class="inline"><label>Name '
        '<input name="name" required maxlength="100"></label><button>Add a sender</button></form></section>'
    )


def _revocation(sender: Sender) -> str:
    if sender.revoked_utc is not None:
        return f"revoked {utc(sender.revoked_utc)}"
    action = f"/admin/senders/{sender.id}/revoke"
    return f'<form method="post" action="{action}"><button class="quiet danger">Revoke</button></form>'


def _users(users: list[User]) -> str:
    rows = "".join(
        f'<tr><td>{escape(each.name)}</td><td>{each.role}</td><td><form method="post" class="inline" '
        f'action="/admin/users/{each.id}/password"><input aria-label="New password of {escape(each.name)}" '
        f'placeholder="new password" {PASSWORD}><button class="quiet">Set</button></form></td><td><form method="post" '
        f'action="/admin/users/{each.id}/remove"><button class="quiet danger">Remove</button></form></td></tr>'
        for each in users
    )
    return (
        '<section class="panel"><h2>People who may look</h2><div class="wide"><table><thead><tr><th>Name</th>'
        f"<th>Role</th><th>Password</th><th></th></tr></thead><tbody>{rows}</tbody></table></div>"
        '<form method="post" action="/admin/users" class="inline"><label>Name '
        f'<input name="name" required maxlength="100"></label><label>Password <input {PASSWORD}></label>'
        '<label>Role <select name="role"><option>viewer</option><option>admin</option></select></label>'
        "<button>Add a user</button></form></section>"
    )


def _audit(entries: list[AuditEntry]) -> str:
    rows = "".join(
        f"<tr><td>{utc(each.utc)}</td><td>{escape(each.user)}</td><td>{escape(each.action)}</td>"
        f"<td>{escape(each.subject)}</td><td>{escape(each.address)}</td></tr>"
        for each in entries
    )
    return (
        f'<section class="panel"><h2>Audit log, the last {MOST_ENTRIES} entries</h2><div class="wide"><table><thead>'
        "<tr><th>Time</th><th>Who</th><th>Action</th><th>Subject</th><th>Address</th></tr></thead>"
        f"<tbody>{rows}</tbody></table></div></section>"
    )
