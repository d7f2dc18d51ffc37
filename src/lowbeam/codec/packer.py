"""HR faces to a face stream: shrink, encode, and write each to its track."""

import heapq
from collections.abc import Iterator
from dataclasses import dataclass, field

from lowbeam.codec.face_stream import MAX_TRACKS, FaceStreamWriter, Target, TrackWriter
from lowbeam.codec.operating_point import OperatingPoint
from lowbeam.codec.standard import CodedFace, StandardEncoder
from lowbeam.face import Box, Face
from lowbeam.scale import shrink

MAX_SPOOLS = 2 * MAX_TRACKS  # an encoder holds about 4 MB: passers-by beyond this many go, the least present first


class PrimaryPacker:
    """Writes one track as the faces come."""

    left_out = 0

    def __init__(self, point: OperatingPoint, target: Target) -> None:
        self.point, self._target = point, target
        self._writer: FaceStreamWriter | None = None
        self._encoder = StandardEncoder(point)
        self._last_ms = -1
        self.coded = 0

    @property
    def tracks(self) -> int:
        return min(self.coded, 1)

    def add(self, face: Face, source_size: tuple[int, int]) -> None:
        """Code an HR face, uint8 (96, 96), of a source of (width, height) pixels.

        Raises `CodecError` or `OutputError`."""
        if self._writer is None:
            self._writer = FaceStreamWriter(self._target, source_size)
            self._track = self._writer.add_track(self._encoder, self.point)
        time_ms = self._last_ms = max(round(face.time_s * 1000), self._last_ms + 1)
        self._track.write_box(time_ms, face.id, face.box)
        self._write(self._encoder.encode(shrink(face.pixels[None], self.point.scale)[0], time_ms))
        self.coded += 1

    def _write(self, coded: list[CodedFace]) -> None:
        for face in coded:
            self._track.write_face(face)

    def finish(self) -> None:
        """Write what the encoder still holds, and end the file."""
        if self._writer is not None:
            self._write(self._encoder.flush())
            self._writer.close()

    def abandon(self) -> None:
        """Let go of an unfinished file."""
        if self._writer is not None:
            self._writer.abandon()


@dataclass
class _Spool:
    """A face's coded track, kept until all tracks are known: a container lists its tracks before anything else."""

    encoder: StandardEncoder
    presence: float = 0.0
    last_ms: int = -1
    boxes: list[tuple[int, int, Box]] = field(default_factory=list)
    coded: list[CodedFace] = field(default_factory=list)

    def events(self, track: TrackWriter) -> Iterator[tuple[int, TrackWriter, tuple[int, int, Box], CodedFace]]:
        for box, face in zip(self.boxes, self.coded, strict=True):
            yield face.time_ms, track, box, face


class AllPacker:
    """Keeps every face's coded track (a few hundred bytes a second), and writes the file at the end, the most present
    face first; the least present are left out where there are more than `MAX_TRACKS`."""

    def __init__(self, point: OperatingPoint, target: Target) -> None:
        self.point, self._target = point, target
        self._spools: dict[int, _Spool] = {}
        self._source_size = (1, 1)
        self._writer: FaceStreamWriter | None = None
        self.coded = self.tracks = self.left_out = 0

    def add(self, face: Face, source_size: tuple[int, int]) -> None:
        """Code an HR face, uint8 (96, 96), of a source of (width, height) pixels."""
        self._source_size = source_size
        if face.id not in self._spools:
            if len(self._spools) >= MAX_SPOOLS:
                del self._spools[min(self._spools, key=lambda known: self._spools[known].presence)]
                self.left_out += 1
            self._spools[face.id] = _Spool(StandardEncoder(self.point))
        spool = self._spools[face.id]
        time_ms = spool.last_ms = max(round(face.time_s * 1000), spool.last_ms + 1)
        spool.presence += face.box.side**2
        spool.boxes.append((time_ms, face.id, face.box))
        spool.coded += spool.encoder.encode(shrink(face.pixels[None], self.point.scale)[0], time_ms)

    def finish(self) -> None:
        """Write the file."""
        spools = sorted(self._spools.values(), key=lambda spool: -spool.presence)
        for spool in spools:
            spool.coded += spool.encoder.flush()
        self.left_out += max(0, len(spools) - MAX_TRACKS)
        spools = spools[:MAX_TRACKS]
        self.tracks, self.coded = len(spools), sum(len(spool.coded) for spool in spools)
        if spools:
            self._writer = FaceStreamWriter(self._target, self._source_size)
            tracks = [self._writer.add_track(spool.encoder, self.point) for spool in spools]
            events = (spool.events(track) for spool, track in zip(spools, tracks, strict=True))
            for _, track, box, coded in heapq.merge(*events, key=lambda event: event[0]):
                track.write_box(*box)
                track.write_face(coded)
            self._writer.close()

    def abandon(self) -> None:
        """Let go of an unfinished file."""
        if self._writer is not None:
            self._writer.abandon()
