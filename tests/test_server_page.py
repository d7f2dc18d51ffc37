"""The server's pages in a real browser."""

import csv
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("nicegui", reason="the serve extra is not installed")
pytest.importorskip("sqlalchemy", reason="the serve extra is not installed")
pytest.importorskip("playwright.sync_api", reason="Playwright is not installed")

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from nicegui import Client

from tests.server_pages import PASSWORD, PageServer, page_server

SHOWN_MS = 20_000
PEM = serialization.Encoding.PEM


@pytest.fixture
def page(browser: Any) -> Iterator[Any]:
    """A page that may talk to its server only; it fails the test if a script fails."""
    context = browser.new_context(ignore_https_errors=True)
    page = context.new_page()
    page.set_default_timeout(SHOWN_MS)
    errors: list[str] = []
    hosts: set[str] = set()
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.on("console", lambda message: errors.append(message.text) if "Content Security" in message.text else None)
    page.on("request", lambda request: hosts.add(request.url.split("/")[2].split(":")[0]))
    yield page
    context.close()
    assert errors == []
    assert hosts <= {"127.0.0.1", "image"}  # data:image/png


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PageServer]:
    with page_server(tmp_path_factory.mktemp("pages")) as server:
        server.add_users()
        yield server


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A certificate of 127.0.0.1 that nobody signed, with its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name, now = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "lowbeam")]), datetime.now(UTC)
    builder = x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
    builder = builder.not_valid_before(now - timedelta(days=1)).not_valid_after(now + timedelta(days=1))
    address = x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))])
    signed = builder.add_extension(address, critical=False).sign(key, hashes.SHA256())
    form = serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    path = tmp_path_factory.mktemp("tls") / "server.pem"
    path.write_bytes(signed.public_bytes(PEM) + key.private_bytes(PEM, *form))
    return path


def log_in(page: Any, server: PageServer, name: str) -> None:
    page.goto(f"{server.url}/login")
    page.fill("[name=name]", name)
    page.fill("[name=password]", PASSWORD)
    page.click("text=Log in")
    page.wait_for_url(f"{server.url}/")


def values(page: Any, seconds: float) -> list[str]:
    """The different values of valence that the page shows for some seconds."""
    seen: list[str] = []
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        value = page.inner_text("[data-value=valence]")
        if value not in seen:
            seen.append(value)
        time.sleep(0.05)
    return seen


def test_from_the_first_run_to_logging_out(page: Any, tmp_path: Path) -> None:
    with page_server(tmp_path) as server:
        secret = server.do(server.store.accounts.setup_token())
        stream = server.begin_stream()
        with server.feeding(stream):
            page.goto(f"{server.url}/setup#{secret}")
            page.wait_for_function("location.hash === ''")
            page.fill("[name=name]", "ada")
            page.fill("[name=password]", PASSWORD)
            page.click("text=Make the admin")
            page.wait_for_selector("[data-value=valence]")
            assert len(values(page, 3)) >= 4
            assert "kbit/s" in page.inner_text(".numbers")
            page.wait_for_selector("img[alt='restored face']")

            page.click("text=Room 12")
            page.click("text=Look closer")
            page.wait_for_selector("text=asked: closer look 10 s")
            page.fill("[name=budget_kbps]", "2.5")
            page.click("text=Set")
            page.wait_for_selector("text=asked: budget 2500 bit/s")
            assert [(ask.look_s, ask.budget_bps) for ask in server.asked] == [(10, None), (None, 2500)]
            page.wait_for_selector(".history canvas")
            with page.expect_download() as download:
                page.click("text=CSV")
            with Path(download.value.path()).open() as file:
                assert len(list(csv.DictReader(file))) == 1500

            page.click("text=Log out")
            page.wait_for_url("**/login")
            for path in ("/", "/people/1", "/admin"):
                page.goto(server.url + path)
                assert page.url == f"{server.url}/login"


def test_numbers_move_with_the_times_of_their_frames(page: Any, server: PageServer) -> None:
    server.call(server.hub.streams.clear)
    stream = server.begin_stream("Ward")
    log_in(page, server, "vic")
    page.wait_for_selector("[data-value=valence]")
    page.evaluate(
        """() => {
            globalThis.times = [];
            const newest = () => document.querySelector("[data-value=valence]").dataset.time;
            let last = newest();
            const look = () => {
                if (newest() !== last) times.push(last = newest());
            };
            new MutationObserver(look).observe(document.body, { subtree: true, childList: true, attributes: true });
        }"""
    )
    with server.feeding(stream):
        page.wait_for_function("times.length >= 12", timeout=30_000)
    shown = [float(each) for each in page.evaluate("times")]
    made = {round(1000 * (stream.started_utc + each.time_s)) for each in stream.people[0].estimates}
    assert shown == sorted(shown)
    assert {round(1000 * each) for each in shown} <= made


