"""The server's pages and interface by HTTP: who may do what, cross-site requests, sessions, headers, exports."""

import asyncio
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

pytest.importorskip("nicegui", reason="the serve extra is not installed")
pytest.importorskip("sqlalchemy", reason="the serve extra is not installed")

import nicegui
from fastapi import APIRouter, Request
from starlette.routing import BaseRoute, Mount, Route

from lowbeam.errors import UsageError
from lowbeam.server.access import RULES, Rule, access_table
from lowbeam.server.hub import Hub, LinkState, LiveStream
from lowbeam.server.metrics import Metrics
from lowbeam.server.pages.chart import options
from lowbeam.server.settings import ServerSettings
from lowbeam.server.store import Point
from tests.server_pages import PASSWORD, PageServer, page_server

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "how-to" / "server-access.md"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PageServer]:
    with page_server(tmp_path_factory.mktemp("pages"), pin="ab" * 32, link_address="cam.example:7443") as server:
        server.add_users()
        server.begin_stream()
        yield server


@pytest.fixture
def admin(server: PageServer) -> Iterator[httpx.Client]:
    client = server.logged_in("ada")
    yield client
    client.close()


@pytest.fixture
def viewer(server: PageServer) -> Iterator[httpx.Client]:
    client = server.logged_in("vic")
    yield client
    client.close()


def routes_of(routes: list[BaseRoute]) -> Iterator[tuple[str, str]]:
    """Method and path of all routes, those of NiceGUI too."""
    for route in routes:
        if isinstance(route, Route):
            yield from ((method, route.path) for method in route.methods or () if method != "HEAD")
        elif hasattr(route, "original_router"):
            yield from routes_of(route.original_router.routes)
        elif isinstance(route, Mount) and route.app is nicegui.app:
            yield from routes_of(nicegui.app.routes)


def made(rule: Rule) -> str:
    """A path that the rule is for."""
    path = rule.path.replace("{path:path}", f"{nicegui.__version__}/static/nicegui.js").replace("{name}", "style.css")
    return re.sub(r"\{\w+\}", "1", path)


HTTP_RULES = [rule for rule in RULES if rule.method != "WEBSOCKET"]


def test_every_route_has_a_rule(server: PageServer) -> None:
    found = {pair for pair in routes_of(server.app.routes) if not pair[1].startswith("/_nicegui/")}
    ruled = {(rule.method, rule.path) for rule in HTTP_RULES if not rule.path.startswith("/_nicegui/")}
    assert found == ruled


@pytest.mark.parametrize("rule", HTTP_RULES, ids=lambda rule: f"{rule.method} {rule.path}")
def test_no_session_no_answer(server: PageServer, rule: Rule) -> None:
    with server.client() as client:
        answer = client.request(rule.method, made(rule))
        if rule.who in {"anyone", "local"}:
            assert answer.status_code in {200, 401, 422, 403 if rule.path == "/setup" else 200}
        elif rule.method == "GET" and not rule.path.startswith(("/api", "/_nicegui")):
            assert (answer.status_code, answer.headers["location"]) == (303, "/login")
        else:
            assert answer.status_code == 401


@pytest.mark.parametrize("rule", [rule for rule in HTTP_RULES if rule.who == "admin"], ids=lambda rule: rule.action)
def test_viewers_do_not_manage(viewer: httpx.Client, rule: Rule) -> None:
    assert viewer.request(rule.method, made(rule)).status_code == 403


@pytest.mark.parametrize("rule", [rule for rule in HTTP_RULES if rule.who == "viewer" and rule.method == "GET"],
                         ids=lambda rule: rule.path)  # fmt: skip
def test_viewers_look(viewer: httpx.Client, rule: Rule) -> None:
    assert viewer.get(made(rule)).status_code == 200


@pytest.mark.parametrize("rule", [rule for rule in HTTP_RULES if rule.method == "POST"], ids=lambda rule: rule.path)
@pytest.mark.parametrize(
    "headers", [{"Origin": "https://evil.example"}, {"Origin": "null"}, {}, {"Sec-Fetch-Site": "cross-site"}], ids=str
)
def test_cross_site_posts_are_refused(admin: httpx.Client, rule: Rule, headers: dict[str, str]) -> None:
    del admin.headers["Origin"]
    assert admin.post(made(rule), headers=headers).status_code == 403


