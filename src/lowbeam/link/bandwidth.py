"""The bandwidth estimate: what a link carries, from acknowledgements, delay and loss.

Two estimates are kept, and the smaller one holds, as in Google Congestion Control (Carlucci et al. 2016, "Analysis and
design of the Google congestion control for WebRTC"). The first falls to what is delivered when packets queue up, and
rises while they do not. The second falls to what is delivered when loss rises; loss that stays when less is sent is
inherent to the link, and does not count (as in the loss-based estimate of WebRTC). At a few kilobits per second a
packet alone takes a large part of a second, so delays are compared with those of a packet of the same size.
"""

import math
from collections import deque
from dataclasses import dataclass

MIN_BPS, MAX_BPS = 300.0, 64_000.0  # limits of the estimate
START_BPS = 4_000.0  # estimate before anything was acknowledged
QUEUE_S = 0.25  # seconds in the link's queue above which it is overused
BACK_OFF = 0.85  # of the delivered rate, after overuse
RISE = 0.25  # growth per second while the queue is empty
RISE_NEAR = 0.04  # the same near the rate at which the link was last overused,
NEAR, NEAR_S = 0.15, 20.0  # within this share of it, and for so many seconds
HOLD_S = 1.0  # without a rise after a fall
UNUSED = 2.0  # the estimate rises to at most this multiple of what was used,
USED_GAIN = 0.02  # remembered with this gain for each packet
RATE_S, SHORT_S = 4.0, 0.7  # most and least seconds over which the delivered rate is measured
BASE_S = 60.0  # seconds over which the smallest round trip is remembered
LOSS_PACKETS = 20  # packets over which loss is measured
HIGH_LOSS = 0.1  # above the inherent loss
TRIAL_S = 6.0  # after a fall for loss, until it is seen whether the loss fell too
IN_FLIGHT_S = 0.35  # seconds of the estimate that may be in flight in addition to a round trip
PACKET_BYTES = 300  # that may be in flight in any case


@dataclass(frozen=True)
class _Sent:
    time_s: float
    size: int  # bytes on the wire


