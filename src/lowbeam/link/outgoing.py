"""What a sender sends when: live faces first, then what is to be filled in, and now and then a report."""

from lowbeam.codec.wire import QUIC_DATAGRAM, QUIC_PACKET, QUIC_ROOM
from lowbeam.link.messages import Report, write_datagram, write_message
from lowbeam.link.recording_sender import RecordingSender
from lowbeam.link.sender_connection import SenderConnection

FULL_BYTES = 700  # of faces, with which a datagram does not wait for more
FILL_S = 0.5  # seconds of the rate that one message of filled-in faces takes
CREDIT_S = 1.5  # seconds of the rate that may be sent at once
REPORT_S = 5.0  # between reports, at REPORT_BPS or more
REPORT_BPS = 4000.0


class Outgoing:
    """Chooses what goes out. A live face waits at most `latency_s` for others. All times are seconds on one clock."""

    def __init__(self, latency_s: float, now: float) -> None:
        self._latency_s = latency_s
        self._oldest_unsent_s: float | None = None
        self._labels: dict[int, list[int]] = {}  # numbers of the faces in each datagram on its way
        self._next_label = 0
        self._tokens, self._tokens_s = 0.0, now  # bytes that may be filled in
        self._reported_s = now

    def begin(self, now: float) -> None:
        """A connection begins."""
        self._tokens, self._tokens_s = 0.0, now

    def go_down(self) -> None:
        """Nothing can be sent."""
        self._labels.clear()
        self._oldest_unsent_s = None

    def hurry(self, now: float) -> None:
        """Do not wait for other faces any longer."""
        if self._oldest_unsent_s is not None:
            self._oldest_unsent_s = now - self._latency_s

    def spend(self, size: int) -> None:
        """So many bytes were sent, of whatever kind."""
        self._tokens -= size

    def next_time(self, now: float) -> float:
        """When waiting faces are to be looked at again."""
        if self._oldest_unsent_s is None:
            return now + 1.0
        return min(self._oldest_unsent_s + self._latency_s, now + 0.05)

    def take_fates(self, connection: SenderConnection, live: RecordingSender, now: float) -> None:
        """Tell the recording which of its faces were acknowledged and lost."""
        fates = connection.control.take()
        for label in fates.acked:
            live.delivered(self._labels.pop(label, []))
        for label in fates.lost:
            live.lost(self._labels.pop(label, []))
            if live.unsent:
                self._oldest_unsent_s = now - self._latency_s

    def live(self, connection: SenderConnection, live: RecordingSender, stream: int, now: float) -> list[bytes]:
        """Send the live faces that wait, if they waited long enough or are enough, and the link takes them."""
        sent: list[bytes] = []
        while live.is_welcome and live.unsent:
            if self._oldest_unsent_s is None:
                self._oldest_unsent_s = now
            waits = sum(face.size for face in live.unsent)
            is_idle = connection.bandwidth.in_flight == 0  # nothing is gained by waiting
            is_due = is_idle or now - self._oldest_unsent_s >= self._latency_s - 0.002
            size = min(waits, QUIC_ROOM) + QUIC_PACKET + QUIC_DATAGRAM
            if not (is_due or waits >= FULL_BYTES or live.is_repairing) or not connection.bandwidth.may_send(size):
                return sent
            data, numbers = live.datagram(QUIC_ROOM)
            if numbers:
                self._next_label += 1
                self._labels[self._next_label] = numbers
                sent += connection.send_faces(write_datagram(stream, data), self._next_label, now)
        self._oldest_unsent_s = None
        return sent

    def fill(
        self, connection: SenderConnection, streams: dict[int, RecordingSender], bps: float, now: float
    ) -> list[bytes]:
        """Fill in what was missed, within `bps`, if no live face waits."""
        self._tokens = min(self._tokens + (now - self._tokens_s) * bps / 8, CREDIT_S * bps / 8)
        self._tokens_s = now
        size = max(FILL_S * bps / 8 - QUIC_PACKET, 1.0)
        has_live = any(one.unsent for one in streams.values())
        if self._tokens < size or has_live or not connection.bandwidth.may_send(int(size) + QUIC_PACKET):
            return []
        for stream, recording in [*streams.items()]:
            if recording.is_welcome and (message := recording.fill(int(size)) or recording.ending()) is not None:
                return connection.send_message(stream, message, now)
        return []

    def is_report_due(self, bps: float, now: float) -> bool:
        """Whether the receiver is to be told about the link, which carries `bps`; asked, it counts as told."""
        if now - self._reported_s < REPORT_S * max(1.0, REPORT_BPS / bps):
            return False
        self._reported_s = now
        return True


def report_of(connection: SenderConnection, rate_bps: float, behind: int, budget_bps: float, point: str) -> bytes:
    """The message that tells about the link."""
    bandwidth = connection.bandwidth
    return write_message(Report(
        round(rate_bps), round(bandwidth.bps), round(1000 * bandwidth.loss), behind, round(budget_bps), point
    ))  # fmt: skip
