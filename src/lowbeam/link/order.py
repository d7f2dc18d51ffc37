"""Puts the faces of a recording in order and decodes them: at once where that is possible, and each once in the end.

A face can be decoded when the face before it in its track was. Where one is missing, the faces after it wait, and a key
face begins a second decoder, whose faces are shown at once and are *provisional*. When the missing faces are filled in,
all are decoded again in order, and are *final*: as if nothing had been lost.
"""

from dataclasses import dataclass, field

from lowbeam.codec import CodedFace, Decoder, Sample, TrackHeader, face_of, open_decoder
from lowbeam.codec.cues import BoxCue
from lowbeam.errors import StreamError
from lowbeam.face import Face
from lowbeam.link.records import NO_CUE, FaceRecord, ReceivedRecord

MAX_HELD = 20_000  # faces that wait for others
MAX_GONE = 10**6  # numbers that a sender may give up beyond the next
MAX_HELD_BYTES = 16 * 2**20
LEAST_TRACKS = 256
MAX_DECODERS = 24  # of one recording; of more, those unused for longest are closed


@dataclass(frozen=True)
class DecodedFace:
    """The face with the `number` in its recording. `is_final` tells whether all faces before it in its track were
    decoded; a provisional face is decoded again when they are. `faces` has one face, or the samples of a packet of a
    compact codec; none if the data is damaged."""

    number: int
    faces: tuple[Face, ...]
    is_final: bool
    record: FaceRecord


@dataclass
class _Chain:
    """A decoder within a track, and the last face that it decoded."""

    header: TrackHeader
    decoder: Decoder
    last: int
    cue: BoxCue = NO_CUE
    used: int = 0

    def placed(self, sample: Sample) -> Face:
        """The face of a sample, at its own box, or else at that of the last cue."""
        if sample.face is not None:
            self.cue = BoxCue(sample.face, sample.box or self.cue.box)
        return face_of(sample, self.cue.face, self.cue.box)


@dataclass
class _Branch:
    """The decoders of a branch, final or live, by track."""

    chains: dict[int, _Chain] = field(default_factory=dict)


