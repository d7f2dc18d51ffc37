"""One recording at one operating point of a compact codec: gathered into packets, counted, decoded and estimated."""

from io import BytesIO

import numpy as np

from lowbeam.codec import CODECS, OperatingPoint, PlacedFace, TrackHeader, face_of, open_decoder
from lowbeam.codec.compact.policy import CompactFixed
from lowbeam.codec.track_encoders import open_track_encoder
from lowbeam.codec.wire import ByteCounter
from lowbeam.container import FaceStreamWriter
from lowbeam.corpora.labelled import Track
from lowbeam.estimator import Estimator
from lowbeam.evaluate.curve.run import PERSON, RunResult, Weight, duration_s
from lowbeam.evaluate.curve.systems import Affect, System
from lowbeam.face import NO_BOX, Box, Face
from lowbeam.files import Pipe
from lowbeam.mirror import ReceiverMirror
from lowbeam.recognize import Recognizer
from lowbeam.scale import FACE_SIDE


def is_compact(point: OperatingPoint) -> bool:
    """Whether the codec of `point` sends packets of samples instead of pixels."""
    return CODECS[point.codec].kind != "pixels"


def compact_result(track: Track, point: OperatingPoint, systems: list[System]) -> RunResult:
    """The result of `track` at `point`, in packets of a second. Only systems that are one of lowbeam's recognizers at
    full size are read; for estimates, the weight is that of the first of them. Raises `CodecError`."""
    weight, times_s, readings = Weight(0, duration_s(track)), np.empty(0), dict[str, Affect]()
    for system in systems:
        path = system.at(1)
        if path is None or system.way or "{scale}" in system.model:
            continue
        recognizer = Recognizer(path)
        header, sent = _sent(track, point, recognizer)
        decoder = open_decoder(header)
        faces = [face_of(sample, PERSON, NO_BOX) for placed in sent for sample in decoder.decode(placed.coded)]
        found, _ = Estimator(recognizer=recognizer).follow(faces, None)
        if not readings:
            weight = _weigh(header, point, sent, duration_s(track))
        times_s = np.array([face.time_s for face in faces])
        readings[system.name] = np.stack([found.valence, found.arousal], 1)
    return RunResult(weight, times_s, readings)


def _sent(track: Track, point: OperatingPoint, recognizer: Recognizer) -> tuple[TrackHeader, list[PlacedFace]]:
    policy = CompactFixed(point)
    encoder = open_track_encoder(policy, ReceiverMirror(recognizer))
    sent: list[PlacedFace] = []
    for index, seconds in enumerate(track.time_s.tolist()):
        if policy.looks_at(seconds):
            box = Box(*track.box[index].tolist())
            sent += encoder.encode(Face(seconds, PERSON, box, np.asarray(track.pixels[index])))
    return encoder.header, sent + encoder.flush()


def _weigh(header: TrackHeader, point: OperatingPoint, sent: list[PlacedFace], seconds: float) -> Weight:
    """The weight of packets; their number stands for that of faces."""
    counter, target = ByteCounter(), Pipe(BytesIO())
    with FaceStreamWriter(target, (FACE_SIDE, FACE_SIDE)) as writer:
        track = writer.add_track(header, point)
        for placed in sent:
            track.write(placed)
            counter.add(placed.coded.time_ms / 1000, len(placed.coded.data), 0)
    return Weight(len(counter), seconds, counter.payload, target.size, counter.rtp, counter.tls)
