"""There and back without a container: faces coded, some of them lost, and what the far side decodes of the rest."""

from collections.abc import Collection
from contextlib import suppress
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from lowbeam.codec.interface import CodedFace, TrackHeader
from lowbeam.codec.operating_point import FrameRateLimiter, OperatingPoint, open_encoder
from lowbeam.codec.registry import open_decoder
from lowbeam.errors import CodecError, StreamError
from lowbeam.face import Grey
from lowbeam.scale import Faces, shrink

INTRA_FPS = 0.1  # at one frame in ten seconds every frame is a key frame


@dataclass(frozen=True)
class CodedRun:
    """A run of LR faces coded at `point`: the packets in order, and the `header` that a decoder needs first."""

    point: OperatingPoint
    header: TrackHeader
    faces: list[CodedFace]


@dataclass(frozen=True)
class Trip:
    """What a link delivers of a recording: `rows` int64 (n,) are indices of the faces that arrived, `time_s` float64
    (n,) their times in seconds, `faces` uint8 (n, d, d) what the far side sees of them."""

    rows: NDArray[np.int64]
    time_s: NDArray[np.float64]
    faces: Faces


def trip(
    point: OperatingPoint, hr: Faces, time_s: ArrayLike, *, rows: NDArray[np.int64] | None = None,
    lost: Collection[int] = (),
) -> Trip:  # fmt: skip
    """Send HR faces, uint8 (m, 96, 96), at rising `time_s` (m,), at `point`: shrunk, coded and decoded.

    The faces at the indices `rows` are sent, by default those that the point's frame rate allows; `lost` are indices of
    sent faces whose packets do not arrive. Raises `CodecError`.
    """
    times = np.asarray(time_s, np.float64)
    rows = sent_rows(times, point.fps) if rows is None else rows
    run = code(point, shrink(hr[rows], point.scale), milliseconds(times[rows]))
    if not lost:
        return Trip(rows, times[rows], decode(run))
    arrived = received(run, lost)
    index = {face.time_ms: row for face, row in zip(run.faces, rows.tolist(), strict=True)}
    seen = np.array([index[time_ms] for time_ms, _ in arrived], np.int64)
    return Trip(seen, times[seen], _stacked([pixels for _, pixels in arrived], point.side))


def sent_rows(time_s: NDArray[np.float64], fps: float) -> NDArray[np.int64]:
    """Indices of the faces at `time_s` (n,) that are coded at `fps` frames a second."""
    limiter = FrameRateLimiter(fps)
    return np.array([i for i, time in enumerate(time_s.tolist()) if limiter.takes(time)], np.int64)


def milliseconds(time_s: NDArray[np.float64]) -> list[int]:
    """`time_s` (n,) as a face stream states them."""
    rounded: list[int] = np.rint(1000 * time_s).astype(int).tolist()
    return rounded


def code(point: OperatingPoint, faces: Faces, times_ms: list[int]) -> CodedRun:
    """Code LR `faces`, uint8 (n, d, d), shown at rising `times_ms`. Raises `CodecError`."""
    encoder = open_encoder(point)
    coded = [c for face, time_ms in zip(faces, times_ms, strict=True) for c in encoder.encode(face, time_ms)]
    coded += encoder.flush()
    if len(coded) != len(faces):
        raise CodecError(f"{point}: of {len(faces)} faces {len(coded)} were coded")
    return CodedRun(point, encoder.header, coded)


def decode(run: CodedRun) -> Faces:
    """The faces of `run` as the far side sees them, uint8 (n, d, d). Raises `CodecError` where one is missing."""
    decoder = open_decoder(run.header)
    decoded = [pixels for face in run.faces for _, pixels in decoder.decode(face)]
    decoded += [pixels for _, pixels in decoder.flush()]
    if len(decoded) != len(run.faces):
        raise CodecError(f"{run.point}: of {len(run.faces)} faces {len(decoded)} were decoded")
    return _stacked(decoded, run.point.side)


def received(run: CodedRun, lost: Collection[int]) -> list[tuple[int, Grey]]:
    """Faces of `run`, with their times in milliseconds, that a decoder shows where the packets at the indices `lost`
    do not arrive. A face that cannot be decoded without them is not shown."""
    decoder, shown = open_decoder(run.header), []
    for index, face in enumerate(run.faces):
        if index in lost:
            continue
        try:
            shown += decoder.decode(face)
        except StreamError:
            continue
    with suppress(StreamError):
        shown += decoder.flush()
    return shown


def _stacked(faces: list[Grey], side: int) -> Faces:
    return np.stack(faces) if faces else np.empty((0, side, side), np.uint8)


def code_stills(codec: str, scale: int, qp: int, faces: Faces) -> Faces:
    """LR `faces`, uint8 (n, d, d), each coded by itself (intra) and decoded."""
    point = OperatingPoint(codec, scale, qp, INTRA_FPS)
    return decode(code(point, faces, [10_000 * i for i in range(len(faces))]))
