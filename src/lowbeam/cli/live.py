"""The commands of the live link: send and serve."""

import os
from typing import Annotated

import typer

from lowbeam.cli.options import Faces, ModelName, Source
from lowbeam.cli.show import Commands, say
from lowbeam.errors import UsageError

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
    latency: Annotated[float, typer.Option(help="seconds that a face may wait to share a packet with others")] = 0.2,
    spool: Annotated[
        str | None, typer.Option(help="folder for faces that are not stored yet [default: memory]")
    ] = None,
    loop: Annotated[bool, typer.Option("--loop", help="play a file again and again")] = False,
    fast: Annotated[
        bool, typer.Option("--fast", help="send a recording as fast as the link carries it, not in real time")
    ] = False,
    name: Annotated[str | None, typer.Option(help="name of the recording [default: the source]")] = None,
    codec: Annotated[str | None, typer.Option(help="hevc, avc, av1 or vp9 [default: the best at 4 kbit/s]")] = None,
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
        model=model, loop=loop, fast=fast, name=name, finish_s=finish,
    )  # fmt: skip
    rate = 8 * sent.wire_bytes / max(sent.duration_s, 1.0) / 1000
    say(f"{sent.coded} faces in {sent.duration_s:.1f} s, {rate:.2f} kbit/s on the wire")
    if not sent.is_stored:
        kept = f"the rest is in {spool}" if spool is not None else "the rest is lost; use --spool to keep it"
        say(f"the receiver has not confirmed all faces; {kept}")
