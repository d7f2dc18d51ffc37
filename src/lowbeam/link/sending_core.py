"""The sender without sockets: datagrams and a clock in, datagrams out.

States: *connecting* until the receiver has welcomed the recording; *live* while faces get through; *stalled* when
nothing is acknowledged: the connection is kept and tested, and beside it another is tried, since the receiver may have
started again; *waiting* between two attempts to connect; *refused* and *closed* at the end. Only in *live* are faces
sent as they are made; otherwise they are spooled and filled in later.
"""

import math
import random
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum

from aioquic.quic.connection import QuicConnection
from aioquic.quic.events import ConnectionTerminated, HandshakeCompleted, QuicEvent, StreamDataReceived
from aioquic.tls import SessionTicket

from lowbeam.codec.wire import QUIC_DATAGRAM, QUIC_PACKET, QUIC_ROOM
from lowbeam.errors import StreamError
from lowbeam.link.bandwidth import START_BPS, BandwidthEstimate
from lowbeam.link.congestion import LinkCongestionControl, last_made
from lowbeam.link.messages import Ask, Bye, Message, MessageReader, Refused, Report, Stored, Welcome, write_message
from lowbeam.link.quic import Address, be_patient, forget_handshake, matches_pin, sender_connection
from lowbeam.link.recording_sender import RecordingSender, Repair
from lowbeam.link.spool import Spool

NetworkAddress = tuple[str, int]
STALL_S, STALL_BYTES = 4.0, 400  # without an acknowledgement, beyond the time of what is in flight and so many bytes
STALL_FALL = 4.0  # in silence the estimate falls: it counts as this share of what it was, at the least
PATIENCE_S, PATIENCE_BYTES = 0.5, 300  # a packet is lost if it is not acknowledged in this time and that of the bytes
PATIENCE_BPS = 1000.0  # at this rate or more
ANSWER_S = 0.4  # that an acknowledgement may take beyond the round trip and the time of what is in flight
PROBE_S = 1.5  # between packets that test a stalled connection
SECOND_S = 10.0  # of a stall, after which another connection is tried beside it
ATTEMPT_S = 20.0  # that a connection may take to be made
HANDSHAKE_BITS = 30_000  # of a handshake, in the worst case
SLOWEST_BPS = 500.0  # that a link is taken to carry while it is not connected
RETRY_S = (1.0, 2.0, 4.0, 8.0, 15.0)  # between attempts
ACK_S = 0.3  # that acknowledgements wait for a face to travel with
REPORT_S = 5.0  # between reports, at REPORT_BPS or more
REPORT_BPS = 4000.0
LIVE_SHARE = 0.92  # of the estimate for live faces; the rest is for acknowledgements, repairs and reports
BEHIND_SHARE = 0.75  # the same while faces are to be filled in
FILL_S = 0.5  # seconds of the estimate that one message of filled-in faces takes
CREDIT_S = 1.5  # seconds of the estimate that may be sent at once
FULL_BYTES = 700  # of faces, with which a datagram does not wait for more
RATE_WINDOW_S = 10.0
MAX_RECORDINGS = 16  # of the spool that are sent on one connection at a time
MAX_STREAMS = 64  # of one connection


class State(Enum):
    """The states of a sender."""

    CONNECTING = "connecting"
    LIVE = "live"
    STALLED = "stalled"
    WAITING = "waiting"
    REFUSED = "refused"
    CLOSED = "closed"


@dataclass(frozen=True)
class SendingOptions:
    """Where and how to send: the `address`, the sender's `token`, the `pin` of the certificate, seconds that a face may
    wait for others (`latency_s`), and the limit on the rate in bits per second, None for what the link carries."""

    address: Address
    token: str = field(repr=False)
    pin: str | None = None
    latency_s: float = 0.2
    max_bps: float | None = None
    repair: Repair = Repair.CHEAPEST


