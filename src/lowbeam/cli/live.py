"""The commands of the live link: send and serve."""

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from lowbeam.cli.options import Faces, ModelName, Source
from lowbeam.cli.show import Commands, say
from lowbeam.errors import UsageError

if TYPE_CHECKING:
    from lowbeam.server.serve import Serving

TOKEN_VARIABLE = "LOWBEAM_TOKEN"

app = Commands()


def _needs(extra: str, error: ModuleNotFoundError) -> UsageError:
    return UsageError(f"{error.name} is not installed; run: pip install 'lowbeam[{extra}]'")


@app.command(epilog="Example: lowbeam send camera:0 --to lowbeam://192.0.2.1:7443 --pin SHA256")
def send(
    source: Source,
    to: Annotated[str, typer.Option(help="the receiver, lowbeam://HOST:PORT")],
    token: Annotated[
        str | None,
        typer.Option(help=f"this sender's token; better in the environment variable {TOKEN_VARIABLE}: other users of "
                     "this machine can see command lines"),
    ] = None,
    pin: Annotated[
        str | None,
        typer.Option(help="SHA-256 fingerprint of the receiver's certificate [default: a known authority signed it]"),
    ] = None,
    budget: Annotated[
        str,
        typer.Option("--budget", "--max-budget", help="bit rate such as 3kbps, at most; auto: what the link carries"),
    ] = "auto",
    latency: Annotated[
        float | None,
        typer.Option(
            help="seconds that a face may wait, while the link is busy, to share a packet with others [default: 0.2]; "
            "of estimates, seconds in a packet [default: as the rate demands, 1 or more]"
        ),
    ] = None,
    spool: Annotated[
        str | None, typer.Option(help="folder for faces that are not stored yet [default: memory]")
    ] = None,
    loop: Annotated[bool, typer.Option("--loop", help="play a file again and again")] = False,
    fast: Annotated[
        bool, typer.Option("--fast", help="send a recording as fast as the link carries it, not in real time")
    ] = False,
    name: Annotated[str | None, typer.Option(help="name of the recording [default: the source]")] = None,
    codec: Annotated[
        str | None,
        typer.Option(help="hevc, avc, av1, vp9, features or estimates [default: pixels, the best at 4 kbit/s]"),
    ] = None,
    layers: Annotated[
        str | None,
        typer.Option(help="two kinds at once, the lean one first, such as estimates,pixels"),
    ] = None,
    key_face: Annotated[
        bool, typer.Option("--key-face", help="send a still along with features, so that the face can be looked at")
    ] = False,
    finish: Annotated[float, typer.Option(help="seconds to wait in the end until all is stored")] = 30.0,
    faces: Faces = "primary",
    model: ModelName = "accurate",
) -> None:  # fmt: skip
    """Send the face in a video or from a camera to a receiver, over a thin, lossy link."""
    try:
        from lowbeam.sending import send as send_source
    except ModuleNotFoundError as error:
        raise _needs("link", error) from error
    given = token if token is not None else os.environ.get(TOKEN_VARIABLE, "")
    if not given:
        raise UsageError(f"--token is missing; the receiver's operator gives one (or set {TOKEN_VARIABLE})")
    sent = send_source(
        source, to, token=given, pin=pin, budget=budget, latency_s=latency, spool=spool, faces=faces, codec=codec,
        layers=layers, key_face=key_face, model=model, loop=loop, fast=fast, name=name, finish_s=finish,
    )  # fmt: skip
    rate = 8 * sent.wire_bytes / max(sent.duration_s, 1.0) / 1000
    say(f"{sent.coded} faces in {sent.duration_s:.1f} s, {rate:.2f} kbit/s on the wire")
    if not sent.is_stored:
        kept = f"the rest is in {spool}" if spool is not None else "the rest is lost; use --spool to keep it"
        say(f"the receiver has not confirmed all faces; {kept}")


@app.command(epilog="Example: lowbeam serve --host 0.0.0.0 --retention 30d")
def serve(
    host: Annotated[
        str, typer.Option(help="address to listen on; off loopback, pages are served by TLS")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="TCP port of the pages and UDP port of the link")] = 7443,
    data: Annotated[str, typer.Option(help="folder for the database and the certificate")] = "lowbeam-server",
    store: Annotated[
        str | None,
        typer.Option(help="another database, postgresql+psycopg://USER@HOST/NAME [default: SQLite in --data]"),
    ] = None,
    tls_cert: Annotated[
        str | None, typer.Option("--tls-cert", help="certificate chain (PEM) [default: a self-signed one]")
    ] = None,
    tls_key: Annotated[str | None, typer.Option("--tls-key", help="its key (PEM)")] = None,
    retention: Annotated[
        str | None, typer.Option(help="delete estimates after this time, such as 30d [default: never]")
    ] = None,
    keep_faces: Annotated[bool, typer.Option("--keep-faces", help="store the received faces too")] = False,
    public_url: Annotated[str | None, typer.Option(help="address of the pages behind a proxy, https://…")] = None,
    model: ModelName = "accurate",
) -> None:
    """Receive faces over the link, estimate, store, and show them on a web page."""
    try:
        from lowbeam.server.serve import ServeOptions
        from lowbeam.server.serve import serve as run_server
    except ModuleNotFoundError as error:
        raise _needs("serve", error) from error
    options = ServeOptions(
        host, port, Path(data), store, _path(tls_cert), _path(tls_key), retention, keep_faces, public_url, model
    )  # fmt: skip
    run_server(options, _say_serving)


def _path(text: str | None) -> Path | None:
    return None if text is None else Path(text)


def _say_serving(serving: "Serving") -> None:
    """Print what to do next; secrets go to the terminal only."""
    print(f"Pages:   {serving.url}")
    if serving.setup_url is not None:
        print(f"Set up:  {serving.setup_url}  (makes the first admin, once)")
    token = serving.token or "TOKEN"
    print(f"Camera:  {TOKEN_VARIABLE}={token} lowbeam send camera:0 --to {serving.link} --pin {serving.pin}")
    if serving.token is None:
        print("         (an admin makes tokens for senders on the page)")
    sys.stdout.flush()
