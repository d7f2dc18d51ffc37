"""People without a camera or a network, for tests of compact codecs: what they feel is known at any time."""

import math
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import numpy as np

from lowbeam.codec import CodedFace, OperatingPoint, PlacedFace, Sample, open_decoder
from lowbeam.codec.compact.policy import CompactBudget, CompactFixed
from lowbeam.codec.compact.track_encoder import CompactTrackEncoder
from lowbeam.container import FaceStreamWriter
from lowbeam.face import Box, Face, FaceEstimate

Times = Sequence[float]
Policy = CompactBudget | CompactFixed
POINT = OperatingPoint("estimates", 1, 6, 10.0)
NOTHING = np.zeros((96, 96), np.uint8)


class Feeling:
    """A mirror whose estimates move like those of a lively person, without a network."""

    debt = 0.0
    own = FaceEstimate(0.0, 0.0, 0.15, 0.2)

    def look(self, face: Face) -> None:
        self.own = feeling(face.time_s, face.id)

    def receive(self, header: object, coded: CodedFace) -> None: ...

    def release(self) -> None: ...


def feeling(time_s: float, face: int) -> FaceEstimate:
    """What the person `face` feels."""
    at = time_s + 11 * face
    valence = 0.5 * math.sin(0.9 * at) + 0.3 * math.sin(2.3 * at)
    return FaceEstimate(valence, 0.6 * math.cos(0.7 * at + 1), 0.15, 0.2)


def face_of(time_s: float, person: int = 0, box: Box | None = None) -> Face:
    """The face of a person, who does not move."""
    return Face(time_s, person, box or Box(10.0 + 200 * person, 10.0, 80.0), NOTHING)


def regular(fps: float, seconds: float = 30.0) -> Times:
    """Times of frames."""
    found: list[float] = np.arange(0, seconds, 1 / fps).tolist()
    return found


def one_person(time_s: float) -> list[int]:
    """Who is seen."""
    return [0]


def sent_packets(
    times: Iterable[float], policy: Policy, people: Callable[[float], list[int]] = one_person, tracks: int = 1
) -> list[list[CodedFace]]:
    """The packets of each track of a source; `people` tells who is seen when. With one track, they take turns."""
    encoders = [CompactTrackEncoder(policy, Feeling()) for _ in range(tracks)]
    found: list[list[CodedFace]] = [[] for _ in encoders]
    for time_s in times:
        if not policy.looks_at(time_s):
            continue
        for number, encoder in enumerate(encoders):
            found[number] += [one.coded for one in encoder.finish_by(time_s)]
        for person in people(time_s):
            number = person if tracks > 1 else 0
            found[number] += [one.coded for one in encoders[number].encode(face_of(time_s, person))]
    for number, encoder in enumerate(encoders):
        found[number] += [one.coded for one in encoder.flush()]
    return found


def decoded(packets: Sequence[CodedFace]) -> list[Sample]:
    """The samples of packets of one track."""
    decoder = open_decoder(CompactTrackEncoder(CompactFixed(POINT), Feeling()).header)
    return [sample for packet in packets for sample in decoder.decode(packet)]


def write_stream(path: Path, tracks: Sequence[Sequence[CodedFace]]) -> Path:
    """A face stream of packets."""
    header = CompactTrackEncoder(CompactFixed(POINT), Feeling()).header
    with path.open("wb") as file, FaceStreamWriter(file, (640, 360)) as writer:
        writers = [writer.add_track(header, POINT) for _ in tracks]
        pairs = [(one, packet) for one, packets in zip(writers, tracks, strict=True) for packet in packets]
        for one, packet in sorted(pairs, key=lambda pair: pair[1].time_ms):
            one.write(PlacedFace(packet))
    return path
