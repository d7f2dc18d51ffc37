"""The sender without sockets: datagrams and a clock in, datagrams out.

States: *connecting* until the receiver has welcomed the recording; *live* while faces get through; *stalled* when
nothing is acknowledged: the connection is kept and tested, and beside it another is tried, since the receiver may have
started again; *waiting* between two attempts to connect; *refused* and *closed* at the end. Only in *live* are faces
sent as they are made; otherwise they are spooled and filled in later.
"""

import random
from collections import deque
from collections.abc import Callable
from enum import Enum

from aioquic.quic.events import ConnectionTerminated, HandshakeCompleted, QuicEvent, StreamDataReceived

from lowbeam.codec.wire import IP_UDP, QUIC_DATAGRAM, QUIC_PACKET
from lowbeam.errors import StreamError
from lowbeam.link.bandwidth import BandwidthEstimate
from lowbeam.link.messages import MAX_STREAMS, Ask, Bye, Message, MessageReader, Refused, Stored, Welcome
from lowbeam.link.outgoing import Outgoing, report_of
from lowbeam.link.quic import matches_pin
from lowbeam.link.recording_sender import RecordingSender
from lowbeam.link.sender_connection import NetworkAddress, SenderConnection, SendingOptions
from lowbeam.link.spool import Spool

PROBE_S = 1.5  # between packets that test a stalled connection
SECOND_S = 10.0  # of a stall, after which another connection is tried beside it
ATTEMPT_S = 45.0  # that a connection may take to be made, since something came: a round trip at 500 bit/s
HANDSHAKE_BITS = 30_000  # of a handshake, in the worst case
MOST_DOUBLINGS = 2  # of that time while attempts fail
RETRY_S = (1.0, 2.0, 4.0, 8.0, 15.0)  # between attempts
LIVE_SHARE = 0.92  # of the estimate for live faces; the rest is for acknowledgements, repairs and reports
BEHIND_SHARE = 0.75  # the same while faces are to be filled in
RATE_WINDOW_S = 10.0
MAX_RECORDINGS = 16  # of the spool that are sent on one connection at a time
BAD_CERTIFICATE = 0x12A  # of TLS, as an error of QUIC (RFC 9001, 4.8)
TLS_ERRORS = range(0x100, 0x200)


class State(Enum):
    """The states of a sender."""

    CONNECTING = "connecting"
    LIVE = "live"
    STALLED = "stalled"
    WAITING = "waiting"
    REFUSED = "refused"
    CLOSED = "closed"