def test_forms_of_pages_without_a_referrer_are_accepted(server: PageServer) -> None:
    headers = {"Origin": "null", "Sec-Fetch-Site": "same-origin"}
    answer = httpx.post(f"{server.url}/login", headers=headers, data={"name": "vic", "password": PASSWORD})
    assert answer.status_code == 303
    cookie = answer.headers["set-cookie"].lower()
    assert "httponly" in cookie
    assert "samesite=strict" in cookie


@pytest.mark.parametrize("path", ["/", "/people/1", "/links", "/admin", "/login", "/setup", "/api/streams", "/nothing",
                                  "/healthz", "/assets/live.js"])  # fmt: skip
def test_headers_confine_every_answer(admin: httpx.Client, path: str) -> None:
    headers = admin.get(path).headers
    policy = headers["content-security-policy"]
    assert "frame-ancestors 'none'" in policy
    assert "http" not in policy
    assert "*" not in policy
    assert ("unsafe" in policy) == (path in {"/", "/people/1", "/links"})
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["referrer-policy"] == "no-referrer"
    assert headers["cache-control"] == "no-store"


@pytest.mark.parametrize("path", ["/", "/people/1", "/links", "/admin", "/login", "/setup"])
def test_pages_name_no_other_host_and_no_secret(admin: httpx.Client, path: str) -> None:
    text = admin.get(path).text
    hosts = set(re.findall(r"(?:https?|wss?)://([^/\"'`\s<)]+)", text))
    assert hosts <= {"www.w3.org"}
    assert admin.cookies["lowbeam"] not in text


def test_websockets_need_a_session_this_origin_and_a_page_of_theirs(server: PageServer, viewer: httpx.Client) -> None:
    import websockets

    page = viewer.get("/").text
    number = re.search(r"client_id['\"]?: ?['\"]([0-9a-f-]{36})", page)
    assert number
    path = f"/_nicegui_ws/socket.io/?EIO=4&transport=websocket&client_id={number[1]}"
    cookie = f"lowbeam={viewer.cookies['lowbeam']}"
    other = server.logged_in("ada")

    async def status(cookie: str, origin: str | None, path: str = path) -> int:
        uri = server.url.replace("http", "ws") + path
        headers = {"Cookie": cookie} if cookie else {}
        try:
            async with websockets.connect(uri, origin=origin, additional_headers=headers):  # type: ignore[arg-type]
                return 101
        except websockets.InvalidStatus as error:
            return error.response.status_code

    assert asyncio.run(status(cookie, server.url)) == 101
    assert asyncio.run(status(cookie, "https://evil.example")) == 403
    assert asyncio.run(status(cookie, None)) == 403
    assert asyncio.run(status("", server.url)) == 403
    assert asyncio.run(status("lowbeam=guess", server.url)) == 403
    assert asyncio.run(status(f"lowbeam={other.cookies['lowbeam']}", server.url)) == 403
    assert asyncio.run(status(cookie, server.url, path.partition("&client_id")[0])) == 403
    assert viewer.get(path.replace("websocket", "polling")).status_code in {404, 405}


def test_sessions_expire(server: PageServer) -> None:
    client = server.logged_in("vic")
    assert client.get("/api/me").json() == {"name": "vic", "role": "viewer"}
    server.ahead_s = 3601
    try:
        assert client.get("/api/me").status_code == 401
        assert client.get("/").status_code == 303
    finally:
        server.ahead_s = 0


def test_logging_out_ends_the_session_itself(server: PageServer) -> None:
    client = server.logged_in("vic")
    kept = {"Cookie": f"lowbeam={client.cookies['lowbeam']}"}
    assert client.post("/logout").headers["location"] == "/login"
    assert httpx.get(f"{server.url}/api/me", headers=kept).status_code == 401


