"""There and back without a container: a run of faces as packets, and what the far side decodes of them."""

from dataclasses import dataclass

import av
import numpy as np

from lowbeam.codec.operating_point import OperatingPoint
from lowbeam.codec.standard import TIME_BASE, CodedFace, StandardDecoder, StandardEncoder
from lowbeam.errors import CodecError
from lowbeam.scale import Faces

INTRA_FPS = 0.1  # at one frame in ten seconds every frame is a key frame


@dataclass(frozen=True)
class CodedRun:
    """A run of LR faces coded at `point`: the packets in order, and the `header` that a decoder needs first."""

    point: OperatingPoint
    header: bytes
    faces: list[CodedFace]


def code(point: OperatingPoint, faces: Faces, times_ms: list[int]) -> CodedRun:
    """Code LR `faces`, uint8 (n, d, d), shown at rising `times_ms`. Raises `CodecError`."""
    encoder = StandardEncoder(point)
    coded = [c for face, time_ms in zip(faces, times_ms, strict=True) for c in encoder.encode(face, time_ms)]
    coded += encoder.flush()
    if len(coded) != len(faces):
        raise CodecError(f"{point}: of {len(faces)} faces {len(coded)} were coded")
    return CodedRun(point, encoder.header, coded)


def decode(run: CodedRun) -> Faces:
    """The faces of `run` as the far side sees them, uint8 (n, d, d). Raises `CodecError` where one is lost."""
    side = run.point.side
    decoder = StandardDecoder.bare(run.point.codec, side, run.header)
    packets = [*map(packet_of, run.faces), packet_of(CodedFace(b"", 0, False))]  # the last asks for what is left
    decoded = [pixels for packet in packets for _, pixels in decoder.decode(packet)]
    if len(decoded) != len(run.faces):
        raise CodecError(f"{run.point}: of {len(run.faces)} faces {len(decoded)} were decoded")
    return np.stack(decoded) if decoded else np.empty((0, side, side), np.uint8)


def code_stills(codec: str, scale: int, qp: int, faces: Faces) -> Faces:
    """LR `faces`, uint8 (n, d, d), each coded by itself (intra) and decoded."""
    point = OperatingPoint(codec, scale, qp, INTRA_FPS)
    return decode(code(point, faces, [10_000 * i for i in range(len(faces))]))


def packet_of(coded: CodedFace) -> av.Packet:
    """A coded face as a decoder takes it, by its time."""
    packet = av.Packet(coded.data)
    packet.time_base = TIME_BASE
    packet.pts = packet.dts = coded.time_ms
    packet.is_keyframe = coded.is_key
    return packet
