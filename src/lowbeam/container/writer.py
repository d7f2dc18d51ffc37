"""Writes a face stream."""

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from types import TracebackType
from typing import BinaryIO

import av
from av.container import OutputContainer
from av.stream import Disposition, Stream

from lowbeam.codec import OperatingPoint, PlacedFace, TrackHeader
from lowbeam.codec.cues import Cue, EndCue, ScaleCue
from lowbeam.codec.standard import TIME_BASE
from lowbeam.container.layout import (
    CHANGING_VERSION,
    IO_BUFFER,
    PACKETS_FORMAT,
    PACKETS_VERSION,
    STREAM_VERSION,
    TITLE,
)  # fmt: skip
from lowbeam.errors import OutputError, reason
from lowbeam.face import FRAMING_VERSION
from lowbeam.files import Pipe

Target = str | os.PathLike[str] | BinaryIO | Pipe  # where a face stream can be written
FILE_LATENCY_S = 2.0  # length of a Matroska cluster in a file; a crash loses the last one


class FaceStreamWriter:
    """Writes a face stream to a path or a binary file, which need not be seekable. `source_size` is the source's
    (width, height) in pixels. All tracks are added before the first write; with `may_change` their scale can change.

    Faces are written in clusters of `latency_s` seconds. At 0 each face is written when the next one arrives, at a cost
    of about 14 bytes per face. A context manager; after an error the file stays incomplete. Raises `OutputError` if it
    cannot be written.
    """

    def __init__(
        self, out: Target, source_size: tuple[int, int], *, may_change: bool = False, latency_s: float = FILE_LATENCY_S
    ) -> None:
        options = {"max_interleave_delta": "1", "cluster_time_limit": str(round(1000 * latency_s))}
        with _writing():
            self._container: OutputContainer = av.open(
                out, "w", format="matroska", container_options=options, buffer_size=IO_BUFFER
            )
        self._is_prompt = latency_s == 0
        self._container.metadata["title"] = TITLE
        self._container.metadata["LOWBEAM"] = str(CHANGING_VERSION if may_change else STREAM_VERSION)
        self._container.metadata["LOWBEAM_FRAMING"] = str(FRAMING_VERSION)
        self._container.metadata["LOWBEAM_SOURCE"] = f"{source_size[0]}x{source_size[1]}"
        self.tracks: list[TrackWriter] = []

    def __enter__(self) -> "FaceStreamWriter":
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if kind is None:
            self.close()
        else:
            with suppress(av.FFmpegError, OSError, ValueError):
                self._container.close()

    def add_track(
        self, header: TrackHeader, point: OperatingPoint, *, layer: int = 0, gathered_s: float = 0.0
    ) -> "TrackWriter":
        """Add a track for the faces that `header` describes, coded at `point` at first. A `layer` above 0 is of the
        same face as the track before; `gathered_s` are the seconds of samples in a packet. All tracks are added before
        the first write."""
        # The text track is added first, so that at equal times its cue precedes the face.
        cues = self._container.add_mux_stream("subrip")
        faces = self._add_packets(header) if header.template is None else (
            self._container.add_stream_from_template(header.template)
        )  # fmt: skip
        cues.time_base = faces.time_base = TIME_BASE
        cues.disposition, faces.disposition = Disposition(0), Disposition.default
        faces.metadata["LOWBEAM_SCALE"] = str(header.scale)
        faces.metadata["LOWBEAM_PADDING"] = str(header.padding)
        faces.metadata["LOWBEAM_POINT"] = str(point)
        if gathered_s:
            faces.metadata["LOWBEAM_GATHERED"] = f"{gathered_s:.3f}"
        if layer:
            faces.metadata["LOWBEAM_LAYER"] = str(layer)
        # FFmpeg holds the packets of a text track back until each track has one: to a pipe, a cue goes before each.
        is_held = header.template is None and self._is_prompt
        before = ScaleCue(header.scale, header.padding) if is_held else None
        track = TrackWriter(self._container, faces, cues, before)
        self.tracks.append(track)
        return track

    def _add_packets(self, header: TrackHeader) -> Stream:
        """Add a track for the packets of a compact codec."""
        self._container.metadata["LOWBEAM"] = str(PACKETS_VERSION)
        packets: Stream = self._container.add_mux_stream(PACKETS_FORMAT)
        packets.metadata["LOWBEAM_CODEC"] = f"{header.codec} {header.config.hex()}"
        return packets

    def close(self) -> None:
        """Mark the end of each track and finish the file."""
        end_ms = max((track.last_ms for track in self.tracks), default=0)
        try:
            for track in self.tracks:
                track.end(end_ms)
        finally:
            with _writing():
                self._container.close()


class TrackWriter:
    """The track of one face: cues, and coded faces or packets, in order of time."""

    def __init__(self, container: OutputContainer, faces: Stream, cues: Stream, before: Cue | None = None) -> None:
        self._container, self._faces, self._cues, self._before = container, faces, cues, before
        self._count = 0
        self.last_ms = -1

    def write(self, face: PlacedFace) -> None:
        """Write a coded face after its cues."""
        coded = face.coded
        for cue in (*face.cues, self._before) if self._before else face.cues:
            self._write_cue(coded.time_ms, cue)
        packet = av.Packet(coded.data)
        packet.is_keyframe = coded.is_key
        self._mux(packet, self._faces, coded.time_ms)
        self._count += 1
        self.last_ms = coded.time_ms

    def end(self, time_ms: int) -> None:
        """Mark the track as complete. `time_ms` is the end of the file, since times in a container must not
        decrease."""
        self._write_cue(max(time_ms, 0), EndCue(self._count))

    def _write_cue(self, time_ms: int, cue: Cue) -> None:
        packet = av.Packet(str(cue).encode())
        packet.duration = 1
        self._mux(packet, self._cues, time_ms)

    def _mux(self, packet: "av.Packet[Stream]", stream: Stream, time_ms: int) -> None:
        packet.pts = packet.dts = time_ms
        packet.time_base, packet.stream = TIME_BASE, stream
        with _writing():
            self._container.mux(packet)


@contextmanager
def _writing() -> Iterator[None]:
    """Raise `OutputError` if the block cannot write; a closed pipe raises `BrokenPipeError`."""
    try:
        yield
    except BrokenPipeError:
        raise
    except (av.FFmpegError, OSError) as error:
        raise OutputError(f"the face stream cannot be written: {reason(error)}") from error
