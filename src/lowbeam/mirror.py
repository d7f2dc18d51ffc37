"""The receiver as the sender knows it: decodes and estimates what was sent, to measure how far the receiver is off."""

import math

from lowbeam.codec import CodedFace, Decoder, TrackHeader, open_decoder
from lowbeam.codec.policy import NoMirror
from lowbeam.face import Face, FaceEstimate, Grey
from lowbeam.recognize import Estimates, Memory, Recognizer

MAX_STEP_S = 1.0  # seconds between two looks: the face was away if they are further apart
RESIDUAL_GAIN = 1 / 8  # of a new squared error after coding against those before
FORGET_S = 300.0  # after which a person who is absent is forgotten


class ReceiverMirror:
    """Mirrors the receiver of one track, which reads with the same `recognizer` (a `lowbeam.codec.policy.Mirror`). The
    track may show several people in turn; the receiver remembers each by the face's id.

    `last` is the receiver's last estimate of the person in view, None before the first face. `debt` is the receiver's
    squared error, the mean of valence and arousal, integrated over the seconds since the person's last face, without
    the part that coding leaves in any case; infinite before the first face.
    """

    def __init__(self, recognizer: Recognizer) -> None:
        self._recognizer = recognizer
        self._header: TrackHeader | None = None
        self._decoder: Decoder | None = None
        self._people: dict[int, _Person] = {}
        self._person = _Person(recognizer)  # in view
        self._residual, self._count = 0.0, 0  # mean squared error after a face was received, and number of faces

    @property
    def last(self) -> Estimates | None:
        """The receiver's last estimate of the person in view."""
        return self._person.last

    @property
    def own(self) -> FaceEstimate:
        """The sender's estimate of the last face."""
        return self._person.own

    @property
    def debt(self) -> float:
        """The receiver's integrated squared error."""
        return self._person.debt

    def look(self, face: Face) -> None:
        """Estimate the next face at its full size."""
        for gone in [known for known, person in self._people.items() if face.time_s - person.looked_s > FORGET_S]:
            del self._people[gone]
        self._person = person = self._people.setdefault(face.id, _Person(self._recognizer))
        person.own = self.own_estimate(face)
        if person.last is not None:
            step_s = min(face.time_s - person.looked_s, MAX_STEP_S)
            person.debt = max(0.0, person.debt + (person.squared_error() - self._residual) * step_s)
        person.looked_s = face.time_s

    def own_estimate(self, face: Face) -> FaceEstimate:
        """The sender's estimate of `face`."""
        return _first(self._person.sender(face.pixels, face.time_s))

    def receive(self, header: TrackHeader, coded: CodedFace) -> None:
        """Receive a coded face. Raises `StreamError`."""
        if header is not self._header or self._decoder is None:  # another encoder, which begins with a key face
            self._header, self._decoder = header, open_decoder(header)
        person = self._person
        for sample in self._decoder.decode(coded):
            person.last, person.debt = person.receiver(sample.pixels, sample.time_ms / 1000), 0.0
            self._count += 1
            gain = max(RESIDUAL_GAIN, 1 / self._count)
            self._residual += gain * (person.squared_error() - self._residual)

    def release(self) -> None:
        """Free the decoder. The next face is a key face of another encoder."""
        self._header = self._decoder = None


class _Estimator:
    """Estimates one person's faces in order of time."""

    def __init__(self, recognizer: Recognizer) -> None:
        self._recognizer = recognizer
        self._memory: Memory | None = None

    def __call__(self, pixels: Grey, time_s: float) -> Estimates:
        if self._memory is not None and time_s <= self._memory.time_s:  # as the receiver does
            return self._recognizer(pixels[None])
        found, self._memory = self._recognizer.follow(pixels[None], [time_s], self._memory)
        return found


class _Person:
    """What sender and receiver know of one person."""

    def __init__(self, recognizer: Recognizer) -> None:
        self.sender, self.receiver = _Estimator(recognizer), _Estimator(recognizer)
        self.own = NoMirror.own  # the sender's last estimate
        self.looked_s = math.nan
        self.last: Estimates | None = None
        self.debt = math.inf

    def squared_error(self) -> float:
        """The squared difference of the last estimates of sender and receiver, the mean of valence and arousal."""
        assert self.last is not None
        return math.dist(self.own[:2], _first(self.last)[:2]) ** 2 / 2


def _first(estimates: Estimates) -> FaceEstimate:
    columns = (estimates.valence, estimates.arousal, estimates.valence_std, estimates.arousal_std)
    return FaceEstimate(*(float(column[0]) for column in columns))
