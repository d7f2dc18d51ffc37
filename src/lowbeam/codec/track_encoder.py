"""The encoder side of one track: HR faces in, coded faces with their cues out."""

from lowbeam.codec.cues import CueChooser, size_of
from lowbeam.codec.interface import CodedFace, Encoder, PlacedFace, TrackHeader
from lowbeam.codec.operating_point import OperatingPoint, open_encoder
from lowbeam.codec.policy import Mirror, NoMirror, Policy
from lowbeam.face import Face
from lowbeam.scale import shrink


class TrackEncoder:
    """Encodes the faces of one track by a `policy`. The caller asks `policy.looks_at` which frames to search for faces;
    `mirror` tells the policy how far the receiver is off.

    `point` is the first operating point of the track; `header` is what a decoder needs before the first face. Where the
    encoder changes, its parameter sets go before the face if `is_config_in_band`; otherwise `coded_header` says which
    header the receiver needs. Raises `CodecError`.
    """

    latency_s = 0.0  # for which a face waits

    def __init__(self, policy: Policy, mirror: Mirror | None = None, *, is_config_in_band: bool = True) -> None:
        self._policy, self._mirror = policy, mirror or NoMirror()
        self._is_config_in_band = is_config_in_band
        self.point: OperatingPoint = policy.point
        self._coded_at: OperatingPoint | None = policy.point  # None: no encoder is open
        self._encoder: Encoder = open_encoder(self.point)
        self.header: TrackHeader = self._encoder.header
        self._cues = CueChooser(self.header.scale, self.header.padding)
        self._is_first = True  # of the track
        self._is_restarted = False
        self._last_ms = -1

    def announced(self) -> TrackHeader:
        """The header, which is now written or sent: another encoder is from now on a change within the track."""
        self._is_first = False
        return self.header

    def encode(self, face: Face) -> list[PlacedFace]:
        """Encode an HR face, uint8 (96, 96); returns what to send, which is empty if the policy does not want the face
        or holds it back, or the encoder delays it. Raises `CodecError`."""
        self._mirror.look(face)
        time_ms = max(round(face.time_s * 1000), self._last_ms + 1)
        is_key_due = self._coded_at is None or self._encoder.is_key_due(time_ms)
        if not self._policy.wants(face, self._mirror.debt, is_key_due):
            return []
        point = self._policy.point
        if point != self._coded_at:
            self._restart(point)
        coded = self._encoder.encode(shrink(face.pixels[None], point.scale)[0], time_ms)
        if self._is_restarted and self._is_config_in_band and coded:
            first = coded[0]
            coded[0] = CodedFace(self._encoder.in_band_config + first.data, first.time_ms, first.is_key)
        header = self._encoder.header
        cues = self._cues.before(face.id, face.box, header.scale, header.padding)
        is_key = any(one.is_key for one in coded)
        if not self._policy.admits(face, sum(len(one.data) for one in coded), size_of(cues), is_key):
            self._restart(point)  # later faces must not refer to one that the receiver lacks
            return []
        for one in coded:
            self._mirror.receive(header, one)
        self._cues.sent(cues)
        self._is_first = self._is_restarted = False
        self._last_ms = time_ms
        return [PlacedFace(one, cues if index == 0 else ()) for index, one in enumerate(coded)]

    @property
    def coded_header(self) -> TrackHeader:
        """The header of the encoder that coded the last face."""
        return self._encoder.header

    @property
    def is_open(self) -> bool:
        """Whether an encoder is open, with its memory and threads."""
        return self._coded_at is not None

    def finish_by(self, time_s: float) -> list[PlacedFace]:
        """Nothing: faces do not wait for others."""
        return []

    def flush(self) -> list[PlacedFace]:
        """Free the encoder; returns the remaining coded faces. A later face opens another encoder."""
        self._coded_at = None
        self._mirror.release()
        return [PlacedFace(one) for one in self._encoder.flush()]

    def _restart(self, point: OperatingPoint) -> None:
        """Continue with another encoder, whose first face is a key face. The previous one has no pending faces here."""
        self._encoder.flush()
        self._encoder, self._coded_at = open_encoder(point), point
        self._is_restarted = not self._is_first
        if self._is_first:  # nothing was sent yet: the track begins here
            self.point, self.header = point, self._encoder.header
            self._cues = CueChooser(self.header.scale, self.header.padding)
