"""The face stream: Matroska with one video track a face, each with a small text track that says where the face was.

Any player opens it. What the far side needs stands in tags:

- of the file: ``LOWBEAM`` (format version: 1, or 2 where a track may change its form), ``LOWBEAM_FRAMING`` (framing
  version), ``LOWBEAM_SOURCE`` (``WIDTHxHEIGHT`` of the source, pixels);
- of each video track: ``LOWBEAM_SCALE``, ``LOWBEAM_PADDING`` (pixels added right and below), ``LOWBEAM_POINT`` (for
  people: codec, scale, QP, fps).

Tracks are in the order of presence (area summed over time), the primary first. The n-th text track belongs to the
n-th video track. A cue ``FACE X Y SIDE`` holds from its time on: id and box in
source pixels. It is sent when the box has moved by more than `BOX_TOLERANCE`, not with every frame: boxes would
cost more than the faces. In version 2 a cue ``at SCALE PADDING`` says that from its time on, which is a key face's, the
track goes on at another scale. The last cue is ``end COUNT``; a stream without it was cut.
"""

import math
import os
from collections import deque
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import av
import numpy as np
from av.container import InputContainer, OutputContainer
from av.stream import Disposition, Stream
from av.video.stream import VideoStream
from numpy.typing import NDArray

from lowbeam.codec.operating_point import MAX_FPS, OperatingPoint
from lowbeam.codec.standard import DECODERS, MAX_CODED_SIDE, TIME_BASE, CodedFace, StandardDecoder, StandardEncoder
from lowbeam.errors import OutputError, StreamError, reason
from lowbeam.face import FRAMING_VERSION, Box, Face
from lowbeam.files import Pipe
from lowbeam.media import MAX_SIDE, MAX_TIME_S, PipeInput, Source, name_of
from lowbeam.media.inputs import HEAD_BYTES
from lowbeam.scale import SCALES, side_of

STREAM_VERSION, CHANGING_VERSION = 1, 2
Target = str | os.PathLike | BinaryIO | Pipe  # what a face stream is written to
BOX_TOLERANCE = 0.04  # of the box's side: on a moving head half the cues that 0.02 costs
FINE_BELOW = 50  # pixels: boxes with a smaller side are sent to a tenth of a pixel
MAX_TRACKS = 60  # faces; FFmpeg's Matroska writer holds 127 tracks, and a face takes two
MAX_CUE_BYTES = 64
MAX_FACE_ID = 2**31
MAX_CUES_AHEAD = 1000  # cues that may wait for their frame
CLUSTER_MS = 2000  # Matroska writes a cluster at a time: what a crash loses, and the delay of a pipe
IO_BUFFER = 4096  # bytes
EBML_MAGIC = b"\x1a\x45\xdf\xa3"
TITLE = "lowbeam face stream"  # stands early in the file, so that a pipe's kind is soon told


class FaceStreamWriter:
    """Writes a face stream to a path or a binary file, which need not be seekable. Tracks are added first; with
    `may_change` they may go on at another scale."""

    def __init__(self, out: Target, source_size: tuple[int, int], may_change: bool = False) -> None:
        options = {"max_interleave_delta": "1", "cluster_time_limit": str(CLUSTER_MS)}
        self._container: OutputContainer = av.open(
            out, "w", format="matroska", container_options=options, buffer_size=IO_BUFFER
        )
        self._container.metadata["title"] = TITLE
        self._container.metadata["LOWBEAM"] = str(CHANGING_VERSION if may_change else STREAM_VERSION)
        self._container.metadata["LOWBEAM_FRAMING"] = str(FRAMING_VERSION)
        self._container.metadata["LOWBEAM_SOURCE"] = f"{source_size[0]}x{source_size[1]}"
        self.tracks: list[TrackWriter] = []

    def add_track(self, encoder: StandardEncoder, point: OperatingPoint) -> "TrackWriter":
        """A new track for the faces that `encoder` codes at `point`; all are added before the first write."""
        # The text track comes first, so that at equal times its cue does too.
        cues = self._container.add_mux_stream("subrip")
        video = self._container.add_stream_from_template(encoder.template)
        cues.time_base = video.time_base = TIME_BASE
        cues.disposition, video.disposition = Disposition(0), Disposition.default
        video.metadata["LOWBEAM_SCALE"] = str(point.scale)
        video.metadata["LOWBEAM_PADDING"] = str(encoder.padding)
        video.metadata["LOWBEAM_POINT"] = str(point)
        track = TrackWriter(self._container, video, cues, (point.scale, encoder.padding))
        self.tracks.append(track)
        return track

    def close(self) -> None:
        """Mark the end of each track and finish the file."""
        end_ms = max((track.last_ms for track in self.tracks), default=0)
        for track in self.tracks:
            track.end(end_ms)
        self._container.close()

    def abandon(self) -> None:
        """Let go of the file without finishing it, after an error."""
        with suppress(av.FFmpegError, OSError, ValueError):
            self._container.close()


