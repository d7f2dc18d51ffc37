"""The encoder side of one track of a compact codec: HR faces in, packets of several samples out."""

from collections import deque
from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise
from statistics import median
from typing import Any

from lowbeam.codec.compact.coder import PacketCoder
from lowbeam.codec.compact.head import MAX_SAMPLES, Head, has_moved, tick_for
from lowbeam.codec.compact.policy import CompactPolicy
from lowbeam.codec.interface import CodedFace, PlacedFace, TrackHeader
from lowbeam.codec.operating_point import OperatingPoint
from lowbeam.codec.policy import Mirror
from lowbeam.codec.registry import open_packet_coder
from lowbeam.face import Box, Face
from lowbeam.scale import shrink

AWAY_S, AWAY_STEPS = 1.0, 2.5  # a face was away if it was not seen for both this and so many usual steps
INTERVALS = 8  # between faces, whose median is a usual step too: a packet of a slow source has one sample
BOX_EVERY = 5  # packets: a packet with the box may be lost


class CompactTrackEncoder:
    """Gathers the samples of one track into packets by a `policy`. `mirror` estimates each face.

    It has the methods of `lowbeam.codec.track_encoder.TrackEncoder`. Raises `CodecError`.
    """

    def __init__(self, policy: CompactPolicy, mirror: Mirror) -> None:
        self._policy, self._mirror = policy, mirror
        self.point: OperatingPoint = policy.point
        self._coder: PacketCoder[Any] = open_packet_coder(
            self.point.codec, self.point.scale, self.point.qp, has_key_face=policy.has_key_face
        )  # fmt: skip
        self._gathered: list[tuple[Face, Any]] = []
        self._end_s = 0.0  # of their span
        self._step_s = 1 / self.point.fps  # usual, between samples
        self._box: Box | None = None  # that was told last
        self._since_box = 0  # packets
        self._intervals_s: deque[float] = deque(maxlen=INTERVALS)
        self._seen_s: float | None = None
        self._last_ms = -1  # of the last sample

    @property
    def is_open(self) -> bool:
        """Whether samples wait for others."""
        return bool(self._gathered)

    @property
    def header(self) -> TrackHeader:
        """What a decoder needs before the first packet."""
        return self._coder.header

    @property
    def coded_header(self) -> TrackHeader:
        """The same: it never changes."""
        return self._coder.header

    @property
    def latency_s(self) -> float:
        """Seconds for which samples are gathered."""
        return self._policy.latency_s

    def announced(self) -> TrackHeader:
        """The header, which is now written or sent."""
        return self.header

    def encode(self, face: Face) -> list[PlacedFace]:
        """Gather an HR face, uint8 (96, 96); returns the packets that are complete. Raises `CodecError`."""
        if self.point.scale != 1:
            face = replace(face, pixels=shrink(face.pixels[None], self.point.scale)[0])
        self._mirror.look(face)
        done = self.finish_by(face.time_s)
        if self._gathered and self._breaks(self._gathered[-1][0], face):
            done += self.flush()
        if self._seen_s is not None:
            self._intervals_s.append(face.time_s - self._seen_s)
        self._seen_s = face.time_s
        if not self._gathered:
            self._end_s = self._policy.end_of(face.time_s)
        self._gathered.append((face, self._coder.content(face, self._mirror.own)))
        if face.time_s + 0.75 * self._step_s > self._end_s:  # the next sample is in the next span
            done += self.flush()
        return done

    def finish_by(self, time_s: float) -> list[PlacedFace]:
        """The packet whose span has ended at `time_s` (seconds), though no face came since."""
        return self.flush() if self._gathered and time_s >= self._end_s else []

    def flush(self) -> list[PlacedFace]:
        """The packet of the samples gathered so far; none if there are none, or none fits."""
        if not self._gathered:
            return []
        gathered, self._gathered = self._gathered, []
        times_s = [face.time_s for face, _ in gathered]
        if len(times_s) > 1:
            self._step_s = median(b - a for a, b in pairwise(times_s))
        time_ms = max(round(1000 * times_s[0]), self._last_ms + 1)
        head, contents = self._packed(gathered[0][0], time_ms, times_s, [content for _, content in gathered])
        room = self._policy.room(head.face, self._end_s)
        data = self._coder.packet(head, contents, room)
        if data is None and self._policy.is_idle:
            data = self._coder.smallest(head, contents)
        if data is None:
            self._policy.hold_back(len(gathered))
            return []
        self._policy.sent(len(data), self._end_s)
        if head.box is not None:
            self._box, self._since_box = gathered[0][0].box, 0
        self._since_box += 1
        self._last_ms = time_ms + (head.count - 1) * head.tick_ms
        return [PlacedFace(CodedFace(data, time_ms, is_key=True))]

    def _packed(
        self, first: Face, time_ms: int, times_s: Sequence[float], contents: Sequence[Any]
    ) -> tuple[Head, list[Any]]:
        """The head of a packet, and its samples at regular times from `time_ms` on."""
        tick_ms = tick_for(self._step_s)
        count = min(max(round((1000 * times_s[-1] - time_ms) / tick_ms), 0) + 1, MAX_SAMPLES)
        at_s = [(time_ms + number * tick_ms) / 1000 for number in range(count)]
        is_due = self._box is None or self._since_box >= BOX_EVERY or has_moved(self._box, first.box)
        head = Head(first.id, tick_ms, count, first.box if is_due else None)
        return head, self._coder.resampled(times_s, contents, at_s)

    def _breaks(self, last: Face, face: Face) -> bool:
        """Whether `face` cannot be in the packet of `last`: another person, or one who was away."""
        usual_s = max(self._step_s, median(self._intervals_s or [0.0]))
        is_away = face.time_s - last.time_s > max(AWAY_S, AWAY_STEPS * usual_s)
        span_ms = 1000 * (face.time_s - self._gathered[0][0].time_s)
        return face.id != last.id or is_away or span_ms / tick_for(self._step_s) >= MAX_SAMPLES - 1