class SendingCore:
    """Sends the recordings of a spool: the live one as its faces come, what was missed after that.

    `live` is the recording whose faces are added, None if there is none; `peer` is the receiver's address. `on_ask` is
    called with each request of the receiver. All times are seconds on one monotonic clock.
    """

    def __init__(
        self, options: SendingOptions, peer: NetworkAddress, spool: Spool, live: RecordingSender | None, now: float,
        on_ask: Callable[[Ask], None] = lambda ask: None,
    ) -> None:  # fmt: skip
        self.options, self.state = options, State.CONNECTING
        self.why = ""  # it was refused
        self._peer, self._spool, self._live, self._on_ask = peer, spool, live, on_ask
        self._older = deque(
            RecordingSender(spool, recording, is_live=False)
            for recording in spool.recordings()
            if live is None or recording.id != live.recording.id
        )
        self._streams: dict[int, RecordingSender] = {}
        self._attempts = 0
        self._connection = SenderConnection(options, peer, None, now)
        self._second: SenderConnection | None = None
        self._outgoing = Outgoing(options.latency_s, now)
        self._retry_s = 0.0
        self._probed_s = self._sent_s = now
        self._rate: deque[tuple[float, int]] = deque()
        self.wire_bytes = 0  # of all packets, with IPv4 and UDP headers
        self.point = ""  # operating point, for reports
        self._asked_bps: float | None = None

    # What the side that codes the faces asks and tells.

    @property
    def budget_bps(self) -> float:
        """Bits per second for live faces."""
        return (BEHIND_SHARE if self.behind else LIVE_SHARE) * self._limit_bps

    @property
    def _limit_bps(self) -> float:
        """Bits per second for all that is sent."""
        limits = [self._connection.bandwidth.bps, self.options.max_bps, self._asked_bps]
        return min(limit for limit in limits if limit is not None)

    @property
    def behind(self) -> int:
        """Faces that are to be filled in, of all recordings."""
        return sum(one.behind for one in self._all())

    @property
    def may_code(self) -> bool:
        """Whether another face is to be coded: not while the link is choked, so that the newest is coded next."""
        if self.state is not State.LIVE or self._live is None:
            return True
        waits = sum(face.size for face in self._live.unsent) + QUIC_PACKET + QUIC_DATAGRAM
        return not self._live.is_repairing and self._connection.bandwidth.may_send(waits)

    def take_key_request(self) -> bool:
        """Whether the next face of every track has to be a key face; asked once."""
        if self._live is None or not self._live.wants_key or self.state is not State.LIVE:
            return False
        self._live.wants_key = False
        return True

    def is_live(self) -> bool:
        """Whether faces are sent as they are made."""
        return self.state is State.LIVE

    def end(self) -> None:
        """No more faces will come."""
        if self._live is not None:
            self._live.end()

    @property
    def is_done(self) -> bool:
        """Whether the receiver has stored all there is."""
        return all(one.is_complete for one in self._all()) and not self._older

    def estimate(self) -> BandwidthEstimate:
        """The estimate of the present connection."""
        return self._connection.bandwidth

    def rate_bps(self, now: float) -> float:
        """Bits per second on the wire over the last `RATE_WINDOW_S`."""
        while self._rate and now - self._rate[0][0] > RATE_WINDOW_S:
            self._rate.popleft()
        return 8 * sum(size for _, size in self._rate) / RATE_WINDOW_S

    def _all(self) -> list[RecordingSender]:
        streams = [one for one in self._streams.values() if one is not self._live]
        return [*([self._live] if self._live is not None else []), *streams]

    # Datagrams and time in.

    def _connections(self) -> list[SenderConnection]:
        return [self._connection, *([self._second] if self._second is not None else [])]

    def receive(self, data: bytes, now: float) -> None:
        """A datagram came from the receiver."""
        for connection in self._connections():
            connection.receive(data, self._peer, now)
        self._look(now)

    def unreachable(self, now: float) -> None:
        """The network says that no one listens at the address."""
        if self.state in (State.LIVE, State.STALLED, State.CONNECTING):
            self._wait(now)

    def change_peer(self, peer: NetworkAddress) -> None:
        """The receiver's name has another address now; it holds for later connections."""
        self._peer = peer

    def flush(self, now: float) -> list[bytes]:
        """The datagrams of the faces that wait for others, since no more will come."""
        if self.state is State.LIVE:
            self._outgoing.hurry(now)
        return self.poll(now)

    def close(self, now: float) -> list[bytes]:
        """End the connection; returns the last datagrams."""
        if self.state is not State.REFUSED:
            self.state = State.CLOSED
        self._connection.quic.close()
        last = self._connection.flush(now)
        self.wire_bytes += sum(IP_UDP + len(data) for data in last)
        return last

    def next_time(self, now: float) -> float:
        """When `poll` is to be called at the latest."""
        times = [self._outgoing.next_time(now), *(one.next_time(now) for one in self._connections())]
        if self.state is State.WAITING:
            times.append(self._retry_s)
        return max(now + 0.005, min(times))

    def poll(self, now: float) -> list[bytes]:
        """Do what is due; returns the datagrams to send."""
        if self.state in (State.CLOSED, State.REFUSED):
            return []
        for connection in self._connections():
            connection.handle_time(now)
        self._look(now)
        self._watch(now)
        sent = self._send(now) if self.state is State.LIVE else []
        for connection in self._connections():
            sent += connection.flush(now)
        sizes = [IP_UDP + len(data) for data in sent]
        self.wire_bytes += sum(sizes)
        self._outgoing.spend(sum(sizes))
        self._rate.extend((now, size) for size in sizes)
        self._sent_s = now if sent else self._sent_s
        return sent

    def _send(self, now: float) -> list[bytes]:
        """Live faces, faces to be filled in, and a report."""
        connection, sent = self._connection, []
        stream = next((stream for stream, one in self._streams.items() if one is self._live), None)
        if self._live is not None and stream is not None:
            sent += self._outgoing.live(connection, self._live, stream, now)
        sent += self._outgoing.fill(connection, self._streams, self._limit_bps, now)
        if stream is not None and self._outgoing.is_report_due(connection.bandwidth.bps, now):
            report = report_of(connection, self.rate_bps(now), self.behind, self.budget_bps, self.point)
            connection.quic.send_stream_data(stream, report)
        return sent

    # Connections.

    def _connect(self, now: float) -> SenderConnection:
        return SenderConnection(self.options, self._peer, self._connection.ticket, now, backoff=self._backoff)

    @property
    def _backoff(self) -> int:
        """How many times slower than at first a connection is tried, after attempts that failed: on the thinnest links,
        the copies of the first packet alone fill a minute."""
        return 1 << min(self._attempts, MOST_DOUBLINGS)

    def _wait(self, now: float) -> None:
        """Give up the connection, and try again after a while."""
        self._go_down()
        self.state, self._second = State.WAITING, None
        delay_s = RETRY_S[min(self._attempts, len(RETRY_S) - 1)]
        self._attempts += 1
        self._retry_s = now + delay_s * random.uniform(0.8, 1.2)

    def _go_down(self) -> None:
        for one in self._streams.values():
            one.go_down()
        self._outgoing.go_down()

    def _watch(self, now: float) -> None:
        """Change the state when time has passed."""
        connection = self._connection
        connection.bandwidth.wait(now)
        if self.state is State.WAITING and now >= self._retry_s:
            self.state, self._connection = State.CONNECTING, self._connect(now)
        elif self.state is State.CONNECTING and self._is_late(connection, now):
            self._wait(now)
        elif self.state is State.LIVE and connection.is_stalled(now):
            self.state = State.STALLED
            self._go_down()
        elif self.state is State.LIVE and now - max(self._probed_s, self._sent_s) > connection.answer_s():
            self._probe(now)  # an acknowledgement may be lost: another packet brings it again
        elif self.state is State.STALLED:
            if now - self._probed_s > PROBE_S:
                self._probe(now)
            second_s = SECOND_S + HANDSHAKE_BITS / connection.silent_bps()
            if connection.silence_s(now) > second_s and (self._second is None or self._is_late(self._second, now)):
                self._second = self._connect(now)

    def _probe(self, now: float) -> None:
        """Send a packet that asks for an acknowledgement."""
        self._probed_s = now
        self._connection.quic.send_ping(0)

    def _is_late(self, connection: SenderConnection, now: float) -> bool:
        """Whether a connection should have been made by now, if nothing that belongs to it came lately."""
        return now - connection.received_s > ATTEMPT_S * self._backoff

    def _look(self, now: float) -> None:
        """Take the events of the connections, and what became of packets."""
        for connection in self._connections():
            while (event := connection.quic.next_event()) is not None:
                self._take_event(connection, event, now)
        if self._live is not None:
            self._outgoing.take_fates(self._connection, self._live, now)
        if self.state is State.STALLED and self._connection.silence_s(now) == 0.0:
            self.state, self._second = State.LIVE, None
            self._connection.resume(now)

    def _take_event(self, connection: SenderConnection, event: QuicEvent, now: float) -> None:
        if isinstance(event, HandshakeCompleted):
            if self.options.pin is not None and not matches_pin(connection.quic, self.options.pin):
                self._refuse(f"the certificate of {self.options.address} is not the one that --pin names")
                return
            self._begin(connection, now)
        elif isinstance(event, StreamDataReceived):
            reader = connection.readers.setdefault(event.stream_id, MessageReader())
            try:
                for message in reader.take(event.data):
                    self._take_message(event.stream_id, message, now)
            except StreamError:
                self._wait(now)
        elif isinstance(event, ConnectionTerminated) and self.state not in (State.CLOSED, State.REFUSED):
            if connection is self._second:
                self._second = None
            elif event.error_code == BAD_CERTIFICATE or (event.error_code in TLS_ERRORS and not connection.is_ready):
                why = event.reason_phrase or "TLS error"  # which will stay: an unknown certificate, another protocol
                self._refuse(f"{self.options.address} does not accept the connection: {why}")
            else:
                self._wait(now)

    def _refuse(self, why: str) -> None:
        self.state, self.why = State.REFUSED, why
        self._go_down()

    def _begin(self, connection: SenderConnection, now: float) -> None:
        """The handshake is complete: say hello for the live recording and for earlier ones."""
        connection.become_ready(now)
        if connection is self._second:
            self._go_down()
            self._connection, self._second, self.state = connection, None, State.CONNECTING
        self._older.extendleft(one for one in self._streams.values() if one is not self._live and not one.is_complete)
        self._streams.clear()
        self._attempts = 0
        if self._live is not None and not self._live.is_complete:
            self._greet(self._live)
        else:
            self._greet_older()

    def _greet(self, recording: RecordingSender) -> None:
        quic = self._connection.quic
        stream = quic.get_next_available_stream_id()
        self._streams[stream] = recording
        quic.send_stream_data(stream, recording.hello(self.options.token))

    def _greet_older(self) -> None:
        """Say hello for the next earlier recording, if not too many are being sent. A connection carries `MAX_STREAMS`;
        the rest is sent on another."""
        open_streams = sum(not one.is_complete for one in self._streams.values())
        if self._older and open_streams < MAX_RECORDINGS and len(self._streams) < MAX_STREAMS:
            self._greet(self._older.popleft())

    def _take_message(self, stream: int, message: Message, now: float) -> None:
        recording = self._streams.get(stream)
        if recording is None:
            return
        if isinstance(message, Welcome):
            answer = recording.welcomed(message)
            if answer:
                self._connection.quic.send_stream_data(stream, answer)
            if self.state is State.CONNECTING:
                self.state = State.LIVE
                self._connection.begin(now)
                self._outgoing.begin(now)
            self._greet_older()
        elif isinstance(message, Stored):
            recording.take_stored(message.stored)
        elif isinstance(message, Refused):
            self._refuse(f"{self.options.address} refuses the stream: {message.why}")
        elif isinstance(message, Ask):
            self._asked(message)
        elif isinstance(message, Bye):
            recording.take(message)
            self._greet_older()
            if self._older and all(one.is_complete for one in self._streams.values()):
                self._wait(now)

    def _asked(self, ask: Ask) -> None:
        if ask.is_key and self._live is not None:
            self._live.wants_key = True
        if ask.budget_bps is not None:
            self._asked_bps = float(ask.budget_bps) or None
        self._on_ask(ask)
