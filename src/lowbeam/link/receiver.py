"""Listens for senders and yields their faces: the receiver over UDP, in an asyncio program."""

import asyncio
import os
import time
from collections import deque
from collections.abc import AsyncIterator
from pathlib import Path
from types import TracebackType
from typing import Any

from aioquic.asyncio.server import QuicServer
from aioquic.buffer import Buffer
from aioquic.quic.connection import NetworkAddress, QuicConnection
from aioquic.quic.packet import pull_quic_header
from aioquic.quic.retry import QuicRetryTokenHandler
from aioquic.tls import SessionTicket

from lowbeam.errors import OutputError, StreamError, reason
from lowbeam.link.incoming import Authorize, Incoming, Item, ReceivedFace
from lowbeam.link.quic import CONNECTION_ID_BYTES, DEFAULT_PORT, MAX_DATAGRAM, receiver_configuration
from lowbeam.link.receiver_connection import ReceiverConnection

MAX_TICKETS = 10_000
MAX_WAITING = 10_000  # items that wait to be taken from a receiver
MAX_NEW, NEW_S = 20, 10.0  # connections that begin in so many seconds without a proof of their address
PROOF_S = 60.0  # that a proof is asked for after more of them
PROOF_COMES_S = 60.0  # that a proof may take beyond the 30 s that aioquic allows


class Receiver:
    """Listens on a UDP port and yields the faces of all senders, in an asyncio program::

        async with Receiver(certificate, key, authorize=authorize) as receiver:
            async for item in receiver:
                ...

    `certificate` and `key` are PEM files (`lowbeam.link.own_certificate` makes some). `authorize` decides on every
    sender. With `stores_itself` the program calls `stored` when faces are stored for good, and the sender keeps them
    until then; otherwise a face counts as stored when it was yielded. Raises `UsageError` or `OutputError`.
    """

    def __init__(
        self, certificate: str | os.PathLike[str], key: str | os.PathLike[str], *, authorize: Authorize,
        host: str = "127.0.0.1", port: int = DEFAULT_PORT, stores_itself: bool = False,
    ) -> None:  # fmt: skip
        self._configuration = receiver_configuration(Path(certificate), Path(key))
        self.authorize, self._host, self._port, self.stores_itself = authorize, host, port, stores_itself
        self._queue: asyncio.Queue[Item] = asyncio.Queue()
        self._tickets: dict[bytes, SessionTicket] = {}
        self.recordings: dict[bytes, Incoming] = {}
        self.connections: set[ReceiverConnection] = set()
        self.refused = 0  # connections
        self._server: QuicServer | None = None

    async def __aenter__(self) -> "Receiver":
        loop = asyncio.get_running_loop()
        try:
            _, self._server = await loop.create_datagram_endpoint(
                lambda: _Listener(
                    configuration=self._configuration, create_protocol=self._connect,
                    session_ticket_fetcher=lambda label: self._tickets.pop(label, None),
                    session_ticket_handler=self._keep_ticket,
                ),
                local_addr=(self._host, self._port),
            )  # fmt: skip
        except OSError as error:
            raise OutputError(f"cannot listen on UDP {self._host}:{self._port}: {reason(error)}") from error
        return self

    async def __aexit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Close all connections and stop listening."""
        if self._server is not None:
            for connection in [*self.connections]:
                connection.close()
                connection.transmit()
            self._server.close()
            self._server = None
        for recording in self.recordings.values():
            recording.order.close()

    async def __aiter__(self) -> AsyncIterator[Item]:
        while True:
            item = await self._queue.get()
            yield item
            if not self.stores_itself and isinstance(item, ReceivedFace) and item.decoded.is_final:
                self.stored(item.recording, item.settled)

    def put(self, item: Item) -> None:
        """Queue an item. A program that does not take them loses provisional faces first, then the connection."""
        if self._queue.qsize() > MAX_WAITING:
            if isinstance(item, ReceivedFace) and not item.decoded.is_final:
                return
            raise StreamError("faces are not taken as fast as they come")
        self._queue.put_nowait(item)

    def stored(self, recording: Incoming, number: int) -> None:
        """The faces of `recording` before `number` are stored for good: its sender is told soon."""
        connection = recording.connection
        is_over = recording.count is not None and number >= recording.count and not recording.is_complete
        if connection is not None and recording.is_connected and (number > recording.told or is_over):
            connection.tell_stored(recording, number)

    def forget(self, recording: Incoming) -> None:
        """Free the memory of a recording that is not connected."""
        if not recording.is_connected:
            recording.order.close()
            self.recordings.pop(recording.key, None)

    def drop(self, recording: Incoming, why: str) -> None:
        """Close the connection of a recording and forget what waits for it: its sender sends again what is not
        stored."""
        recording.is_dropped = True
        if recording.connection is not None:
            recording.connection.stop(why)
        self.forget(recording)

    def _keep_ticket(self, ticket: SessionTicket) -> None:
        if len(self._tickets) >= MAX_TICKETS:
            self._tickets.pop(next(iter(self._tickets)))
        self._tickets[ticket.ticket] = ticket

    def _connect(self, quic: QuicConnection, stream_handler: object = None) -> "ReceiverConnection":
        return ReceiverConnection(quic, self)


class _Tokens(QuicRetryTokenHandler):
    """The proofs of addresses, which aioquic takes for half a minute: on a thin link one comes later if it was lost."""

    def validate_token(self, *, now: float, **what: Any) -> bytes:
        """As aioquic's, with more time."""
        return super().validate_token(now=now - PROOF_COMES_S, **what)


def _has_token(data: bytes | str) -> bool:
    """Whether a datagram is the first of a connection with the proof of its address."""
    if len(data) < MAX_DATAGRAM or isinstance(data, str):
        return False
    try:
        return bool(pull_quic_header(Buffer(data=data), host_cid_length=CONNECTION_ID_BYTES).token)
    except ValueError:
        return False


class _Listener(QuicServer):
    """A `QuicServer` that asks new senders to prove their address (a Retry packet of QUIC, which takes one round trip)
    while many connections begin: those that are never completed then cost no memory."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self._tokens, self._make = _Tokens(), options["create_protocol"]
        self._begun: deque[float] = deque(maxlen=MAX_NEW)
        self._proof_until_s = 0.0
        self._create_protocol = self._begin

    def datagram_received(self, data: bytes | str, addr: NetworkAddress) -> None:
        """Called by asyncio."""
        is_asked = time.monotonic() < self._proof_until_s or _has_token(data)  # a proof may come after this time
        self._retry = self._tokens if is_asked else None  # type: ignore[assignment]  # aioquic sets None too
        super().datagram_received(data, addr)

    def _begin(self, *arguments: Any, **options: Any) -> Any:
        now = time.monotonic()
        self._begun.append(now)
        if len(self._begun) == MAX_NEW and now - self._begun[0] < NEW_S:
            self._proof_until_s = now + PROOF_S
        return self._make(*arguments, **options)