class _Connection:
    """A QUIC connection with its congestion control and the messages of its streams."""

    def __init__(
        self, options: SendingOptions, peer: NetworkAddress, ticket: SessionTicket | None, now: float, start_bps: float
    ) -> None:
        self.ticket = ticket  # by which the next connection resumes the session of this one
        self.quic: QuicConnection = sender_connection(
            options.address, options.pin, ticket, start_bps, self._keep_ticket
        )
        self.control: LinkCongestionControl = last_made()
        self.control.bandwidth = BandwidthEstimate(start_bps)
        self.begun_s = now
        self.readers: dict[int, MessageReader] = {}
        self.is_ready = False  # the handshake is complete, and the receiver's certificate is the right one
        self.quic.connect(peer, now)

    def _keep_ticket(self, ticket: SessionTicket) -> None:
        self.ticket = ticket

    @property
    def bandwidth(self) -> BandwidthEstimate:
        return self.control.bandwidth


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
        self._start_bps = min(START_BPS, options.max_bps or START_BPS)
        self._connection = _Connection(options, peer, None, now, self._start_bps)
        self._second: _Connection | None = None
        self._retry_s = 0.0
        self._heard_s = self._probed_s = self._reported_s = self._sent_s = now
        self._heard_bps = self._stalled_bps = self._start_bps
        self._received_s = now
        self._unheard_since_s: float | None = None
        self._oldest_unsent_s: float | None = None
        self._ack_due_s: float | None = None
        self._labels: dict[int, list[int]] = {}
        self._next_label = 0
        self._tokens, self._tokens_s = 0.0, now
        self._rate: deque[tuple[float, int]] = deque()
        self.wire_bytes = 0  # of all packets, with IPv4 and UDP headers
        self.point = ""  # operating point, for reports
        self._asked_bps: float | None = None

    # What the side that codes the faces asks and tells.

    @property
    def budget_bps(self) -> float:
        """Bits per second for live faces."""
        share = BEHIND_SHARE if self.behind else LIVE_SHARE
        limits = [self._connection.bandwidth.bps, self.options.max_bps, self._asked_bps]
        return share * min(limit for limit in limits if limit is not None)

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

    def receive(self, data: bytes, now: float) -> None:
        """A datagram came from the receiver."""
        self._received_s = now
        for connection in (self._connection, self._second):
            if connection is not None:
                connection.quic.receive_datagram(data, self._peer, now)
        self._look(now)
        self._ack_due_s = self._ack_due_s or now + ACK_S

    def unreachable(self, now: float) -> None:
        """The network says that no one listens at the address."""
        if self.state in (State.LIVE, State.STALLED, State.CONNECTING):
            self._wait(now)

    def change_peer(self, peer: NetworkAddress) -> None:
        """The receiver's name has another address now; it holds for later connections."""
        self._peer = peer

    def flush(self, now: float) -> list[bytes]:
        """The datagrams of the faces that wait for others, since no more will come."""
        if self.state is State.LIVE and self._oldest_unsent_s is not None:
            self._oldest_unsent_s = now - self.options.latency_s
        return self.poll(now)

    def close(self, now: float) -> list[bytes]:
        """End the connection; returns the last datagrams."""
        if self.state is not State.REFUSED:
            self.state = State.CLOSED
        self._connection.quic.close()
        last = [data for data, _ in self._connection.quic.datagrams_to_send(now)]
        self.wire_bytes += sum(28 + len(data) for data in last)
        return last

    def next_time(self, now: float) -> float:
        """When `poll` is to be called at the latest."""
        times = [now + 1.0]
        if self.state is State.WAITING:
            times.append(self._retry_s)
        for connection in (self._connection, self._second):
            timer = connection.quic.get_timer() if connection is not None else None
            if timer is not None:
                late = self._ack_due_s if self._ack_due_s is not None and self._is_ready() else None
                times.append(max(timer, late) if late is not None and timer < now + 0.01 else timer)
        if self._oldest_unsent_s is not None:
            times.append(self._oldest_unsent_s + self.options.latency_s)
            times.append(now + 0.05)
        return max(now + 0.005, min(times))

    def poll(self, now: float) -> list[bytes]:
        """Do what is due; returns the datagrams to send."""
        if self.state in (State.CLOSED, State.REFUSED):
            return []
        for connection in (self._connection, self._second):
            timer = connection.quic.get_timer() if connection is not None else None
            if connection is not None and timer is not None and timer <= now:
                connection.quic.handle_timer(now)
        self._look(now)
        self._watch(now)
        sent: list[bytes] = []
        if self.state is State.LIVE:
            sent += self._send_live(now)
            sent += self._send_fill(now)
            self._report(now)
        sent += self._flush(now)
        self.wire_bytes += sum(28 + len(data) for data in sent)
        self._sent_s = now if sent else self._sent_s
        self._tokens -= sum(28 + len(data) for data in sent)
        self._rate.extend((now, 28 + len(data)) for data in sent)
        return sent

    def _flush(self, now: float) -> list[bytes]:
        """What QUIC itself wants to send. Acknowledgements wait for a face to travel with."""
        sent = []
        for connection in (self._connection, self._second):
            if connection is None:
                continue
            is_waiting = connection.is_ready and self._ack_due_s is not None and now < self._ack_due_s
            timer = connection.quic.get_timer()
            has_more = timer is None or timer > now + 0.01
            if is_waiting and not has_more and not connection.quic._probe_pending:
                continue
            sent += [data for data, _ in connection.quic.datagrams_to_send(now)]
            if connection is self._connection and self._ack_due_s is not None and now >= self._ack_due_s:
                self._ack_due_s = None
        return sent

    # Connections.

    def _is_ready(self) -> bool:
        return self._connection.is_ready

    def _connect(self, now: float) -> _Connection:
        return _Connection(self.options, self._peer, self._connection.ticket, now, self._start_bps)

    def _wait(self, now: float) -> None:
        """Give up the connection, and try again after a while."""
        self._start_bps = min(self._start_bps, self._connection.bandwidth.bps)
        self._go_down()
        self.state, self._second = State.WAITING, None
        delay_s = RETRY_S[min(self._attempts, len(RETRY_S) - 1)]
        self._attempts += 1
        self._retry_s = now + delay_s * random.uniform(0.8, 1.2)

    def _go_down(self) -> None:
        for one in self._streams.values():
            one.go_down()
        self._labels.clear()
        self._oldest_unsent_s = None

    def _watch(self, now: float) -> None:
        """Change the state when time has passed."""
        bandwidth = self._connection.bandwidth
        bandwidth.wait(now)
        if self._connection.is_ready:
            be_patient(self._connection.quic, PATIENCE_S + 8 * PATIENCE_BYTES / max(bandwidth.steady_bps, PATIENCE_BPS))
        if self.state is State.WAITING and now >= self._retry_s:
            self.state, self._connection = State.CONNECTING, self._connect(now)
            self._unheard_since_s = None
        elif self.state is State.CONNECTING and self._is_late(self._connection, now):
            self._start_bps = max(SLOWEST_BPS, self._start_bps / 2)  # perhaps the link is that slow
            self._wait(now)
        elif self.state is State.LIVE and self._silence_s(now) > self._stall_s():
            self.state, self._stalled_bps = State.STALLED, self._heard_bps / STALL_FALL
            self._go_down()
        elif self.state is State.LIVE and now - max(self._probed_s, self._sent_s) > self._answer_s():
            self._probed_s = now  # an acknowledgement may be lost: another packet brings it again
            self._connection.quic.send_ping(0)
        elif self.state is State.STALLED:
            if now - self._probed_s > PROBE_S:
                self._probed_s = now
                self._connection.quic.send_ping(0)
            second_s = SECOND_S + HANDSHAKE_BITS / self._silent_bps()
            if self._silence_s(now) > second_s and (self._second is None or self._is_late(self._second, now)):
                self._second = self._connect(now)

    def _answer_s(self) -> float:
        """Seconds in which what is in flight should be acknowledged; infinite if nothing is."""
        bandwidth = self._connection.bandwidth
        if not bandwidth.in_flight:
            return math.inf
        return ANSWER_S + min(bandwidth.base_rtt_s, 1.0) + 8 * bandwidth.in_flight / bandwidth.steady_bps

    def _stall_s(self) -> float:
        """Seconds of silence after which the link counts as stalled."""
        bandwidth = self._connection.bandwidth
        return STALL_S + 8 * (bandwidth.in_flight + STALL_BYTES) / self._silent_bps()

    def _silent_bps(self) -> float:
        """What the link may carry although nothing is heard, in bits per second."""
        return max(self._connection.bandwidth.bps, self._heard_bps / STALL_FALL)

    def _is_late(self, connection: _Connection, now: float) -> bool:
        """Whether a connection should have been made by now, if nothing came from the receiver lately."""
        last_s = max(connection.begun_s, self._received_s)
        return now - last_s > ATTEMPT_S + HANDSHAKE_BITS / max(connection.bandwidth.bps, SLOWEST_BPS)

    def _silence_s(self, now: float) -> float:
        """Seconds since something was sent that nothing has acknowledged, nor anything after it."""
        heard = self._connection.control.last_acked_s
        if heard is not None and heard > self._heard_s:
            self._heard_s, self._unheard_since_s = heard, None
            self._heard_bps = self._connection.bandwidth.bps
        if self._unheard_since_s is None and self._connection.bandwidth.in_flight:
            self._unheard_since_s = now
        return 0.0 if self._unheard_since_s is None else now - self._unheard_since_s

    def _look(self, now: float) -> None:
        """Take the events of the connections, and what became of packets."""
        for connection in (self._connection, self._second):
            if connection is None:
                continue
            while (event := connection.quic.next_event()) is not None:
                self._take_event(connection, event, now)
        control = self._connection.control
        fates = control.take()
        if self._live is not None:
            for label in fates.acked:
                self._live.delivered(self._labels.pop(label, []))
            for label in fates.lost:
                self._live.lost(self._labels.pop(label, []))
                self._oldest_unsent_s = now - self.options.latency_s if self._live.unsent else self._oldest_unsent_s
        if self.state is State.STALLED and self._silence_s(now) == 0.0:
            self.state, self._second = State.LIVE, None
            self._connection.bandwidth.resume(self._stalled_bps, now)

    def _take_event(self, connection: _Connection, event: QuicEvent, now: float) -> None:
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
            elif event.error_code == 0x12A or (0x100 <= event.error_code < 0x200 and not connection.is_ready):
                self._explain(event)
                self._wait(now)
            else:
                self._wait(now)

    def _explain(self, event: ConnectionTerminated) -> None:
        """A handshake failed for a reason that will stay: an unknown certificate, another protocol."""
        self._refuse(f"{self.options.address} does not accept the connection: {event.reason_phrase or 'TLS error'}")

    def _refuse(self, why: str) -> None:
        self.state, self.why = State.REFUSED, why
        self._go_down()

    def _begin(self, connection: _Connection, now: float) -> None:
        """The handshake is complete: say hello for the live recording and for earlier ones."""
        connection.is_ready = True
        if connection is self._second:
            self._go_down()
            self._connection, self._second, self.state = connection, None, State.CONNECTING
        self._older.extendleft(one for one in self._streams.values() if one is not self._live and not one.is_complete)
        self._streams.clear()
        self._heard_s, self._unheard_since_s, self._attempts = now, None, 0
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
                self._connection.bandwidth.begin(now)
                forget_handshake(self._connection.quic)
                self._tokens, self._tokens_s = 0.0, now
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

    # Faces out.

    def _send_live(self, now: float) -> list[bytes]:
        """Send what waits, if it waited long enough or is enough, and the link takes it."""
        sent: list[bytes] = []
        live = self._live
        while live is not None and live.is_welcome and live.unsent:
            self._oldest_unsent_s = self._oldest_unsent_s if self._oldest_unsent_s is not None else now
            waits = sum(face.size for face in live.unsent)
            is_idle = self._connection.bandwidth.in_flight == 0  # nothing is gained by waiting
            is_due = is_idle or now - self._oldest_unsent_s >= self.options.latency_s - 0.002
            size = min(waits, QUIC_ROOM) + QUIC_PACKET + QUIC_DATAGRAM
            if not (is_due or waits >= FULL_BYTES or live.is_repairing):
                return sent
            if not self._connection.bandwidth.may_send(size):
                return sent
            data, numbers = live.datagram(QUIC_ROOM)
            if numbers:
                sent += self._packet(data, numbers, now)
        self._oldest_unsent_s = None
        return sent

    def _packet(self, data: bytes, numbers: list[int], now: float) -> list[bytes]:
        stream = next(stream for stream, one in self._streams.items() if one is self._live)
        quic, control = self._connection.quic, self._connection.control
        quic.send_datagram_frame(bytes([1, stream // 4]) + data)
        self._next_label += 1
        self._labels[self._next_label] = numbers
        control.label = self._next_label
        sent = [datagram for datagram, _ in quic.datagrams_to_send(now)]
        control.label = None
        self._ack_due_s = None
        return sent

    def _send_fill(self, now: float) -> list[bytes]:
        """Fill in what was missed, with what live faces leave of the rate."""
        bandwidth = self._connection.bandwidth
        bps = min(bandwidth.bps, self.options.max_bps or bandwidth.bps, self._asked_bps or bandwidth.bps)
        self._tokens = min(self._tokens + (now - self._tokens_s) * bps / 8, CREDIT_S * bps / 8)
        self._tokens_s = now
        size = max(FILL_S * bps / 8 - QUIC_PACKET, 1.0)
        has_live = self._live is not None and self._live.unsent
        if self._tokens < size or has_live or not bandwidth.may_send(int(size) + QUIC_PACKET):
            return []
        for stream, recording in [*self._streams.items()]:
            message = self._message_of(recording, int(size))
            if message is not None:
                self._connection.quic.send_stream_data(stream, message)
                self._ack_due_s = None
                return [data for data, _ in self._connection.quic.datagrams_to_send(now)]
        return []

    @staticmethod
    def _message_of(recording: RecordingSender, size: int) -> bytes | None:
        if not recording.is_welcome:
            return None
        return recording.fill(size) or recording.ending()

    def _report(self, now: float) -> None:
        """Tell the receiver about the link."""
        bandwidth = self._connection.bandwidth
        every_s = REPORT_S * max(1.0, REPORT_BPS / bandwidth.bps)
        stream = next((stream for stream, one in self._streams.items() if one is self._live), None)
        if stream is None or now - self._reported_s < every_s:
            return
        self._reported_s = now
        report = Report(
            round(self.rate_bps(now)), round(bandwidth.bps), round(1000 * bandwidth.loss), self.behind,
            round(self.budget_bps), self.point,
        )  # fmt: skip
        self._connection.quic.send_stream_data(stream, write_message(report))


def monotonic() -> float:
    """The clock of the sockets: seconds, monotonic."""
    return time.monotonic()