class BandwidthEstimate:
    """Estimates what a link carries, in bits per second on the wire. All times are seconds on one monotonic clock."""

    def __init__(self) -> None:
        self._sent: dict[int, _Sent] = {}  # in flight, by packet number, in order
        self._acked: deque[tuple[float, int]] = deque()  # time of the acknowledgement and size, for `RATE_S`
        self._base: deque[tuple[float, float]] = deque()  # time and round trip, rising: the first is the smallest
        self._fates: deque[bool] = deque(maxlen=LOSS_PACKETS)  # of the last packets: whether each was lost
        self._bps = START_BPS
        self._loss_bps = math.inf
        self._fallen_s = -math.inf
        self._fallen_bps = math.inf
        self._risen_s: float | None = None
        self._inherent = 0.0  # loss that does not depend on the rate
        self._trial: tuple[float, float] | None = None  # when the rate fell for loss, and the loss then
        self._most_used = 0.0
        self.in_flight = 0  # bytes
        self.queue_s = 0.0  # seconds of the last packet in the queue
        self.sent_bytes = self.sent_packets = self.lost_packets = 0

    @property
    def bps(self) -> float:
        """The estimate."""
        return min(self._bps, self._loss_bps)

    @property
    def loss(self) -> float:
        """Share of the last packets that were lost, in [0, 1]."""
        return sum(self._fates) / len(self._fates) if self._fates else 0.0

    @property
    def base_rtt_s(self) -> float:
        """The smallest recent round trip in seconds, 0 before the first."""
        return self._base[0][1] if self._base else 0.0

    def oldest_s(self) -> float | None:
        """When the oldest packet in flight was sent; None if there is none."""
        return next(iter(self._sent.values())).time_s if self._sent else None

    def may_send(self, size: int) -> bool:
        """Whether `size` more bytes may be in flight."""
        most = self.bps / 8 * (self.base_rtt_s + IN_FLIGHT_S)
        return self.in_flight == 0 or self.in_flight + size <= max(most, PACKET_BYTES)

    def sent(self, number: int, size: int, now_s: float) -> None:
        """A packet that will be acknowledged was sent."""
        self._sent[number] = _Sent(now_s, size)
        self.in_flight += size
        self.sent_bytes += size
        self.sent_packets += 1

    def forget(self, number: int) -> None:
        """A packet will not be acknowledged any more."""
        packet = self._sent.pop(number, None)
        self.in_flight -= packet.size if packet is not None else 0

    def acked(self, number: int, now_s: float) -> None:
        """A packet was acknowledged."""
        packet = self._sent.pop(number, None)
        if packet is None:
            return
        self.in_flight -= packet.size
        self._fates.append(False)
        rtt_s = now_s - packet.time_s
        while self._base and (self._base[-1][1] >= rtt_s or now_s - self._base[0][0] > BASE_S):
            self._base.pop() if self._base[-1][1] >= rtt_s else self._base.popleft()
        self._base.append((now_s, rtt_s))
        self._acked.append((now_s, packet.size))
        self._judge(rtt_s, packet.size, now_s)
        self._watch_loss(now_s)

    def lost(self, number: int, now_s: float) -> None:
        """A packet was lost."""
        packet = self._sent.pop(number, None)
        if packet is None:
            return
        self.in_flight -= packet.size
        self.lost_packets += 1
        self._fates.append(True)
        self._watch_loss(now_s)

    def wait(self, now_s: float) -> None:
        """Time has passed: a packet that is in flight for long says that the link is overused before it arrives."""
        if self._sent and self._base:
            oldest = next(iter(self._sent.values()))
            if now_s - oldest.time_s > self.base_rtt_s + 3 * QUEUE_S + 8 * oldest.size / self.bps:
                self._fall(now_s)

    def delivered_bps(self, now_s: float) -> float:
        """The rate of acknowledged packets, over the time that the last one was in the queue: what the link carries,
        if there is a queue."""
        since_s = now_s - min(max(self.queue_s, SHORT_S), RATE_S)
        recent = [one for one in self._acked if one[0] >= since_s]
        recent = recent if len(recent) >= 3 else list(self._acked)[-3:]
        if len(recent) < 2:
            return 8 * sum(size for _, size in recent) / RATE_S
        return 8 * sum(size for _, size in recent[1:]) / max(now_s - recent[0][0], 0.1)

    def used_bps(self, now_s: float) -> float:
        """The rate of acknowledged packets over the last `RATE_S`."""
        while self._acked and now_s - self._acked[0][0] > RATE_S:
            self._acked.popleft()
        return 8 * sum(size for _, size in self._acked) / RATE_S

    def _judge(self, rtt_s: float, size: int, now_s: float) -> None:
        """Fall or rise by the time that a packet of `size` bytes spent in the queue."""
        self.queue_s = max(0.0, rtt_s - self.base_rtt_s - 8 * size / self.bps)
        used = self.used_bps(now_s)
        self._most_used = max(used, self._most_used + (used - self._most_used) * USED_GAIN)
        if self.queue_s > QUEUE_S:
            self._fall(now_s)
        else:
            self._rise(now_s)

    def _fall(self, now_s: float) -> None:
        if now_s - self._fallen_s < max(HOLD_S, self.base_rtt_s):
            return
        delivered = self.delivered_bps(now_s)
        self._fallen_s = self._risen_s = now_s
        self._fallen_bps = max(delivered, MIN_BPS)
        self._bps = max(MIN_BPS, min(self._bps, BACK_OFF * delivered) if delivered else self._bps / 2)

    def _rise(self, now_s: float) -> None:
        since_s = now_s - (self._risen_s if self._risen_s is not None else now_s)
        self._risen_s = now_s
        if now_s - self._fallen_s < HOLD_S:
            return
        is_near = abs(self._bps / self._fallen_bps - 1) < NEAR and now_s - self._fallen_s < NEAR_S
        risen = self._bps * (1 + (RISE_NEAR if is_near else RISE)) ** min(since_s, 1.0)
        self._bps = max(self._bps, min(risen, max(UNUSED * self._most_used, START_BPS), MAX_BPS))
        if self._trial is None and self._loss_bps < math.inf:
            self._loss_bps *= (1 + RISE_NEAR) ** min(since_s, 1.0)
            if self._loss_bps > 2 * self._bps:
                self._loss_bps = math.inf

    def _watch_loss(self, now_s: float) -> None:
        """Fall when loss rises; if it does not fall with the rate, it is inherent to the link."""
        if len(self._fates) < LOSS_PACKETS:
            return
        if self._trial is None:
            self._inherent = min(self._inherent, self.loss)
            if self.loss > self._inherent + HIGH_LOSS:
                self._trial = now_s, self.loss
                self._loss_bps = max(MIN_BPS, self.delivered_bps(now_s))
                self._fates.clear()
        elif now_s - self._trial[0] >= TRIAL_S:
            if self.loss > self._trial[1] / 2:
                self._inherent, self._loss_bps = self.loss, math.inf
            self._trial = None