Form = tuple[int, int]  # scale and padding


@dataclass(frozen=True)
class Cues:
    """What is to be said before a face: `texts`, and what they say."""

    texts: tuple[str, ...]
    face: int
    box: Box
    form: Form


class TrackWriter:
    """One face's track: boxes and coded faces, each in order of time."""

    def __init__(self, container: OutputContainer, video: VideoStream, cues: Stream, form: Form) -> None:
        self._container, self._video, self._cues = container, video, cues
        self._sent: tuple[int, Box] | None = None
        self._form = form
        self._count = 0
        self.last_ms = 0

    def write_box(self, time_ms: int, face: int, box: Box) -> None:
        """Say where the face is from `time_ms` on, if it has moved."""
        self.write_cues(time_ms, self.cues_before(face, box))

    def cues_before(self, face: int, box: Box, form: Form | None = None) -> Cues:
        """What is to be said before the next face, which may be of another `form`."""
        form, texts = form or self._form, []
        if form != self._form:
            texts.append(f"at {form[0]} {form[1]}")
        if self._sent is None or self._sent[0] != face or has_moved(self._sent[1], box):
            texts.append(cue_text(face, box))
        return Cues(tuple(texts), face, box, form)

    def write_cues(self, time_ms: int, cues: Cues) -> None:
        """Say what is to be said, from `time_ms` on."""
        for text in cues.texts:
            self._cue(time_ms, text)
        self._form = cues.form
        if cues.texts and not cues.texts[-1].startswith("at "):
            self._sent = (cues.face, cues.box)

    def write_face(self, coded: CodedFace) -> None:
        """Send a coded face."""
        packet = av.Packet(coded.data)
        packet.is_keyframe = coded.is_key
        self._count += 1
        self.last_ms = coded.time_ms
        self._mux(packet, self._video, coded.time_ms)

    def end(self, time_ms: int) -> None:
        """Say that the track is whole, at the end of the whole file: a container's times must not run backwards."""
        self._cue(time_ms, f"end {self._count}")

    def _cue(self, time_ms: int, text: str) -> None:
        packet = av.Packet(text.encode())
        packet.duration = 1
        self._mux(packet, self._cues, time_ms)

    def _mux(self, packet: av.Packet, stream: Stream, time_ms: int) -> None:
        packet.pts = packet.dts = time_ms
        packet.time_base, packet.stream = TIME_BASE, stream
        try:
            self._container.mux(packet)
        except (av.FFmpegError, OSError) as error:
            raise OutputError(f"the face stream cannot be written: {reason(error)}") from error


def cue_text(face: int, box: Box) -> str:
    """How a face's id and box are written."""
    digits = 0 if box.side >= FINE_BELOW else 1
    return f"{face} {box.x:.{digits}f} {box.y:.{digits}f} {box.side:.{digits}f}"


def has_moved(sent: Box, now: Box) -> bool:
    """Whether a box is to be sent anew."""
    shift = max(abs(a - b) for a, b in zip(sent.centre, now.centre, strict=True))
    return max(shift, abs(sent.side - now.side)) > BOX_TOLERANCE * sent.side


