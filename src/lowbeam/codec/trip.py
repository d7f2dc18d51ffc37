"""Encodes and decodes faces in memory, without a container, optionally with packet loss."""

from collections.abc import Collection
from contextlib import suppress
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from lowbeam.codec.interface import CodedFace, Sample, TrackHeader
from lowbeam.codec.operating_point import FrameRateLimiter, OperatingPoint, open_encoder
from lowbeam.codec.registry import open_decoder
from lowbeam.errors import CodecError, StreamError
from lowbeam.face import Grey
from lowbeam.scale import Faces, shrink

INTRA_FPS = 0.02  # at one frame in 50 s every frame is a key frame


@dataclass(frozen=True)
class CodedRun:
    """LR faces coded at `point`: the coded `faces` in order, and the `header` that a decoder needs."""

    point: OperatingPoint
    header: TrackHeader
    faces: list[CodedFace]


@dataclass(frozen=True)
class Trip:
    """The faces that are received: `rows`, int64 (n,), are their indices in the recording, `time_s`, float64 (n,),
    their times in seconds, and `faces`, uint8 (n, d, d), the decoded LR faces."""

    rows: NDArray[np.int64]
    time_s: NDArray[np.float64]
    faces: Faces


def trip(
    point: OperatingPoint, hr: Faces, time_s: ArrayLike, *, rows: NDArray[np.int64] | None = None,
    lost: Collection[int] = (),
) -> Trip:  # fmt: skip
    """Downsample, encode and decode HR faces, uint8 (m, 96, 96), at increasing `time_s` (m,) in seconds, at `point`.

    The faces at the indices `rows` are sent, by default those that the frame rate of `point` allows; `lost` are indices
    of sent faces that are not received. Raises `CodecError`.
    """
    times = np.asarray(time_s, np.float64)
    rows = sent_rows(times, point.fps) if rows is None else rows
    run = code(point, shrink(hr[rows], point.scale), milliseconds(times[rows]))
    if not lost:
        return Trip(rows, times[rows], decode(run))
    arrived = received(run, lost)
    index = {face.time_ms: row for face, row in zip(run.faces, rows.tolist(), strict=True)}
    seen = np.array([index[sample.time_ms] for sample in arrived], np.int64)
    return Trip(seen, times[seen], _stacked([sample.pixels for sample in arrived], point.side))


def sent_rows(time_s: NDArray[np.float64], fps: float) -> NDArray[np.int64]:
    """Indices, int64 (m,), of the faces at `time_s` (n,) that are coded at `fps` frames per second."""
    limiter = FrameRateLimiter(fps)
    return np.array([i for i, time in enumerate(time_s.tolist()) if limiter.takes(time)], np.int64)


def milliseconds(time_s: NDArray[np.float64]) -> list[int]:
    """`time_s` (n,) in whole milliseconds, the unit of a face stream."""
    rounded: list[int] = np.rint(1000 * time_s).astype(int).tolist()
    return rounded


def code(point: OperatingPoint, faces: Faces, times_ms: list[int]) -> CodedRun:
    """Encode LR `faces`, uint8 (n, d, d), at increasing `times_ms`. Raises `CodecError`."""
    encoder = open_encoder(point)
    coded = [c for face, time_ms in zip(faces, times_ms, strict=True) for c in encoder.encode(face, time_ms)]
    coded += encoder.flush()
    if len(coded) != len(faces):
        raise CodecError(f"{point}: {len(coded)} of {len(faces)} faces were coded")
    return CodedRun(point, encoder.header, coded)


def decode(run: CodedRun) -> Faces:
    """The decoded faces of `run`, uint8 (n, d, d). Raises `CodecError` if one is missing."""
    decoder = open_decoder(run.header)
    decoded = [sample.pixels for face in run.faces for sample in decoder.decode(face)]
    decoded += [sample.pixels for sample in decoder.flush()]
    if len(decoded) != len(run.faces):
        raise CodecError(f"{run.point}: {len(decoded)} of {len(run.faces)} faces were decoded")
    return _stacked(decoded, run.point.side)


def received(run: CodedRun, lost: Collection[int]) -> list[Sample]:
    """The decoded faces of `run`, if the coded faces at the indices `lost` are not
    received. A face that cannot be decoded without them is omitted."""
    decoder, shown = open_decoder(run.header), list[Sample]()
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
    """LR `faces`, uint8 (n, d, d), each coded by itself (intra) and decoded. Raises `CodecError` or `UsageError`."""
    point = OperatingPoint(codec, scale, qp, INTRA_FPS)
    return decode(code(point, faces, [50_000 * i for i in range(len(faces))]))
