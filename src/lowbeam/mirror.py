"""The receiver as the sender knows it: decodes and estimates what was sent, to measure how far the receiver is off."""

import math

from lowbeam.codec import CodedFace, Decoder, TrackHeader, open_decoder
from lowbeam.face import Face, Grey
from lowbeam.recognize import Estimates, Memory, Recognizer

MAX_STEP_S = 0.3  # seconds between two looks: the face was away if they are further apart
RESIDUAL_GAIN = 1 / 8  # of a new squared error after coding against those before


class ReceiverMirror:
    """Mirrors the receiver of one track, which reads with the same `recognizer` (a `lowbeam.codec.policy.Mirror`).

    `last` is the receiver's last estimate, None before the first face. `debt` is the receiver's squared error, the mean
    of valence and arousal, integrated over the seconds since its last face, without the part that coding leaves in any
    case; infinite before the first face.
    """

    def __init__(self, recognizer: Recognizer) -> None:
        self._sender, self._receiver = _Estimator(recognizer), _Estimator(recognizer)
        self._header: TrackHeader | None = None
        self._decoder: Decoder | None = None
        self._own, self._looked_s = (0.0, 0.0), math.nan
        self._residual, self._count = 0.0, 0  # mean squared error after a face was received, and number of faces
        self.debt = math.inf
        self.last: Estimates | None = None

    def look(self, face: Face) -> None:
        """Estimate the next face at its full size."""
        self._own = self.own_estimate(face)
        if self.last is not None:
            step_s = min(face.time_s - self._looked_s, MAX_STEP_S)
            self.debt = max(0.0, self.debt + (self._squared_error(self.last) - self._residual) * step_s)
        self._looked_s = face.time_s

    def own_estimate(self, face: Face) -> tuple[float, float]:
        """The sender's estimate of `face`, valence and arousal."""
        return _pair(self._sender(face.pixels, face.time_s))

    def receive(self, header: TrackHeader, coded: CodedFace) -> None:
        """Receive a coded face. Raises `StreamError`."""
        if header is not self._header or self._decoder is None:  # another encoder, which begins with a key face
            self._header, self._decoder = header, open_decoder(header)
        for time_ms, pixels in self._decoder.decode(coded):
            self.last = self._receiver(pixels, time_ms / 1000)
            self._count += 1
            gain = max(RESIDUAL_GAIN, 1 / self._count)
            self._residual += gain * (self._squared_error(self.last) - self._residual)
            self.debt = 0.0

    def _squared_error(self, received: Estimates) -> float:
        return math.dist(self._own, _pair(received)) ** 2 / 2


class _Estimator:
    """Estimates one person's faces in order of time."""

    def __init__(self, recognizer: Recognizer) -> None:
        self._recognizer = recognizer
        self._memory: Memory | None = None

    def __call__(self, pixels: Grey, time_s: float) -> Estimates:
        found, self._memory = self._recognizer.follow(pixels[None], [time_s], self._memory)
        return found


def _pair(estimates: Estimates) -> tuple[float, float]:
    return float(estimates.valence[0]), float(estimates.arousal[0])
