"""One connection of a sender: QUIC with its bandwidth estimate, its acknowledgements, and how long it is silent."""

import math
from dataclasses import dataclass, field

from aioquic.quic.connection import QuicConnection
from aioquic.tls import SessionTicket

from lowbeam.link.bandwidth import BandwidthEstimate
from lowbeam.link.congestion import LinkCongestionControl, last_made
from lowbeam.link.messages import MessageReader
from lowbeam.link.quic import (
    FIRST_BYTES,
    Address,
    answered_copy,
    be_patient,
    end_closed,
    expect_round_trip,
    is_asked_for_proof,
    leave_initial,
    send_again,
    sender_connection,
    taken_until_s,
)
from lowbeam.link.recording_sender import Repair

NetworkAddress = tuple[str, int]
STALL_S, STALL_BYTES = 4.0, 400  # without an acknowledgement, beyond the time of what is in flight and so many bytes
STALL_FALL = 4.0  # in silence the estimate falls: it counts as this share of what it was, at the least
PATIENCE_S, PATIENCE_BYTES = 0.5, 300  # a packet is lost if it is not acknowledged in this time and that of the bytes
PATIENCE_BPS = 1000.0  # at this rate or more
ANSWER_S = 0.4  # that an acknowledgement may take beyond the round trip and the time of what is in flight
ACK_S = 0.3  # that acknowledgements wait for a face to travel with
# Seconds after which the first packet is sent again. A copy that is sent while the first is on its way has passed a
# slow link when the answer comes, so one costs nothing; another would delay the hello where the answer takes 20 s, at
# 1 kbit/s, and follows only then, again with a copy.
COPY_S, ROUND_S = 2.6, 20.5
GREET_SHARE, GREET_S = 0.5, 0.5  # of the first round trip, and beyond it, in which the hello should be answered
FACE_SHARE = 0.2  # round trip of a key face, relative to the first
SOON_S = 0.01  # a timer of QUIC that ends so soon is that of an acknowledgement


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


