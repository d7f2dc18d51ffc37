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
from itertools import islice

MIN_BPS, MAX_BPS = 300.0, 64_000.0  # limits of the estimate
START_BPS, MOST_START_BPS = 4_000.0, 16_000.0  # estimate before anything was acknowledged; the most to begin with
QUEUE_S = 0.25  # seconds in the link's queue above which it is overused
SILENCE_S = 2.0  # beyond the time of the packets in flight, after which they say how little the link carries
WAITED = 2.5  # times of the packet itself in the queue, above which the measured rate is the link's
BACK_OFF = 0.9  # of the measured rate, after overuse
RISE = 0.25  # growth per second while the queue is empty
RISE_NEAR = 0.04  # the same near the rate at which the link was last overused,
NEAR, NEAR_S = 0.15, 30.0  # within this share of it, and for so many seconds
RISE_SURE = 1.0  # the same while single packets pass faster than the estimate, each of which proves a rate
# Links with a token bucket let a packet pass at once after a pause. If the link is overused so soon after single
# packets proved a rate, they prove none for this time, and for twice the time and this when it happens again, up to the
# most; that is forgotten when it has not happened for the most time.
DOUBT_S, MOST_DOUBT_S = 5.0, 60.0
MOST_RISE_S = 3.0  # that count between two packets
HOLD_S = 1.0  # without a rise after a fall
UNUSED = 2.5  # the estimate rises to at most this multiple of what was used,
BEYOND, USED_SHARE = 1.2, 0.7  # and to this one of the known rate, unless this share of it was used
USED_GAIN = 0.02  # remembered with this gain for each packet
RATE_S = 4.0  # seconds over which the rate is measured
SUDDEN, SUDDEN_S = 0.4, 0.5  # a packet that takes so long, at so small a share of the rate, begins a new measurement
PAIRS, CAPACITY_S = 4, 12.0  # packets that queued up from which the rate is measured, and their age
MOST_BASE_S = 1.0  # of a round trip that counts for what may be in flight
BASE_S = 60.0  # seconds over which the smallest round trip is remembered
LOSS_PACKETS = 30  # packets over which loss is measured
HIGH_LOSS = 0.15  # above the inherent loss
LOSS_BACK_OFF = 0.7  # of the estimate, for a trial
LOSS_STAYS = 0.8  # of the loss before: it does not depend on the rate
TRIAL_S, TRIAL_PACKETS = 6.0, 12  # after a fall for loss, until it is seen whether the loss fell too
MOST_TRIAL_S = 15.0  # for that, with fewer packets
IN_FLIGHT_S = 0.35  # seconds of the estimate that may be in flight in addition to a round trip
LOST = 2.5  # the same grows by so many times the loss: lost packets count as in flight until it is known
PACKET_BYTES = 150  # that may be in flight in any case


@dataclass(frozen=True)
class _Sent:
    time_s: float
    size: int  # bytes on the wire