def test_logins_are_limited(server: PageServer) -> None:
    with server.client() as client:
        answers = [client.post("/login", data={"name": "nobody", "password": "wrong"}) for _ in range(6)]
    assert {answer.status_code for answer in answers} == {401}
    assert "the name or the password is wrong" in answers[0].text
    assert "too many attempts" in answers[-1].text


def test_exports_hold_the_span(server: PageServer, viewer: httpx.Client) -> None:
    now = time.time()
    answer = viewer.get("/api/senders/1/export.csv", params={"since": now - 100, "until": now - 90})
    lines = answer.text.splitlines()
    assert lines[0].startswith("utc,recording,face")
    assert 48 <= len(lines) - 1 <= 51
    assert answer.headers["content-disposition"] == 'attachment; filename="sender-1.csv"'
    assert viewer.get("/api/senders/1/export.parquet", params={"since": now - 100}).content[:4] == b"PAR1"
    noted = {(entry.user, entry.action) for entry in server.do(server.store.audit.last(100))}
    assert {("vic", "export CSV"), ("vic", "export Parquet")} <= noted


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/api/senders/../../etc/passwd/export.csv", 404),
        ("/api/senders/..%2f..%2fetc%2fpasswd/export.csv", 404),
        ("/api/senders/%2e%2e/export.csv", 422),
        ("/api/senders/1%00/export.csv", 422),
        ("/api/senders/-1/export.csv", 404),
        ("/api/senders/99999999999999999999/export.csv", 404),
        ("/api/senders/1/export.csv?since=nan", 422),
        ("/api/senders/1/export.csv?since=5&until=4", 422),
        ("/api/senders/1/export.exe", 404),
        ("/assets/..%2fsettings.py", 404),
        ("/assets/%2e%2e", 404),
        ("/people/x", 422),
        ("/people/9", 404),
    ],
)
def test_path_tricks_are_refused(server: PageServer, viewer: httpx.Client, path: str, status: int) -> None:
    url = httpx.URL(server.url).copy_with(raw_path=path.encode())  # as it stands, not normalized
    answer = viewer.get(url)
    assert answer.status_code == status
    assert "Traceback" not in answer.text


def test_long_bodies_are_refused(admin: httpx.Client) -> None:
    assert admin.post("/admin/senders", data={"name": "x" * 70_000}).status_code == 413

    def chunks() -> Iterator[bytes]:
        for _ in range(100):
            yield b"name=" + b"x" * 1000

    form = {"Content-Type": "application/x-www-form-urlencoded"}
    assert admin.post("/admin/senders", content=chunks(), headers=form).status_code == 400


def test_asks_reach_the_sender_and_budgets_are_for_admins(
    server: PageServer, admin: httpx.Client, viewer: httpx.Client
) -> None:
    server.asked.clear()
    assert viewer.post("/api/streams/1/ask", json={"look_s": 10}).json() == {"asked": ["closer look 10 s"]}
    assert viewer.post("/api/streams/1/ask", json={"budget_bps": 3000}).status_code == 403
    assert admin.post("/api/streams/1/ask", json={"budget_bps": 3000, "key": True}).status_code == 202
    assert [(ask.key, ask.budget_bps, ask.look_s) for ask in server.asked] == [(False, None, 10), (True, 3000, None)]
    for wrong in ({}, {"look_s": 1e9}, {"budget_bps": -1}, {"key": True, "other": 1}, [], "x"):
        assert admin.post("/api/streams/1/ask", json=wrong).status_code == 422
    assert admin.post("/api/streams/7/ask", json={"key": True}).status_code == 404
    assert len(server.asked) == 2


def test_streams_and_history_as_json(viewer: httpx.Client) -> None:
    (stream,) = viewer.get("/api/streams").json()
    assert (stream["name"], stream["kind"], stream["can_be_asked"]) == ("Room 12", "link", True)
    assert -1 <= stream["people"][0]["estimate"]["valence"] <= 1
    history = viewer.get("/api/senders/1/history", params={"since": time.time() - 200}).json()
    assert 100 < len(history) < 1000
    assert set(history[0]) >= {"utc", "valence", "arousal_std"}