class FaceStreamReader:
    """Reads a face stream once, from its start, without seeking: a context manager, and an iterator of `Face`.

    `size` is the source's (width, height) in pixels. With `primary_only` the first track alone is read: tracks are in
    the order of presence. After the last face, `cut_at_s` is None where the stream was whole, and else the time at
    which it breaks off. Raises `StreamError` where the header is damaged, hostile, or of a version that this lowbeam
    does not know.
    """

    def __init__(self, source: Source, primary_only: bool = False) -> None:
        self.name = name_of(source)
        self.cut_at_s: float | None = None
        self._container = _open(source)
        try:
            self.size = self._read_header()
            self._tracks = self._read_tracks(1 if primary_only else MAX_TRACKS)
        except BaseException:
            self._container.close()
            raise

    def __enter__(self) -> "FaceStreamReader":
        return self

    def __exit__(self, *_: object) -> None:
        self._container.close()

    @property
    def fps(self) -> float:
        """Frames a second, about: 25 where the container does not say."""
        rate = self._container.streams.video[0].average_rate
        return min(max(float(rate or 25), 1.0), MAX_FPS)

    def _read_header(self) -> tuple[int, int]:
        tags = self._container.metadata
        if "LOWBEAM" not in tags:
            raise StreamError(f"{self.name} is not a face stream")
        versions = {"LOWBEAM": (STREAM_VERSION, CHANGING_VERSION), "LOWBEAM_FRAMING": (FRAMING_VERSION,)}
        for tag, known in versions.items():
            if tags.get(tag) not in [str(version) for version in known]:
                reads = " and ".join(map(str, known))
                raise StreamError(f"{self.name} has {tag}={tags.get(tag)}; this lowbeam reads {reads}")
        self._may_change = tags["LOWBEAM"] == str(CHANGING_VERSION)
        width, x, height = tags.get("LOWBEAM_SOURCE", "").partition("x")
        size = (_whole(width, 1, MAX_SIDE), _whole(height, 1, MAX_SIDE))
        if not x or None in size:
            raise StreamError(f"{self.name} states a source size that cannot be")
        return size  # type: ignore[return-value]

    def _read_tracks(self, count: int) -> dict[int, "_TrackReader"]:
        videos, texts = self._container.streams.video, self._container.streams.subtitles
        if not videos or len(videos) != len(texts) or len(videos) > MAX_TRACKS:
            raise StreamError(f"{self.name} has {len(videos)} face tracks and {len(texts)} tracks of boxes")
        tracks: dict[int, _TrackReader] = {}
        for video, text in zip(videos[:count], texts[:count], strict=True):
            form = _form(video.metadata.get("LOWBEAM_SCALE", ""), video.metadata.get("LOWBEAM_PADDING", ""))
            if form is None:
                raise StreamError(f"{self.name} states a scale or padding that cannot be")
            if {video.width, video.height} != {side_of(form[0]) + form[1]}:
                raise StreamError(f"{self.name} holds frames of {video.width}×{video.height} at scale {form[0]}")
            track = _TrackReader(video, side_of(form[0]), self._may_change)
            tracks[video.index] = tracks[text.index] = track
        return tracks

    def __iter__(self) -> Iterator[Face]:
        last_s = 0.0
        whole = False
        try:
            for packet in self._container.demux():
                track = self._tracks.get(packet.stream_index)
                if track is None:
                    continue
                for received in track.take(packet):
                    last_s = max(last_s, received.time_s)
                    yield received
            whole = all(track.is_whole for track in self._tracks.values())
        except (av.FFmpegError, OSError, StreamError):
            pass  # damage in the midst of the stream: what came before it stands
        self.cut_at_s = None if whole else last_s


