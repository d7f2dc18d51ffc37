"""The bandwidth estimate as aioquic's congestion control, and what became of each packet."""

import threading
from collections.abc import Iterable
from dataclasses import dataclass, field

from aioquic.quic.congestion.base import QuicCongestionControl, register_congestion_control
from aioquic.quic.packet_builder import QuicSentPacket

from lowbeam.codec.wire import IP_UDP
from lowbeam.link.bandwidth import BandwidthEstimate

NAME = "lowbeam"  # in `QuicConfiguration.congestion_control_algorithm`
NO_LIMIT = 1_000_000  # bytes: the sender itself limits what is in flight
_made = threading.local()


@dataclass
class Fates:
    """Labels of the packets that were acknowledged and lost since the last look."""

    acked: list[int] = field(default_factory=list)
    lost: list[int] = field(default_factory=list)


class LinkCongestionControl(QuicCongestionControl):
    """Feeds a `BandwidthEstimate`. Packets that are sent while `label` is set carry it; `take` tells their fates."""

    def __init__(self, *, max_datagram_size: int) -> None:
        super().__init__(max_datagram_size=max_datagram_size)
        self.congestion_window = NO_LIMIT
        self.bandwidth = BandwidthEstimate()
        self.label: int | None = None
        self.last_acked_s: float | None = None
        self._labels: dict[int, int] = {}  # by the identity of the packet: numbers are those of three spaces
        self._fates = Fates()
        _made.last = self

    def take(self) -> Fates:
        """What became of labelled packets since the last call."""
        taken, self._fates = self._fates, Fates()
        return taken

    def on_packet_sent(self, *, packet: QuicSentPacket) -> None:
        """Called by aioquic."""
        self.bytes_in_flight += packet.sent_bytes
        assert packet.sent_time is not None
        self.bandwidth.sent(id(packet), packet.sent_bytes + IP_UDP, packet.sent_time)
        if self.label is not None:
            self._labels[id(packet)] = self.label

    def on_packet_acked(self, *, now: float, packet: QuicSentPacket) -> None:
        """Called by aioquic."""
        self.bytes_in_flight -= packet.sent_bytes
        self.last_acked_s = now
        self.bandwidth.acked(id(packet), now)
        if (label := self._labels.pop(id(packet), None)) is not None:
            self._fates.acked.append(label)

    def on_packets_lost(self, *, now: float, packets: Iterable[QuicSentPacket]) -> None:
        """Called by aioquic."""
        for packet in packets:
            self.bytes_in_flight -= packet.sent_bytes
            self.bandwidth.lost(id(packet), now)
            if (label := self._labels.pop(id(packet), None)) is not None:
                self._fates.lost.append(label)

    def on_packets_expired(self, *, packets: Iterable[QuicSentPacket]) -> None:
        """Called by aioquic for packets that it stops to track: those of a handshake that is over, and the oldest one
        where no acknowledgement came in time, which is most often lost: at a few packets a second no later packet has
        told so yet."""
        for packet in packets:
            self.bytes_in_flight -= packet.sent_bytes
            if (label := self._labels.pop(id(packet), None)) is None:
                self.bandwidth.forget(id(packet))
            else:
                self.bandwidth.lost(id(packet), packet.sent_time or 0.0)
                self._fates.lost.append(label)

    def on_persistent_congestion(self) -> None:
        """Called by aioquic. The estimate has fallen already."""

    def on_rtt_measurement(self, *, now: float, rtt: float) -> None:
        """Called by aioquic. The estimate measures round trips by itself."""


def last_made() -> LinkCongestionControl:
    """The congestion control of the `QuicConnection` that this thread made last."""
    made = _made.last
    assert isinstance(made, LinkCongestionControl)
    return made


register_congestion_control(NAME, LinkCongestionControl)
