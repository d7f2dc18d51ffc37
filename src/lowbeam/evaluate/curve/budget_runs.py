"""Recordings under rate control: coded as `lowbeam pack --budget` does, decoded and estimated, without files."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lowbeam.codec import CodedFace, TrackHeader
from lowbeam.codec.budget import Budget
from lowbeam.codec.operating_table import Entry
from lowbeam.codec.rate_control import RateControl
from lowbeam.codec.track_encoder import TrackEncoder
from lowbeam.corpora.labelled import Affect, Track
from lowbeam.face import Box, Face
from lowbeam.mirror import ReceiverMirror
from lowbeam.recognize import Estimates, Recognizer

PERSON = 1
Known = dict[float, tuple[float, float]]  # the sender's estimates of a recording by time in seconds


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
        self.kept: list[Estimates] = []

    def own_estimate(self, face: Face) -> tuple[float, float]:
        if face.time_s not in self._known:
            self._known[face.time_s] = super().own_estimate(face)
        return self._known[face.time_s]

    def receive(self, header: TrackHeader, coded: CodedFace) -> None:
        super().receive(header, coded)
        assert self.last is not None  # the decoders return each face at once
        self.kept.append(self.last)


def run_with_budget(
    track: Track, budget: Budget, rungs: list[Entry], recognizer: Recognizer, known: Known
) -> BudgetRun:
    """Send the face of `track` within `budget`, at the entries `rungs` of an operating table. `known` is a cache of the
    sender's estimates for this recording, which may be shared by runs at the same frame rate. Raises `CodecError`."""
    control = RateControl(budget, rungs)
    recorder = _Recorder(recognizer, known)
    encoder = TrackEncoder(control, recorder)
    time_s: list[float] = []
    payload = data = counted = 0
    for index, seconds in enumerate(track.time_s.tolist()):
        if not control.looks_at(seconds):
            continue
        face = Face(seconds, PERSON, Box(*track.box[index].tolist()), np.asarray(track.pixels[index]))
        for placed in encoder.encode(face):
            time_s.append(seconds)
            size = len(placed.coded.data)
            payload, data = payload + size, data + size + placed.cue_bytes
            counted += budget.weigh(size, placed.cue_bytes)
    encoder.flush()
    columns = zip(*((e.valence, e.arousal, e.valence_std, e.arousal_std) for e in recorder.kept), strict=True)
    return BudgetRun(np.array(time_s), Estimates(*map(np.concatenate, columns)), payload, data, counted)