class _TrackReader:
    """Brings a track's faces and cues together."""

    def __init__(self, video: VideoStream, side: int, may_change: bool) -> None:
        self._decoder = StandardDecoder(video.codec_context, side)
        self._may_change = may_change
        self._cues: deque[tuple[float, int, Box]] = deque()
        self._place: tuple[int, Box] | None = None
        self._last_s = -math.inf
        self._count = 0
        self._stated_count: int | None = None

    @property
    def is_whole(self) -> bool:
        """Whether the end was reached, and every face before it came."""
        return self._count == self._stated_count

    def take(self, packet: av.Packet) -> Iterator[Face]:
        if packet.stream.type == "subtitle":
            self._take_cue(packet)
            return
        for time_s, pixels in self._decoder.decode(packet):
            while self._cues and self._cues[0][0] <= time_s:
                self._place = self._cues.popleft()[1:]
            if self._place is None or not self._last_s < time_s < MAX_TIME_S:
                raise StreamError("a face comes without its place, or before the one that it follows")
            self._last_s = time_s
            self._count += 1
            yield Face(time_s, *self._place, pixels)

    def _take_cue(self, packet: av.Packet) -> None:
        if packet.size == 0:  # FFmpeg's mark of the end of the file
            return
        if packet.pts is None or packet.size > MAX_CUE_BYTES or len(self._cues) >= MAX_CUES_AHEAD:
            raise StreamError("a cue is damaged")
        words, time_s = bytes(packet).decode("ascii", "replace").split(), float(packet.pts * packet.time_base)
        try:
            if words[0] == "at":
                self._take_form(time_s, words[1:])
                return
            if words[0] == "end":
                self._stated_count = int(words[1])
                return
            face, (x, y, side) = int(words[0]), map(float, words[1:])
        except (ValueError, IndexError) as error:
            raise StreamError("a cue is damaged") from error
        if not 0 <= face < MAX_FACE_ID or not (math.hypot(x, y) < 4 * MAX_SIDE and 0 < side < 4 * MAX_SIDE):
            raise StreamError("a cue states a box that cannot be")
        self._cues.append((time_s, face, Box(x, y, side)))

    def _take_form(self, time_s: float, words: list[str]) -> None:
        form = _form(*words) if len(words) == 2 and self._may_change else None
        if form is None or self._decoder.changes_ahead >= MAX_CUES_AHEAD:
            raise StreamError("a cue states a form that cannot be")
        self._decoder.change_side(time_s, side_of(form[0]))


def _form(scale: str, padding: str) -> Form | None:
    """Scale and padding as they are written; None where they cannot be."""
    found = (_whole(scale, 1, max(SCALES)), _whole(padding, 0, MAX_CODED_SIDE))
    return found if found[0] in SCALES and found[1] is not None else None  # type: ignore[return-value]


def _whole(text: str, low: int, high: int) -> int | None:
    """`text` as a whole number in low..high, else None."""
    value = int(text) if text.isascii() and text.isdigit() and len(text) < 10 else low - 1
    return value if low <= value <= high else None


def _open(source: Source) -> InputContainer:
    # FFmpeg decodes a first frame to learn its format: the limits hold for that too, and a pipe need not fill up.
    options = {"max_pixels": str(MAX_CODED_SIDE**2), "probesize": "8192", "analyzeduration": "0"}
    try:
        opened = source if isinstance(source, PipeInput) else f"file:{os.fspath(source)}"
        container: InputContainer = av.open(opened, "r", format="matroska", options=options, buffer_size=IO_BUFFER)
    except (av.FFmpegError, OSError, ValueError) as error:
        raise StreamError(f"{name_of(source)} cannot be opened as a face stream: {reason(error)}") from error
    for video in container.streams.video:
        if video.codec_context is None or video.codec_context.name not in DECODERS:
            container.close()
            raise StreamError(f"{name_of(source)} is coded in a way that face streams are not")
        video.codec_context.options = {"max_pixels": str(MAX_CODED_SIDE**2)}
    return container


def packet_sizes(path: str | os.PathLike) -> NDArray[np.int64]:
    """Bytes of each face of a face stream with the cues before it, as packets would carry them: (n,). Raises
    `StreamError`."""
    sizes, cues = [], 0
    with _open(path) as container:
        for packet in container.demux():
            if packet.stream.type == "subtitle":
                cues += packet.size
            elif packet.size:
                sizes.append(packet.size + cues)
                cues = 0
    return np.array(sizes, np.int64)


def is_face_stream(source: Source) -> bool:
    """Whether a file or pipe begins as a face stream does."""
    if isinstance(source, PipeInput):
        head = source.head
    else:
        try:
            with Path(source).open("rb") as file:
                head = file.read(HEAD_BYTES)
        except (OSError, ValueError):
            return False
    return head.startswith(EBML_MAGIC) and TITLE.encode() in head
