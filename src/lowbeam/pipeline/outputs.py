"""Writes faces to a face stream: the primary face while the source runs, or all faces at the end."""

import heapq
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from types import TracebackType

from lowbeam.codec import PlacedFace
from lowbeam.codec.layers import LayeredFace, Layers, TrackLayers
from lowbeam.codec.policy import Mirror, NoMirror
from lowbeam.container.layout import MAX_TRACKS
from lowbeam.container.writer import FaceStreamWriter, Target, TrackWriter
from lowbeam.faces import FrameFaces
from lowbeam.faces.track import RECALL_S

MAX_AWAY = 8  # encoders kept for faces out of view; each holds 4 MB or more, and a dozen threads for AV1
MAX_SPOOLS = 2 * MAX_TRACKS  # tracks kept in memory; of more, the least present are omitted


class PrimaryOutput:
    """Writes the primary face's tracks, one for each layer, while the source runs. A context manager."""

    left_out = 0

    def __init__(
        self, layers: Layers, target: Target, latency_s: float, make_mirror: Callable[[], Mirror] = NoMirror
    ) -> None:
        self._layers, self._target, self._latency_s = layers, target, latency_s
        self._track = TrackLayers(layers, make_mirror())
        self._stack = ExitStack()
        self._writers: list[TrackWriter] = []  # by layer
        self._source_size = (1, 1)
        self.coded = 0

    def __enter__(self) -> "PrimaryOutput":
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._stack.__exit__(kind, error, trace)
        self._track.flush()

    @property
    def tracks(self) -> int:
        """Number of tracks written."""
        return len(self._writers)

    def add(self, frame: FrameFaces) -> None:
        """Encode and write the first face of a frame. Raises `CodecError` or `OutputError`."""
        self._source_size = frame.source_size
        self._write(self._track.finish_by(frame.time_s))
        for face in frame.faces[:1]:
            self._write(self._track.encode(face))

    def _write(self, coded: list[LayeredFace]) -> None:
        if coded and not self._writers:
            writer = FaceStreamWriter(
                self._target, self._source_size, may_change=self._layers.may_change, latency_s=self._latency_s
            )  # fmt: skip
            self._writers = add_tracks(self._stack.enter_context(writer), self._track)
        for one in coded:
            self._writers[one.layer].write(one.placed)
            self.coded += 1

    def finish(self) -> None:
        """Write the remaining faces of the encoders and end the file."""
        self._write(self._track.flush())
        self._stack.close()


def add_tracks(writer: FaceStreamWriter, track: TrackLayers) -> list[TrackWriter]:
    """Add the tracks of one face, one for each layer."""
    return [
        writer.add_track(encoder.announced(), encoder.point, layer=layer, gathered_s=encoder.latency_s)
        for layer, encoder in enumerate(track.encoders)
    ]


@dataclass
class _Spool:
    """A face's coded track, kept until all tracks are known, since a container lists its tracks first."""

    track: TrackLayers
    presence: float = 0.0
    last_s: float = 0.0
    coded: list[LayeredFace] = field(default_factory=list)

    def end(self) -> None:
        """Free the encoders, which hold far more memory than the track."""
        if self.track.is_open:
            self.coded += self.track.flush()

    def events(self, writer: TrackWriter, layer: int) -> Iterator[tuple[int, TrackWriter, PlacedFace]]:
        """Each face of a layer with its time and its writer."""
        for one in self.coded:
            if one.layer == layer:
                yield one.placed.coded.time_ms, writer, one.placed


class AllFacesOutput:
    """Keeps the coded track of every face in memory (a few hundred bytes per second) and writes the file at the end,
    the most present face first. Of more than `MAX_TRACKS` the least present are omitted. A context manager."""

    def __init__(
        self, layers: Layers, target: Target, latency_s: float, make_mirror: Callable[[], Mirror] = NoMirror
    ) -> None:
        self._layers, self._target, self._latency_s = layers, target, latency_s
        self._make_mirror = make_mirror
        TrackLayers(layers, NoMirror()).flush()  # raises `CodecError` early if there is no such encoder
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
            spool.coded += spool.track.encode(face)
        for spool in self._spools.values():
            spool.coded += spool.track.finish_by(frame.time_s)
        self._end_unused(frame.time_s)

    def _end_unused(self, time_s: float) -> None:
        """Free the encoders of faces out of view: those that the tracker will not recognize again, and beyond
        `MAX_AWAY` those absent for longest. A face that returns gets a new encoder."""
        away = [spool for spool in self._spools.values() if spool.track.is_open and spool.last_s < time_s]
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
        self._spools[face] = _Spool(TrackLayers(self._layers, self._make_mirror()), last_s=time_s)
        return self._spools[face]

    def finish(self) -> None:
        """Write the file."""
        for spool in self._spools.values():
            spool.end()
        spools = sorted((s for s in self._spools.values() if s.coded), key=lambda spool: -spool.presence)
        most = MAX_TRACKS // len(self._layers.policies)
        self.left_out = len(self._refused - self._spools.keys()) + max(0, len(spools) - most)
        spools = spools[:most]
        self.tracks = len(spools) * len(self._layers.policies)
        self.coded = sum(len(spool.coded) for spool in spools)
        if not spools:
            return
        with FaceStreamWriter(
            self._target, self._source_size, may_change=self._layers.may_change, latency_s=self._latency_s
        ) as writer:
            events = [
                spool.events(track, layer)
                for spool in spools
                for layer, track in enumerate(add_tracks(writer, spool.track))
            ]
            for _, track, placed in heapq.merge(*events, key=lambda event: event[0]):
                track.write(placed)
