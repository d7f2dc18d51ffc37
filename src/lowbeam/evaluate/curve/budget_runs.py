"""Recordings under rate control: coded as `lowbeam pack --budget` does, decoded and estimated, without files."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lowbeam.codec import CodedFace, PlacedFace, TrackHeader, face_of, open_decoder
from lowbeam.codec.budget import Budget
from lowbeam.codec.choice import controlled
from lowbeam.codec.operating_table import Entry
from lowbeam.codec.rate_control import RateControl
from lowbeam.codec.track_encoders import open_track_encoder
from lowbeam.corpora.labelled import Affect, Track
from lowbeam.estimator import NEAR_S, Estimator, fuse
from lowbeam.face import NO_BOX, Box, Face, FaceEstimate
from lowbeam.mirror import ReceiverMirror
from lowbeam.recognize import Estimates, Recognizer

PERSON = 1
Known = dict[float, FaceEstimate]  # the sender's estimates of a recording by time in seconds


@dataclass(frozen=True)
class BudgetRun:
    """What a receiver gets of a recording: `estimates` of the faces at `time_s`, float64 (n,). The sizes of the faces
    are `payload_bytes`, with boxes `data_bytes`, and `counted_bytes` as the budget counts them."""

    time_s: NDArray[np.float64]
    estimates: Estimates
    payload_bytes: int
    data_bytes: int
    counted_bytes: int

    @property
    def affect(self) -> Affect:
        """Valence and arousal of the estimates, float32 (n, 2)."""
        return np.stack([self.estimates.valence, self.estimates.arousal], 1)


class _Recorder(ReceiverMirror):
    """A receiver whose estimates are kept. The sender's estimates are taken from `known`, and added to it."""

    def __init__(self, recognizer: Recognizer, known: Known) -> None:
        super().__init__(recognizer)
        self._known = known
        self.times_s: list[float] = []
        self.kept: list[Estimates] = []

    def own_estimate(self, face: Face) -> FaceEstimate:
        if face.time_s not in self._known:
            self._known[face.time_s] = super().own_estimate(face)
        return self._known[face.time_s]

    def receive(self, header: TrackHeader, coded: CodedFace) -> None:
        super().receive(header, coded)
        assert self.last is not None  # the decoders return each face at once
        self.kept.append(self.last)
        self.times_s.append(coded.time_ms / 1000)


def run_with_budget(
    track: Track, budget: Budget, rungs: list[Entry], recognizer: Recognizer, known: Known
) -> BudgetRun:
    """Send the face of `track` within `budget`, at the entries `rungs` of an operating table. `known` is a cache of the
    sender's estimates for this recording, which may be shared by runs at the same frame rate. Raises `CodecError`."""
    policy = controlled(budget, rungs)
    recorder = _Recorder(recognizer, known)
    encoder = open_track_encoder(policy, recorder)
    sent: list[PlacedFace] = []
    for index, seconds in enumerate(track.time_s.tolist()):
        if policy.looks_at(seconds):
            sent += encoder.encode(_face_of(track, index))
    sent += encoder.flush()
    sizes = [(len(placed.coded.data), placed.cue_bytes) for placed in sent]
    if isinstance(policy, RateControl):
        time_s, kept = recorder.times_s, recorder.kept
    else:
        time_s, kept = _read_packets(encoder.header, sent, Estimator(recognizer=recognizer))
    columns = zip(*((e.valence, e.arousal, e.valence_std, e.arousal_std) for e in kept), strict=True)
    return BudgetRun(
        np.array(time_s), Estimates(*map(np.concatenate, columns)), sum(face for face, _ in sizes),
        sum(face + cues for face, cues in sizes), sum(budget.weigh(*size) for size in sizes),
    )  # fmt: skip


def _face_of(track: Track, index: int) -> Face:
    box = Box(*track.box[index].tolist())
    return Face(float(track.time_s[index]), PERSON, box, np.asarray(track.pixels[index]))


def _read_packets(
    header: TrackHeader, sent: list[PlacedFace], estimator: Estimator
) -> tuple[list[float], list[Estimates]]:
    """Times and estimates of all samples of a compact codec's packets."""
    decoder, box = open_decoder(header), NO_BOX
    faces = [face_of(sample, PERSON, box) for placed in sent for sample in decoder.decode(placed.coded)]
    return [face.time_s for face in faces], [estimator.follow(faces, None)[0]]


def merged(lean: BudgetRun, rich: BudgetRun) -> BudgetRun:
    """What a receiver gets of two layers, `lean` of estimates: those of the rich layer are fused with them, as
    `lowbeam.read` does."""
    rows: dict[float, FaceEstimate] = dict(zip(lean.time_s.tolist(), _rows(lean.estimates), strict=True))
    lean_s = np.array([*rows])
    for time_s, estimate in zip(rich.time_s.tolist(), _rows(rich.estimates), strict=True):
        place = int(np.searchsorted(lean_s, time_s + 1e-6)) - 1
        is_near = place >= 0 and time_s - lean_s[place] <= NEAR_S
        rows[time_s] = fuse(estimate, rows[float(lean_s[place])]) if is_near else estimate
    times_s = sorted(rows)
    columns = np.array([rows[time_s] for time_s in times_s], np.float32).T
    return BudgetRun(
        np.array(times_s), Estimates(*columns), lean.payload_bytes + rich.payload_bytes,
        lean.data_bytes + rich.data_bytes, lean.counted_bytes + rich.counted_bytes,
    )  # fmt: skip


def _rows(found: Estimates) -> list[FaceEstimate]:
    columns = (found.valence, found.arousal, found.valence_std, found.arousal_std)
    return [FaceEstimate(*row) for row in np.stack(columns, 1).tolist()]