class BandwidthEstimate:
    """Estimates what a link carries, in bits per second on the wire. All times are seconds on one monotonic clock."""

    def __init__(self, start_bps: float = START_BPS) -> None:
        self._sent: dict[int, _Sent] = {}  # in flight, by packet number, in order
        self._used: deque[tuple[float, int]] = deque()  # time of the acknowledgement and size, for `RATE_S`
        self._behind: deque[tuple[float, int, float]] = deque()  # time, size, seconds since the acknowledgement before
        self._acked_s = -math.inf
        self._capacity: float | None = None  # as measured when packets queued up last
        self._base: deque[tuple[float, float]] = deque()  # time and round trip, rising: the first is the smallest
        self._fates: deque[bool] = deque(maxlen=LOSS_PACKETS)  # of the last packets: whether each was lost
        self._bps = start_bps
        self._least_bps = START_BPS  # to which the estimate may rise although little is used
        self._loss_bps = math.inf
        self._fallen_s = -math.inf
        self._risen_s: float | None = None
        self._inherent = 0.0  # loss that does not depend on the rate
        self._trial: tuple[float, float] | None = None  # when the rate fell for loss, and the loss then
        self._most_used = 0.0
        self._proven_s = self._doubts_until_s = -math.inf  # when single packets proved a rate, and do so again
        self._doubt_s = self._proven_bps = 0.0  # how long they did not, and the rate
        self._begun_s = math.inf
        self._before_silence: tuple[float, float | None] | None = None  # estimate and capacity
        self._is_overused = False  # as the last acknowledged packet tells
        self._overused_s = math.inf  # since when
        self.in_flight = 0  # bytes
        self.queue_s = 0.0  # seconds of the last packet in the queue

    @property
    def bps(self) -> float:
        """The estimate."""
        return min(self._bps, self._loss_bps)

    @property
    def steady_bps(self) -> float:
        """The estimate before the present silence, by which one judges how long the silence may last."""
        return self.bps if self._before_silence is None else min(self._before_silence[0], self._loss_bps)

    @property
    def loss(self) -> float:
        """Share of the last packets that were lost, in [0, 1]."""
        return sum(self._fates) / len(self._fates) if self._fates else 0.0

    @property
    def base_rtt_s(self) -> float:
        """The smallest recent round trip in seconds, 0 before the first."""
        return self._base[0][1] if self._base else 0.0

    def begin(self, now_s: float, bps: float | None = None) -> None:
        """The handshake is over, in which the link carried about `bps`: packets that are sent from now on are measured.
        Those before count no more; after a Retry, QUIC forgets the first without a word."""
        self._begun_s = now_s
        self._sent.clear()
        self.in_flight = 0
        if bps is not None:
            self._bps = max(MIN_BPS, min(bps, MOST_START_BPS))
            self._least_bps = min(self._bps, START_BPS)

    def may_send(self, size: int) -> bool:
        """Whether a packet of `size` bytes may follow those in flight: it leaves before the link is idle, but does not
        wait for long. While the link is overused, its queue is drained."""
        most = self.bps / 8 * (min(self.base_rtt_s, MOST_BASE_S) + IN_FLIGHT_S * (1 + LOST * self.loss))
        ahead = self.in_flight + max(size - PACKET_BYTES, 0)
        return self.in_flight == 0 or (not self._is_overused and ahead <= max(most, PACKET_BYTES))

    def sent(self, number: int, size: int, now_s: float) -> None:
        """A packet that will be acknowledged was sent."""
        self._sent[number] = _Sent(now_s, size)
        self.in_flight += size

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
        self._used.append((now_s, packet.size))
        rtt_s = now_s - packet.time_s
        while self._base and (self._base[-1][1] >= rtt_s or now_s - self._base[0][0] > BASE_S):
            self._base.pop() if self._base[-1][1] >= rtt_s else self._base.popleft()
        self._base.append((now_s, rtt_s))
        if packet.time_s >= self._begun_s:
            self._learn(packet, now_s)
        self._acked_s = now_s
        self._watch_loss(now_s)

    def _learn(self, packet: _Sent, now_s: float) -> None:
        """Take the round trip of a packet, and the rate if it waited in the queue behind another."""
        self.queue_s = now_s - packet.time_s - self.base_rtt_s
        if now_s == self._acked_s:  # by the same acknowledgement as the packet before
            if self._behind and self._behind[-1][0] == now_s:
                _, size, since_s = self._behind.pop()
                self._behind.append((now_s, size + packet.size, since_s))
                self._capacity = self._measured(now_s)
        elif packet.time_s < self._acked_s:
            since_s = now_s - self._acked_s
            if since_s > SUDDEN_S and 8 * packet.size / since_s < SUDDEN * (self._capacity or 0.0):
                self._behind.clear()  # the link has become thin: what it carried before does not count
            self._behind.append((now_s, packet.size, since_s))
            self._capacity = self._measured(now_s)
        if self._before_silence is not None:
            bps, capacity = self._before_silence
            self._before_silence = None
            if self.queue_s <= QUEUE_S + 8 * packet.size / bps:  # what was in flight is lost, and did not queue up
                self._bps, self._capacity = bps, capacity
        used = self.used_bps(now_s)
        self._most_used = max(used, self._most_used + (used - self._most_used) * USED_GAIN)
        self._is_overused = self.queue_s > QUEUE_S + 8 * packet.size / self.bps
        self._overused_s = min(self._overused_s, now_s) if self._is_overused else math.inf
        if self._is_overused:
            self._fall(now_s)
        else:
            if self._capacity is not None and self.queue_s > WAITED * 8 * packet.size / self._capacity:
                self._bps = min(self._bps, BEYOND * self._capacity)
            self._rise(now_s, 8 * packet.size / max(now_s - packet.time_s, 0.001))

    def _measured(self, now_s: float) -> float:
        """The rate of packets that were acknowledged one after the other while they queued up, over `RATE_S` or the
        last `PAIRS`."""
        while len(self._behind) > PAIRS and now_s - self._behind[0][0] > RATE_S:
            self._behind.popleft()
        recent = [one for one in self._behind if now_s - one[0] <= CAPACITY_S]
        return min(MAX_BPS, 8 * sum(one[1] for one in recent) / max(sum(one[2] for one in recent), 0.01))

    def lost(self, number: int, now_s: float) -> None:
        """A packet was lost."""
        packet = self._sent.pop(number, None)
        if packet is None:
            return
        self.in_flight -= packet.size
        self._fates.append(True)
        self._watch_loss(now_s)

    def wait(self, now_s: float) -> None:
        """Time has passed: what is in flight for long says how little the link carries before it arrives."""
        if len(self._sent) < 2 or not self._base:
            return
        oldest, second = islice(self._sent.values(), 2)  # the oldest may be lost
        if oldest.time_s < self._begun_s:
            return
        waited_s = now_s - max(second.time_s, self._acked_s) - self.base_rtt_s
        size = oldest.size + second.size
        if waited_s > SILENCE_S + 8 * size / self.bps:
            bound = 8 * size / waited_s
            if bound < self._bps:
                self._before_silence = self._before_silence or (self._bps, self._capacity)
                self._bps = self._capacity = max(MIN_BPS, bound)
                self._fallen_s = self._risen_s = now_s

    def resume(self, bps: float, now_s: float) -> None:
        """The link is back after silence, in which the estimate fell without an acknowledgement: it may carry `bps`."""
        self._bps = self._capacity = max(self._bps, bps)
        self._loss_bps = math.inf
        self._fallen_s = self._risen_s = now_s

    def used_bps(self, now_s: float) -> float:
        """The rate of acknowledged packets over the last `RATE_S`."""
        while self._used and now_s - self._used[0][0] > RATE_S:
            self._used.popleft()
        return 8 * sum(size for _, size in self._used) / RATE_S

    def _fall(self, now_s: float) -> None:
        if now_s - self._fallen_s < max(HOLD_S, self.base_rtt_s) or self._capacity is None:
            return
        self._fallen_s = self._risen_s = now_s
        self._bps = max(MIN_BPS, min(self._bps, BACK_OFF * self._capacity))
        if now_s - self._doubts_until_s > MOST_DOUBT_S:  # long ago: the link may be another
            self._doubt_s = 0.0
        is_recent = now_s - self._proven_s < self._doubt_s + DOUBT_S
        is_queue = now_s - self._overused_s >= HOLD_S  # not a pause, after which all packets come at once
        if is_recent and is_queue and self._proven_bps > BEYOND * self._capacity:  # single packets pass faster
            self._doubt_s = min(2 * self._doubt_s + DOUBT_S, MOST_DOUBT_S)
            self._doubts_until_s = now_s + self._doubt_s

    def _rise(self, now_s: float, proven: float) -> None:
        """Rise with a packet that did not queue up, and which itself took the time of the rate `proven` or less."""
        since_s = now_s - (self._risen_s if self._risen_s is not None else now_s)
        self._risen_s = now_s
        if now_s - self._fallen_s < HOLD_S:
            return
        if now_s < self._doubts_until_s:
            proven = 0.0
        if self._capacity is not None and proven > BEYOND * self._capacity:  # it carries more than it did
            self._capacity = None
            self._behind.clear()
        known = self._capacity if now_s - self._fallen_s < NEAR_S and self._capacity is not None else math.inf
        if self._bps < BACK_OFF * known < math.inf:
            self._bps = BACK_OFF * known  # the queue is empty, and the rate is known
        is_near = abs(self._bps / known - 1) < NEAR
        rise = RISE_SURE if proven > self._bps else RISE_NEAR if is_near else RISE
        risen = self._bps * (1 + rise) ** min(since_s, MOST_RISE_S)
        is_used = self.used_bps(now_s) > USED_SHARE * self._bps
        most = MAX_BPS if is_used else min(max(UNUSED * self._most_used, self._least_bps), BEYOND * known)
        if self._capacity is not None and self._behind and now_s - self._behind[-1][0] < RATE_S:  # measured lately
            most = min(most, BEYOND * self._capacity)
        most = max(most, proven)
        if proven > self._bps:
            self._proven_s, self._proven_bps = now_s, proven
        self._bps = max(self._bps, min(risen, most, MAX_BPS))
        if self._trial is None and self._loss_bps < math.inf:
            self._loss_bps *= (1 + RISE) ** min(since_s, MOST_RISE_S)
            if self._loss_bps > 2 * self._bps:
                self._loss_bps = math.inf

    def _watch_loss(self, now_s: float) -> None:
        """Fall when loss rises; if it does not fall with the rate, it is inherent to the link."""
        if self._trial is not None:
            since_s, loss = self._trial
            if now_s - since_s < TRIAL_S or (len(self._fates) < TRIAL_PACKETS and now_s - since_s < MOST_TRIAL_S):
                return
            self._trial = None
            if len(self._fates) < TRIAL_PACKETS:  # too few to judge by
                self._loss_bps = math.inf
            elif self.loss > LOSS_STAYS * loss:
                self._inherent, self._loss_bps = self.loss, math.inf
        elif len(self._fates) == LOSS_PACKETS:
            self._inherent = min(self._inherent, self.loss)
            if self.loss > self._inherent + HIGH_LOSS:
                self._trial = now_s, self.loss
                self._loss_bps = max(MIN_BPS, LOSS_BACK_OFF * self.steady_bps)
                self._fates.clear()
