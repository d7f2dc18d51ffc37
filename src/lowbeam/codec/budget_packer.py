"""HR faces to a face stream that keeps within a budget: the operating point moves along the ladder as it must."""

from lowbeam.codec.budget import Budget, RateControl
from lowbeam.codec.face_stream import FaceStreamWriter, Target, TrackWriter
from lowbeam.codec.operating_point import OperatingPoint, Pacer
from lowbeam.codec.operating_table import Entry
from lowbeam.codec.standard import CodedFace, StandardEncoder
from lowbeam.face import Face
from lowbeam.scale import shrink


class BudgetPacker:
    """Writes one track as the faces come, at most as many and as fine as the budget allows.

    `chosen` lists the points that were used, each with the time in seconds from which on; `most_bytes` is the most that
    ten seconds held; `held_back` counts faces that were due and not sent.
    """

    left_out = 0

    def __init__(self, budget: Budget, rungs: list[Entry], target: Target) -> None:
        self.budget, self._target = budget, target
        self._control = RateControl(budget, rungs)
        self._writer: FaceStreamWriter | None = None
        self._track: TrackWriter | None = None
        self._encoder = StandardEncoder(self.entry.point)
        self._pacer = Pacer(self.entry.point.fps)
        self._is_new = True  # of the encoder: its first face is a key face
        self._last_ms = -1
        self._expected, self._seconds = 0.0, 0.0  # sum of CCC by time, and the time
        self.chosen: list[tuple[float, OperatingPoint]] = [(0.0, self.entry.point)]
        self.coded = self.held_back = 0

    @property
    def point(self) -> OperatingPoint:
        """The first point that was used."""
        return self.chosen[0][1]

    @property
    def entry(self) -> Entry:
        """The entry of the table that is coded at now."""
        return self._control.entry

    @property
    def is_reachable(self) -> bool:
        """Whether the leanest point is within the budget; where it is not, that is what is sent."""
        return self._control.is_reachable

    @property
    def tracks(self) -> int:
        return min(self.coded, 1)

    @property
    def most_bytes(self) -> int:
        return self._control.most_bytes

    @property
    def expected_ccc(self) -> float:
        """The CCC to expect, by the table, over the time in which faces were sent."""
        return self._expected / self._seconds if self._seconds else self.entry.ccc

    def add(self, face: Face, source_size: tuple[int, int]) -> None:
        """Code an HR face, uint8 (96, 96), of a source of (width, height) pixels, if it is due and fits.

        Raises `CodecError` or `OutputError`."""
        if self._control.look(face.time_s):
            self._move(face.time_s)
        if not self._pacer.takes(face.time_s):
            return
        if not self._control.may_code(face.time_s, self._is_new):
            self.held_back += 1
            return
        time_ms = max(round(face.time_s * 1000), self._last_ms + 1)
        coded = self._encoder.encode(shrink(face.pixels[None], self.entry.point.scale)[0], time_ms)
        if not self._send(coded, face, time_ms, source_size):
            self.held_back += 1
            self._restart()  # what the far side has not seen, nothing may build upon

    def _move(self, time_s: float) -> None:
        """Go on at another point. The encoder is another too: its key faces are counted in faces, not in seconds."""
        self.chosen.append((time_s, self.entry.point))
        self._pacer = Pacer(self.entry.point.fps)
        self._restart()

    def _restart(self) -> None:
        self._encoder.flush()  # encoders here hold nothing back: what comes is coded already
        self._encoder, self._is_new = StandardEncoder(self.entry.point), True

    def _send(self, coded: list[CodedFace], face: Face, time_ms: int, source_size: tuple[int, int]) -> bool:
        if self._track is None:
            self._writer = FaceStreamWriter(self._target, source_size, may_change=True)
            self._track = self._writer.add_track(self._encoder, self.entry.point)
        elif self._is_new and coded:
            coded = [CodedFace(self._encoder.header_in_band + coded[0].data, coded[0].time_ms, True), *coded[1:]]
        is_key, size = any(c.is_key for c in coded), sum(len(c.data) for c in coded)
        cues = self._track.cues_before(face.id, face.box, (self.entry.point.scale, self._encoder.padding))
        weight = self.budget.weigh(size, sum(map(len, cues.texts)))
        if not self._control.fits(face.time_s, weight):
            self._control.refused(face.time_s, weight, is_key)
            return False
        self._track.write_cues(time_ms, cues)
        for one in coded:
            self._track.write_face(one)
        self._control.sent(face.time_s, weight, is_key)
        since_s = (time_ms - self._last_ms) / 1000 if self.coded else 1 / self.entry.point.fps
        self._expected += self.entry.ccc * since_s
        self._seconds += since_s
        self._is_new, self._last_ms = False, time_ms
        self.coded += 1
        return True

    def finish(self) -> None:
        """End the file."""
        self._encoder.flush()
        if self._writer is not None:
            self._writer.close()

    def abandon(self) -> None:
        """Let go of an unfinished file."""
        if self._writer is not None:
            self._writer.abandon()
