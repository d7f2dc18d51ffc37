"""`serve`: the server as one program: the receiver of the link, WHIP, the store, and the pages."""

import asyncio
import ipaddress
import logging
import os
import re
import socket
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import uvicorn

from lowbeam.errors import OutputError, UsageError
from lowbeam.link.quic import DEFAULT_PORT, fingerprint, own_certificate
from lowbeam.link.receiver import Receiver
from lowbeam.recognize import DEFAULT_MODEL
from lowbeam.server.access import WHIP_RULES
from lowbeam.server.app import make_app
from lowbeam.server.hub import Hub
from lowbeam.server.link_ingest import LinkIngest
from lowbeam.server.settings import ServerSettings
from lowbeam.server.store import Store
from lowbeam.server.whip import whip_router
from lowbeam.server.workers import Workers

DATABASE = "store.sqlite"
RETENTION_EVERY_S = 3600.0
UNITS_S = {"h": 3600.0, "d": 86400.0, "w": 604800.0}
FIRST_SENDER = "camera"
EVERY_ADDRESS = ("0.0.0.0", "::")
ELSEWHERE = ("192.0.2.1", 9)  # an address for documentation (RFC 5737)
DRAIN_S = 5  # that requests may take when the server ends

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Serving:
    """What a user needs once the server runs: the address of the pages, the link to make the first admin (None if there
    is one), the address of the link, the fingerprint of the certificate, and the token of the first sender, which is
    made when there is none yet and shown only then."""

    url: str
    setup_url: str | None
    link: str
    pin: str
    token: str | None = field(repr=False)


@dataclass(frozen=True)
class ServeOptions:
    """Options of `serve`: `data`, the folder for the database and the certificate; `store`, the URL of another
    database; `certificate` and `key`, PEM files; `retention`, such as ``30d``."""

    host: str = "127.0.0.1"
    port: int = DEFAULT_PORT
    data: Path = Path("lowbeam-server")
    store: str | None = None
    certificate: Path | None = None
    key: Path | None = None
    retention: str | None = None
    keep_faces: bool = False
    public_url: str | None = None
    model: str = DEFAULT_MODEL


def parse_retention(text: str) -> float:
    """Seconds in a time such as ``12h``, ``30d`` or ``8w``. Raises `UsageError`."""
    found = re.fullmatch(r"(\d{1,6})([hdw])", text.strip())
    if found is None or int(found[1]) == 0:
        raise UsageError(f"retention {text} is not a number of hours, days or weeks, such as 12h, 30d or 8w")
    return int(found[1]) * UNITS_S[found[2]]


def serve(options: ServeOptions, ready: Callable[[Serving], None] = lambda serving: None) -> None:
    """Run the server until SIGINT or SIGTERM. `ready` is called once it listens. Off loopback, pages are served by TLS
    only. Raises `UsageError`, `ModelError` or `OutputError`."""
    retention_s = None if options.retention is None else parse_retention(options.retention)
    certificate, key = _certificate(options)
    pin = fingerprint(certificate)
    address = f"{_shown_host(options.host)}:{options.port}"
    public_url = options.public_url or (f"https://{address}" if options.host in EVERY_ADDRESS else None)
    settings = ServerSettings(
        options.host, options.port, keep_faces=options.keep_faces, retention_s=retention_s,
        is_tls=not _is_loopback(options.host), public_url=public_url, link_address=address, pin=pin,
    )  # fmt: skip
    with asyncio.Runner() as runner:
        runner.run(_serve(options, settings, certificate, key, ready))


def _certificate(options: ServeOptions) -> tuple[Path, Path]:
    if (options.certificate is None) != (options.key is None):
        raise UsageError("--tls-cert and --tls-key belong together")
    if options.certificate is not None and options.key is not None:
        return options.certificate, options.key
    return own_certificate(options.data, options.host)


def _shown_host(host: str) -> str:
    """The host under which others reach the server: of a server that listens on every address, the one by which this
    machine reaches others."""
    if host not in EVERY_ADDRESS:
        return f"[{host}]" if ":" in host else host
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(ELSEWHERE)  # of UDP: nothing is sent
            return str(probe.getsockname()[0])
        except OSError:  # no network
            return socket.gethostname()


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


async def _serve(
    options: ServeOptions, settings: ServerSettings, certificate: Path, key: Path, ready: Callable[[Serving], None]
) -> None:
    url = options.store or f"sqlite:///{(options.data / DATABASE).absolute()}"
    store, hub, workers = await Store.open(url), Hub(), Workers(options.model)
    try:
        ingest = LinkIngest(store, hub, workers, keep_faces=options.keep_faces)
        whip = whip_router(store, hub, workers, keep_faces=options.keep_faces)
        app = make_app(settings, store, hub, routers=[whip], rules=WHIP_RULES)
        async with Receiver(
            certificate, key, authorize=ingest.authorize, host=options.host, port=options.port, stores_itself=True
        ) as receiver:
            await store.recordings.end_all()  # now that the port is this server's: another may be running
            tasks = [asyncio.create_task(ingest.run(receiver)), asyncio.create_task(_keep_retention(store, settings))]
            web = _web(app, settings, certificate, key)
            telling = asyncio.create_task(_tell(web, store, settings, ready))
            try:
                await web.serve()
                if not web.started:
                    raise OutputError(f"cannot listen on TCP {options.host}:{options.port}")
            except SystemExit as error:  # uvicorn's, after an error that it logged
                raise OutputError(f"cannot listen on TCP {options.host}:{options.port}") from error
            finally:
                telling.cancel()
                for task in tasks:
                    task.cancel()
                await asyncio.gather(*tasks, return_exceptions=True)
    finally:
        workers.close()
        await store.close()


def _web(app: object, settings: ServerSettings, certificate: Path, key: Path) -> uvicorn.Server:
    tls = {"ssl_certfile": os.fspath(certificate), "ssl_keyfile": os.fspath(key)} if settings.is_tls else {}
    return uvicorn.Server(
        uvicorn.Config(
            app,  # type: ignore[arg-type]  # an ASGI application
            host=settings.host,
            port=settings.port,
            log_config=None,
            access_log=False,
            server_header=False,
            timeout_graceful_shutdown=DRAIN_S,
            timeout_keep_alive=20,
            h11_max_incomplete_event_size=32768,
            **tls,  # type: ignore[arg-type]  # two strings
        )
    )  # fmt: skip


async def _tell(web: uvicorn.Server, store: Store, settings: ServerSettings, ready: Callable[[Serving], None]) -> None:
    while not web.started:
        await asyncio.sleep(0.05)
    token = None if await store.accounts.has_admin() else await store.accounts.setup_token()
    setup = None if token is None else f"{settings.url}/setup#{token}"
    first = None if await store.accounts.senders() else (await store.accounts.add_sender(FIRST_SENDER))[1]
    ready(Serving(settings.url, setup, f"lowbeam://{settings.link_address}", settings.pin or "", first))


async def _keep_retention(store: Store, settings: ServerSettings) -> None:
    """Delete what is older than the retention, every hour."""
    while settings.retention_s is not None:
        try:
            utc = time.time() - settings.retention_s
            estimates, entries = await store.recordings.delete_before(utc), await store.audit.delete_before(utc)
            log.info("retention: %d estimates and %d entries of the audit log were deleted", estimates, entries)
        except OutputError as error:
            log.error("retention: %s", error)
        await asyncio.sleep(RETENTION_EVERY_S)