def test_looks_are_noted_once_in_a_while(server: PageServer) -> None:
    def looks() -> int:
        entries = server.do(server.store.audit.last(1000))
        return sum((e.user, e.action, e.subject) == ("eve", "look", "sender 1 (Room 12)") for e in entries)

    server.do(server.store.accounts.add_user("eve", PASSWORD, "viewer"))
    client = server.logged_in("eve")
    assert looks() == 0
    for _ in range(3):
        client.get("/people/1")
    assert looks() == 1


def test_the_token_of_a_sender_is_shown_once(server: PageServer, admin: httpx.Client) -> None:
    page = admin.post("/admin/senders", data={"name": "<i>Bed</i> 3"}).text
    command = re.search(r"lowbeam send camera:0 --to lowbeam://cam.example:7443 --pin (\w+) --token (\S+)</pre>", page)
    assert command
    assert command[1] == "ab" * 32
    sender = server.do(server.store.accounts.sender_of(command[2]))
    assert sender
    assert sender.name == "<i>Bed</i> 3"
    assert "<i>" not in page
    assert command[2] not in admin.get("/admin").text
    assert admin.post(f"/admin/senders/{sender.id}/revoke").status_code == 303
    assert server.do(server.store.accounts.sender_of(command[2])) is None


def test_admins_manage_users(server: PageServer, admin: httpx.Client) -> None:
    assert admin.post("/admin/users", data={"name": "kim", "password": "short"}).status_code == 400
    new = {"name": "kim", "password": PASSWORD, "role": "viewer"}
    assert admin.post("/admin/users", data=new).status_code == 303
    assert admin.post("/admin/users", data=new | {"name": "k2", "role": "owner"}).status_code == 422
    client = server.logged_in("kim")
    kim = next(user for user in server.do(server.store.accounts.users()) if user.name == "kim")
    assert admin.post(f"/admin/users/{kim.id}/password", data={"password": PASSWORD[::-1]}).status_code == 303
    assert client.get("/api/me").status_code == 401
    assert admin.post(f"/admin/users/{kim.id}/remove").status_code == 303
    assert admin.post("/admin/users/1/remove").status_code == 400  # the last admin


def test_metrics_are_local_or_for_admins(server: PageServer, admin: httpx.Client, viewer: httpx.Client) -> None:
    text = httpx.get(f"{server.url}/metrics").text
    assert "lowbeam_streams 1.0" in text
    assert 'lowbeam_refused_requests_total{status="403"}' in text
    assert httpx.get(f"{server.url}/metrics", headers={"Host": f"evil.example:{server.port}"}).status_code == 401
    proxied = {"X-Forwarded-For": "203.0.113.9"}
    assert httpx.get(f"{server.url}/metrics", headers=proxied).status_code == 401
    assert viewer.get("/metrics", headers=proxied).status_code == 403
    assert admin.get("/metrics", headers=proxied).status_code == 200


def test_delays_are_quantiles_of_the_last_minute() -> None:
    now, hub = 0.0, Hub()
    metrics = Metrics(hub, lambda: now)
    stream = LiveStream(1, 1, "a", "link", 0.0)
    hub.begin(stream)
    for number in range(200):
        now = float(number)
        stream.link = LinkState(delay_s=9.0 if number < 139 else (number - 139) / 100)
        metrics.seen(stream)
    metrics.dropped("late", 3)
    text = metrics.text().decode()
    assert 'lowbeam_delay_seconds{quantile="0.5"} 0.3' in text
    assert 'lowbeam_delay_seconds{quantile="0.99"} 0.5' in text
    assert 'lowbeam_dropped_total{reason="late"} 3.0' in text


def test_health(server: PageServer) -> None:
    assert httpx.get(f"{server.url}/healthz").text == "ok\n"
    assert httpx.get(f"{server.url}/readyz").text == "ready\n"