class SenderConnection:
    """A connection to `peer` that resumes the session of `ticket`. Its first packet is repeated
    `backoff` times as slowly as usual."""

    def __init__(
        self, options: SendingOptions, peer: NetworkAddress, ticket: SessionTicket | None, now: float, *,
        backoff: int = 1,
    ) -> None:  # fmt: skip
        self.ticket = ticket  # by which the next connection resumes the session of this one
        self.quic: QuicConnection = sender_connection(options.address, options.pin, ticket, self._keep_ticket)
        self.control: LinkCongestionControl = last_made()
        self.begun_s = self.received_s = now  # the latter when a packet came that belongs to it
        self.readers: dict[int, MessageReader] = {}
        self.is_ready = False  # the handshake is complete, and the receiver's certificate is the right one
        self._backoff = backoff
        self._copies_before = 0  # of the first packet, which were sent before the receiver asked for a proof
        self._start_copies(now)
        self._first_s = 0.0  # from it to its answer
        self._ack_due_s: float | None = None
        self._heard_s = now
        self._heard_bps = self._stalled_bps = self.bandwidth.bps
        self._unheard_since_s: float | None = None
        self.quic.connect(peer, now)

    def _start_copies(self, now: float) -> None:
        """The first packet is sent now, and its copies later: after a proof was asked for, one that was sent before may
        be on its way still."""
        self._round_s = self._backoff * ROUND_S + now - self.begun_s
        self._again_s = now + COPY_S  # when what was not answered is sent again; never once the sender is welcome
        self._copies_s = [now]  # when the first packet was sent

    def _keep_ticket(self, ticket: SessionTicket) -> None:
        self.ticket = ticket

    @property
    def bandwidth(self) -> BandwidthEstimate:
        """What the link carries."""
        return self.control.bandwidth

    def become_ready(self, now: float) -> None:
        """The handshake is complete, with the right receiver."""
        self.is_ready, self._heard_s, self._unheard_since_s = True, now, None
        copy = max(0, answered_copy(self.quic) - self._copies_before)
        self._first_s = now - self._copies_s[min(copy, len(self._copies_s) - 1)]
        leave_initial(self.quic)
        self._ack_due_s = None  # the hello goes at once
        self._again_s = now + GREET_S + GREET_SHARE * self._first_s

    def begin(self, now: float) -> None:
        """The receiver has welcomed the sender: from now on packets tell about the link."""
        self.bandwidth.begin(now, 2 * 8 * FIRST_BYTES / max(self._first_s, 0.001))
        expect_round_trip(self.quic, FACE_SHARE, self._first_s)
        self._again_s = math.inf

    def receive(self, data: bytes, peer: NetworkAddress, now: float) -> None:
        """A datagram came, which may be that of another connection."""
        was_asked, was_until_s = is_asked_for_proof(self.quic), taken_until_s(self.quic)
        self.quic.receive_datagram(data, peer, now)
        if taken_until_s(self.quic) != was_until_s:
            self.received_s = now
        if is_asked_for_proof(self.quic) and not was_asked:
            self._copies_before = len(self._copies_s)
            self._start_copies(now)
        self._ack_due_s = self._ack_due_s if self._ack_due_s is not None else now + ACK_S

    def handle_time(self, now: float) -> None:
        """Time has passed."""
        end_closed(self.quic, now)
        timer = self.quic.get_timer()
        if timer is not None and timer <= now:
            self.quic.handle_timer(now)
        if now >= self._again_s:
            send_again(self.quic, now)
            if self.is_ready:  # the hello has not been answered
                self._again_s = now + GREET_S + GREET_SHARE * self._first_s
            else:
                self._copies_s.append(now)
                rounds, is_copy = divmod(len(self._copies_s), 2)
                self._again_s = self._copies_s[0] + rounds * self._round_s + is_copy * COPY_S
        if self.is_ready:
            bps = max(self.bandwidth.steady_bps, PATIENCE_BPS)
            be_patient(self.quic, PATIENCE_S + 8 * PATIENCE_BYTES / bps)

    def next_time(self, now: float) -> float:
        """When `handle_time` and `flush` are due at the latest."""
        timer = self.quic.get_timer()
        if timer is None:
            return math.inf
        is_waiting = self._ack_due_s is not None and self.is_ready and timer < now + SOON_S
        return min(self._again_s, max(timer, self._ack_due_s or 0.0) if is_waiting else timer)

    def flush(self, now: float) -> list[bytes]:
        """What QUIC itself wants to send. Acknowledgements wait for a face to travel with."""
        timer = self.quic.get_timer()
        is_ack_only = timer is not None and timer <= now + SOON_S and not self.quic._probe_pending
        if self.is_ready and is_ack_only and self._ack_due_s is not None and now < self._ack_due_s:
            return []
        if self._ack_due_s is not None and now >= self._ack_due_s:
            self._ack_due_s = None
        return self._datagrams(now)

    def send_faces(self, datagram: bytes, label: int, now: float) -> list[bytes]:
        """Send live faces; `control.take` tells their fate by the `label`."""
        self.quic.send_datagram_frame(datagram)
        self.control.label = label
        sent = self._datagrams(now)
        self.control.label = None
        self._ack_due_s = None
        return sent

    def send_message(self, stream: int, message: bytes, now: float) -> list[bytes]:
        """Send a message at once."""
        self.quic.send_stream_data(stream, message)
        self._ack_due_s = None
        return self._datagrams(now)

    def _datagrams(self, now: float) -> list[bytes]:
        return [data for data, _ in self.quic.datagrams_to_send(now)]

    def silence_s(self, now: float) -> float:
        """Seconds since something was sent that nothing has acknowledged, nor anything after it."""
        heard = self.control.last_acked_s
        if heard is not None and heard > self._heard_s:
            self._heard_s, self._unheard_since_s = heard, None
            self._heard_bps = self.bandwidth.bps
        if self._unheard_since_s is None and self.bandwidth.in_flight:
            self._unheard_since_s = now
        return 0.0 if self._unheard_since_s is None else now - self._unheard_since_s

    def silent_bps(self) -> float:
        """What the link may carry although nothing is heard, in bits per second."""
        return max(self.bandwidth.bps, self._heard_bps / STALL_FALL)

    def answer_s(self) -> float:
        """Seconds in which what is in flight should be acknowledged; infinite if nothing is."""
        if not self.bandwidth.in_flight:
            return math.inf
        on_link_s = 8 * self.bandwidth.in_flight / self.bandwidth.steady_bps
        return ANSWER_S + min(self.bandwidth.base_rtt_s, 1.0) + on_link_s

    def is_stalled(self, now: float) -> bool:
        """Whether the connection is silent for so long that the link counts as broken."""
        stall_s = STALL_S + 8 * (self.bandwidth.in_flight + STALL_BYTES) / self.silent_bps()
        if self.silence_s(now) <= stall_s:
            return False
        self._stalled_bps = self._heard_bps / STALL_FALL
        return True

    def resume(self, now: float) -> None:
        """The link is back after a stall."""
        self.bandwidth.resume(self._stalled_bps, now)
