"""Writes faces to a face stream: the primary face while the source runs, or all faces at the end."""

import heapq
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from types import TracebackType

from lowbeam.codec import PlacedFace
from lowbeam.codec.policy import Mirror, NoMirror
from lowbeam.codec.track_encoders import AnyPolicy, AnyTrackEncoder, open_track_encoder
from lowbeam.container.layout import MAX_TRACKS
from lowbeam.container.writer import FaceStreamWriter, Target, TrackWriter
from lowbeam.faces import FrameFaces
from lowbeam.faces.track import RECALL_S

MAX_AWAY = 8  # encoders kept for faces out of view; each holds 4 MB or more, and a dozen threads for AV1
MAX_SPOOLS = 2 * MAX_TRACKS  # tracks kept in memory; of more, the least present are omitted


class PrimaryOutput:
    """Writes the primary face's track while the source runs. A context manager."""

    left_out = 0

    def __init__(
        self, policy: AnyPolicy, target: Target, latency_s: float, make_mirror: Callable[[], Mirror] = NoMirror
    ) -> None:
        self._policy, self._target, self._latency_s = policy, target, latency_s
        self._encoder = open_track_encoder(policy, make_mirror())
        self._stack = ExitStack()
        self._track: TrackWriter | None = None
        self._source_size = (1, 1)
        self.coded = 0

    def __enter__(self) -> "PrimaryOutput":
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._stack.__exit__(kind, error, trace)
        self._encoder.flush()

    @property
    def tracks(self) -> int:
        """Number of tracks written."""
        return min(self.coded, 1)

    def add(self, frame: FrameFaces) -> None:
        """Encode and write the first face of a frame. Raises `CodecError` or `OutputError`."""
        self._source_size = frame.source_size
        self._write(self._encoder.finish_by(frame.time_s))
        for face in frame.faces[:1]:
            self._write(self._encoder.encode(face))

    def _write(self, placed: list[PlacedFace]) -> None:
        if placed and self._track is None:
            self._track = self._begin(self._source_size)
        for one in placed:
            assert self._track is not None  # created above
            self._track.write(one)
            self.coded += 1

    def _begin(self, source_size: tuple[int, int]) -> TrackWriter:
        writer = FaceStreamWriter(
            self._target, source_size, may_change=self._policy.may_change, latency_s=self._latency_s
        )  # fmt: skip
        return self._stack.enter_context(writer).add_track(self._encoder.header, self._encoder.point)

    def finish(self) -> None:
        """Write the remaining faces of the encoder and end the file."""
        self._write(self._encoder.flush())
        self._stack.close()


@dataclass
class _Spool:
    """A face's coded track, kept until all tracks are known, since a container lists its tracks first."""

    encoder: AnyTrackEncoder
    presence: float = 0.0
    last_s: float = 0.0
    placed: list[PlacedFace] = field(default_factory=list)

    def end(self) -> None:
        """Free the encoder, which holds far more memory than the track."""
        if self.encoder.is_open:
            self.placed += self.encoder.flush()

    def events(self, track: TrackWriter) -> Iterator[tuple[int, TrackWriter, PlacedFace]]:
        """Each face with its time and its track."""
        for placed in self.placed:
            yield placed.coded.time_ms, track, placed


class AllFacesOutput:
    """Keeps the coded track of every face in memory (a few hundred bytes per second) and writes the file at the end,
    the most present face first. Of more than `MAX_TRACKS` the least present are omitted. A context manager."""

    def __init__(
        self, policy: AnyPolicy, target: Target, latency_s: float, make_mirror: Callable[[], Mirror] = NoMirror
    ) -> None:
        self._policy, self._target, self._latency_s = policy, target, latency_s
        self._make_mirror = make_mirror
        open_track_encoder(policy, NoMirror()).flush()  # raises `CodecError` early if there is no such encoder
        self._spools: dict[int, _Spool] = {}
        self._refused: set[int] = set()  # faces without a track
        self._source_size = (1, 1)
        self.coded = self.tracks = self.left_out = 0

    def __enter__(self) -> "AllFacesOutput":
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        for spool in self._spools.values():
            spool.end()

    def add(self, frame: FrameFaces) -> None:
        """Encode every face of a frame. Raises `CodecError`."""
        for face in frame.faces:
            self._source_size = frame.source_size
            spool = self._spools.get(face.id) or self._new_spool(face.id, frame.time_s)
            if spool is None:
                continue
            spool.presence += face.box.side**2
            spool.last_s = face.time_s
            spool.placed += spool.encoder.encode(face)
        for spool in self._spools.values():
            spool.placed += spool.encoder.finish_by(frame.time_s)
        self._end_unused(frame.time_s)

    def _end_unused(self, time_s: float) -> None:
        """Free the encoders of faces out of view: those that the tracker will not recognize again, and beyond
        `MAX_AWAY` those absent for longest. A face that returns gets a new encoder."""
        away = [spool for spool in self._spools.values() if spool.encoder.is_open and spool.last_s < time_s]
        away.sort(key=lambda spool: spool.last_s, reverse=True)
        for rank, spool in enumerate(away):
            if rank >= MAX_AWAY or time_s > spool.last_s + RECALL_S:
                spool.end()

    def _new_spool(self, face: int, time_s: float) -> _Spool | None:
        """A track for a new face. If there are too many it replaces the least present one out of view; None if all are
        in view."""
        if len(self._spools) >= MAX_SPOOLS:
            gone = [known for known, spool in self._spools.items() if spool.last_s < time_s]
            if not gone:
                self._refused.add(face)
                return None
            least = min(gone, key=lambda known: self._spools[known].presence)
            self._spools.pop(least).end()
            self._refused.add(least)
        self._spools[face] = _Spool(
            open_track_encoder(self._policy, self._make_mirror()), last_s=time_s
        )  # fmt: skip
        return self._spools[face]

    def finish(self) -> None:
        """Write the file."""
        for spool in self._spools.values():
            spool.end()
        spools = sorted((s for s in self._spools.values() if s.placed), key=lambda spool: -spool.presence)
        self.left_out = len(self._refused - self._spools.keys()) + max(0, len(spools) - MAX_TRACKS)
        spools = spools[:MAX_TRACKS]
        self.tracks, self.coded = len(spools), sum(len(spool.placed) for spool in spools)
        if not spools:
            return
        with FaceStreamWriter(
            self._target, self._source_size, may_change=self._policy.may_change, latency_s=self._latency_s
        ) as writer:
            tracks = [writer.add_track(spool.encoder.header, spool.encoder.point) for spool in spools]
            events = (spool.events(track) for spool, track in zip(spools, tracks, strict=True))
            for _, track, placed in heapq.merge(*events, key=lambda event: event[0]):
                track.write(placed)