def test_the_first_run_secret_works_once(tmp_path: Path) -> None:
    with page_server(tmp_path) as server, server.client() as client:
        assert "There is no admin yet" in client.get("/login").text
        secret = server.do(server.store.accounts.setup_token())
        new = {"token": secret, "name": "ada", "password": PASSWORD}
        assert client.post("/setup", json=new | {"token": "guess"}).status_code == 403
        wrong = client.post("/setup", json={"token": secret})
        assert (wrong.status_code, secret in wrong.text) == (422, False)
        assert client.post("/setup", json=new).json() == {"name": "ada"}
        assert client.get("/api/me").json() == {"name": "ada", "role": "admin"}
        assert client.post("/setup", json=new | {"name": "bob"}).status_code == 403


def test_routes_of_senders_bring_their_own_check(tmp_path: Path) -> None:
    router = APIRouter()

    @router.post("/whip")
    async def whip(request: Request) -> dict[str, int]:
        return {"bytes": len(await request.body())}

    @router.post("/unruled")
    async def unruled() -> None: ...

    rules = [Rule("Publish", "POST", "/whip", "sender")]
    with page_server(tmp_path, routers=[router], rules=rules) as server:
        answer = httpx.post(f"{server.url}/whip", content=b"x" * 100_000, headers={"Origin": "https://other.example"})
        assert answer.json() == {"bytes": 100_000}
        assert server.client().post("/unruled").status_code == 404


def test_a_store_that_fails_is_said_plainly(tmp_path: Path) -> None:
    with page_server(tmp_path) as server:
        server.add_users()
        client = server.logged_in("ada")
        server.do(server.store.close())
        (tmp_path / "store.db").unlink()
        (tmp_path / "store.db").mkdir()
        assert client.get("/readyz").status_code == 503
        assert client.get("/api/streams").json() == {"error": "The store does not answer."}
        assert server.client().get("/login").status_code == 503


def test_cookies_are_secure_with_tls(tmp_path: Path) -> None:
    with page_server(tmp_path, public_url="https://lowbeam.example") as server:
        server.add_users()
        answer = server.client().post("/login", data={"name": "vic", "password": PASSWORD})
        assert answer.headers["set-cookie"].startswith("__Host-lowbeam=")
        assert "; Secure" in answer.headers["set-cookie"]


def test_the_chart_breaks_its_line_where_nothing_came() -> None:
    points = [Point(float(t), 1, 0, 0.5, -0.5, 0.1, 0.2) for t in (0, 1, 2, 30, 31)]
    lower, band, line = (series["data"] for series in options(points, 0, 60)["series"][:3])
    assert [value for _, value in line] == [0.5, 0.5, 0.5, None, 0.5, 0.5]
    assert lower[0] == [0, 0.4]
    assert band[0] == [0, 0.2]


@pytest.mark.parametrize(
    "wrong", [{"port": 70000}, {"host": ""}, {"retention_s": 0}, {"public_url": "ftp://x"}, {"pin": "12"}], ids=str
)
def test_settings_are_checked(wrong: dict) -> None:
    with pytest.raises(UsageError):
        ServerSettings(**wrong)


def test_nothing_is_written_into_the_folders_of_the_user(tmp_path: Path) -> None:
    (tmp_path / "home").mkdir()
    (tmp_path / "here").mkdir()
    (tmp_path / "store").mkdir()
    code = (
        "import sys; from pathlib import Path; from tests.server_pages import page_server\n"
        f"with page_server(Path({str(tmp_path / 'store')!r})) as server:\n"
        "    server.add_users(); client = server.logged_in('ada'); assert client.get('/').status_code == 200"
    )
    env = {"HOME": str(tmp_path / "home"), "PYTHONPATH": f"{ROOT}:{ROOT / 'src'}", "PYTHONDONTWRITEBYTECODE": "1"}
    subprocess.run([sys.executable, "-c", code], cwd=tmp_path / "here", env=env, check=True, timeout=90)
    assert [*(tmp_path / "home").iterdir(), *(tmp_path / "here").iterdir()] == []


def test_the_table_in_the_docs_is_that_of_the_server() -> None:
    assert access_table(RULES) in PAGE.read_text()