class FaceOrder:
    """The order of one recording's faces, of which those before `stored` are stored already. Raises `StreamError` if
    too much waits."""

    def __init__(self, stored: int = 0) -> None:
        self.next = stored  # the first number that is not final yet
        self._stored = stored
        self._again: int | None = None  # the last of the stored faces that came again
        self._headers: dict[int, TrackHeader] = {}
        self._held: dict[int, FaceRecord] = {}
        self._held_bytes = 0
        self._done: set[int] = set()  # final, at `next` or beyond
        self._gone: set[int] = set()
        self._track_of: dict[int, int] = {}  # of faces that were seen, from `next` on and a little before
        self._most_tracks = LEAST_TRACKS  # in `_track_of`, until those that are of no use any more are removed
        self._final, self._live = _Branch(), _Branch()
        self._clock = 0

    @property
    def held(self) -> list[int]:
        """Numbers of the faces that were received beyond `next`, in order."""
        return sorted({*self._held, *self._done})

    @property
    def holds_decoders(self) -> bool:
        """Whether the next faces can be decoded without the key faces before them. After a restart that is so once the
        stored faces since the last key face have come again, all of them: the sender may be cut off among them, which
        it sends in order."""
        led_up = [chain.last >= self._stored - 1 for chain in self._final.chains.values()]
        is_led_up = any(led_up) and (self._again in (None, self._stored - 1) or all(led_up))
        return self.next == 0 or (is_led_up and not any(map(self._lacks_stored, self._held.values())))

    def _lacks_stored(self, face: FaceRecord) -> bool:
        """Whether a face waits for one that is stored but was not decoded again."""
        return face.number >= self.next and not face.is_key and face.before is not None and face.before < self.next

    def add(self, received: ReceivedRecord) -> list[DecodedFace]:
        """Take a face; returns the faces that can be decoded now, the final ones first, each in order."""
        if received.header is not None:
            self._headers.setdefault(received.face.header, received.header)
        face = received.face
        if face.number < self._stored:
            self._again = max(face.number, self._again or 0)
        if face.number not in self._held and face.number not in self._done and not self._is_settled(face):
            self._held[face.number] = face
            self._held_bytes += len(face.data)
            if len(self._held) > MAX_HELD or self._held_bytes > MAX_HELD_BYTES:
                raise StreamError("too many faces wait for earlier ones")
        return self._decode_final() + self._decode_live()

    def skip(self, first: int, last: int) -> list[DecodedFace]:
        """The faces from `first` to `last` will not come; returns the faces that can be decoded now."""
        first = max(first, self.next)
        if last - first + len(self._gone) > MAX_GONE:
            raise StreamError("the sender gave up an impossible number of faces")
        self._gone.update(number for number in range(first, last + 1) if number not in self._done)
        for number in [number for number in self._held if first <= number <= last]:
            self._release(number)
        return self._decode_final() + self._decode_live()

    def close(self) -> None:
        """Free the decoders."""
        self._final, self._live = _Branch(), _Branch()

    def _is_settled(self, face: FaceRecord) -> bool:
        """Whether the face is of no use: decoded for good, given up, or before the first key face at hand. Faces
        that are stored are of use while they lead a new decoder up to the first that is not."""
        if face.number >= self.next:
            return False
        track = self._track(face)
        chain = None if track is None else self._final.chains.get(track)
        return face.number >= self._stored or (chain is None and not face.is_key) or (
            chain is not None and chain.last >= face.number
        )  # fmt: skip

    def _track(self, face: FaceRecord) -> int | None:
        """The track of a face; None while the face before it is not known."""
        if face.is_key:
            return face.track
        return None if face.before is None else self._track_of.get(face.before)

    def _decode_final(self) -> list[DecodedFace]:
        found: list[DecodedFace] = []
        is_changed = True
        while is_changed:
            is_changed = False
            for number in sorted(self._held):
                face = self._held[number]
                if self._is_cut_off(face):
                    is_changed = True
                    self._release(number)
                    self._gone.add(number)
                    continue
                if not self._is_next(face):
                    continue
                is_changed = True
                self._release(number)
                decoded = self._decode(self._final, face)
                if number >= self._stored:
                    self._done.add(number)
                    found.append(DecodedFace(number, decoded, True, face))
            before = self.next
            self._advance()
            is_changed |= self.next > before
        return found

    def _is_next(self, face: FaceRecord) -> bool:
        """Whether all faces before `face` in its track are final, or will not come."""
        if face.is_key and face.header not in self._headers:
            return False
        track = self._track(face)
        if track is None:
            return False
        chain = self._final.chains.get(track)
        if chain is not None and face.before == chain.last:
            return True
        if not face.is_key:
            return False
        # a key face whose track begins, or was stored or given up before it
        return face.before is None or face.before < self.next

    def _is_cut_off(self, face: FaceRecord) -> bool:
        """Whether the face refers to one that will not come."""
        return not face.is_key and face.before is not None and face.number >= self._stored and (
            face.before in self._gone or (self._stored <= face.before < self.next and self._track(face) is None)
        )  # fmt: skip

    def _decode_live(self) -> list[DecodedFace]:
        found = []
        for number in sorted(self._held):
            face = self._held[number]
            track = self._track(face)
            if track is None or number < self._stored or (face.is_key and face.header not in self._headers):
                continue
            chain = self._live.chains.get(track)
            if chain is not None and number <= chain.last:
                continue
            if face.is_key or (chain is not None and face.before == chain.last):
                found.append(DecodedFace(number, self._decode(self._live, face), False, face))
        return found

    def _decode(self, branch: _Branch, face: FaceRecord) -> tuple[Face, ...]:
        """Decode `face` with the decoder of its track; nothing if it is damaged."""
        track = self._track(face)
        assert track is not None
        self._track_of[face.number] = track
        chain = branch.chains.get(track)
        data = face.data
        if face.is_key:
            header = self._headers[face.header]
            if chain is None or chain.header != header:
                chain = _Chain(header, open_decoder(header), face.number, chain.cue if chain else NO_CUE)
                branch.chains[track] = chain
        assert chain is not None
        self._clock += 1
        chain.last, chain.used, chain.cue = face.number, self._clock, face.box_cue or chain.cue
        if len(branch.chains) > MAX_DECODERS:
            del branch.chains[min(branch.chains, key=lambda key: branch.chains[key].used)]
        try:
            shown = chain.decoder.decode(CodedFace(data, face.time_ms, face.is_key))
        except StreamError:
            return ()
        return tuple(chain.placed(sample) for sample in shown)

    def _advance(self) -> None:
        while self.next in self._done or self.next in self._gone:
            self._done.discard(self.next)
            self._gone.discard(self.next - 1)  # the last is kept: the face after it may name it as the one before
            self.next += 1
        for track, chain in [*self._live.chains.items()]:
            final = self._final.chains.get(track)
            if final is not None and final.last >= chain.last:
                del self._live.chains[track]  # the final branch has caught up
        if len(self._track_of) > self._most_tracks:
            lasts = {chain.last for branch in (self._final, self._live) for chain in branch.chains.values()}
            self._track_of = {n: t for n, t in self._track_of.items() if n >= self.next or n in lasts}
            self._most_tracks = max(LEAST_TRACKS, 2 * len(self._track_of))

    def _release(self, number: int) -> None:
        self._held_bytes -= len(self._held.pop(number).data)