def test_a_session_that_ends_stops_the_page(page: Any, server: PageServer) -> None:
    stream = server.begin_stream()
    with server.feeding(stream):
        log_in(page, server, "vic")
        page.wait_for_selector("[data-value=valence]")
        vic = next(user for user in server.do(server.store.accounts.users()) if user.name == "vic")
        server.do(server.store.accounts.log_out_all(vic.id))
        page.wait_for_url("**/login")


def test_viewers_see_no_budget_field(page: Any, server: PageServer) -> None:
    stream = server.begin_stream("Lab")
    with server.feeding(stream):
        log_in(page, server, "vic")
        page.goto(f"{server.url}/people/{stream.sender}")
        page.wait_for_selector("text=Key face")
        assert page.query_selector("[name=budget_kbps]") is None
        assert page.query_selector("text=Admin") is None


def test_streams_come_and_go_on_the_open_page(page: Any, server: PageServer) -> None:
    server.call(server.hub.streams.clear)
    log_in(page, server, "vic")
    page.wait_for_selector("text=Nobody is on.")
    stream = server.begin_stream("<script>Bed</script>")
    page.wait_for_selector("text=<script>Bed</script>")
    server.call(lambda: server.hub.end(stream.id))
    page.wait_for_selector("text=Nobody is on.")


def waiting() -> int:
    """The number of updates that wait to be sent to all pages."""
    return sum(len(client.outbox.messages) + len(client.outbox.updates) for client in Client.instances.values())


def test_hidden_pages_are_not_updated_and_nothing_piles_up(page: Any, server: PageServer) -> None:
    stream = server.begin_stream("Attic")
    with server.feeding(stream):
        log_in(page, server, "vic")
        page.wait_for_selector("[data-value=valence]")
        page.evaluate("Object.defineProperty(document, 'hidden', {get: () => globalThis.isHidden ?? false})")
        page.evaluate("isHidden = true")
        time.sleep(1)
        assert len(values(page, 2)) == 1
        before = waiting()
        time.sleep(2)
        assert waiting() <= before
        page.evaluate("isHidden = false; document.dispatchEvent(new Event('visibilitychange'))")
        assert len(values(page, 2)) >= 3


@pytest.mark.parametrize("width", [400, 1280])
@pytest.mark.parametrize("theme", ["light", "dark"])
def test_pages_fit_and_follow_the_theme(page: Any, server: PageServer, width: int, theme: str) -> None:
    stream = server.begin_stream("A name that is as long as names of rooms in large hospitals are")
    page.emulate_media(color_scheme=theme)
    page.set_viewport_size({"width": width, "height": 800})
    with server.feeding(stream):
        log_in(page, server, "ada")
        for path in ("/", f"/people/{stream.sender}", "/links", "/admin"):
            page.goto(server.url + path)
            page.wait_for_selector(".card, .panel")
            assert page.evaluate("document.documentElement.scrollWidth") <= width
            ground = page.evaluate("getComputedStyle(document.body).backgroundColor")
            assert ground == ("rgb(245, 246, 248)" if theme == "light" else "rgb(16, 19, 23)")
        page.click("[data-theme-toggle]")
        assert page.evaluate("document.documentElement.dataset.theme") != theme


def test_the_history_zooms_and_stays_zoomed_while_it_grows(page: Any, server: PageServer) -> None:
    stream = server.begin_stream("Hall")
    chart = "getElement(Number(document.querySelector('.history').id.slice(1))).chart.getOption()"
    log_in(page, server, "vic")
    page.goto(f"{server.url}/people/{stream.sender}")
    page.wait_for_function(f"{chart}.series[2].data.length > 100")
    page.hover(".history")
    page.mouse.wheel(0, -300)
    page.wait_for_function(f"{chart}.dataZoom[0].start > 0")
    before = page.evaluate(f"[{chart}.dataZoom[0].start, {chart}.xAxis[0].max]")
    page.wait_for_function(f"{chart}.xAxis[0].max > {before[1]}")
    assert page.evaluate(f"{chart}.dataZoom[0].start") == pytest.approx(before[0])
    page.click("text=24 h")
    page.wait_for_url("**span=86400")
    page.wait_for_function(f"{chart}.series[2].data.length > 100")


def test_pages_live_behind_tls(page: Any, certificate: Path, tmp_path: Path) -> None:
    with page_server(tmp_path, certificate=certificate) as server:
        server.add_users()
        stream = server.begin_stream()
        with server.feeding(stream):
            assert server.url.startswith("https://")
            log_in(page, server, "vic")
            page.wait_for_selector("[data-value=valence]")
            assert len(values(page, 2)) >= 3
            (cookie,) = page.context.cookies()
            assert (cookie["name"], cookie["secure"], cookie["httpOnly"]) == ("__Host-lowbeam", True, True)
            assert cookie["sameSite"] == "Strict"
