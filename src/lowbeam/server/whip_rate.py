"""The bit rate and the loss of a peer's video."""

import time
from dataclasses import dataclass

from aiortc import RTCRtpReceiver
from aiortc.stats import RTCTransportStats

from lowbeam.server.whip_decoding import packets_of

IP_UDP = 20 + 8  # bytes of each packet: IPv4 (RFC 791) and UDP (RFC 768)


@dataclass(frozen=True)
class Measured:
    """What came in over some `seconds`: bits per second on the wire, and the share of packets lost in [0, 1]."""

    seconds: float
    rate_bps: float
    loss: float


class LinkMeter:
    """Measures what comes in, from one call to the next. Packets are RTP, RTCP and DTLS; checks of the connection
    (STUN, some 100 bit/s) are not counted."""

    def __init__(self, receiver: RTCRtpReceiver) -> None:
        self._receiver = receiver
        self._time_s, self._bytes, self._expected, self._arrived = time.monotonic(), 0, 0, 0

    async def measure(self) -> Measured:
        """What came in since the last call."""
        total = 0
        for one in (await self._receiver.getStats()).values():
            if isinstance(one, RTCTransportStats):
                total = one.bytesReceived + IP_UDP * one.packetsReceived
        (expected, arrived), now = packets_of(self._receiver), time.monotonic()
        seconds = max(now - self._time_s, 1e-3)
        sent = expected - self._expected
        loss = min(max(1 - (arrived - self._arrived) / sent, 0.0), 1.0) if sent > 0 else 0.0
        measured = Measured(seconds, max(total - self._bytes, 0) * 8 / seconds, loss)
        self._time_s, self._bytes, self._expected, self._arrived = now, total, expected, arrived
        return measured
