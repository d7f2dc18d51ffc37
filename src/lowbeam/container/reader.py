"""Reads a face stream."""

import os
from collections import deque
from collections.abc import Iterator
from types import TracebackType

import av
from av.container import InputContainer
from av.packet import Packet
from av.stream import Stream
from av.video.stream import VideoStream

from lowbeam.codec import CodedFace, TrackHeader, open_decoder
from lowbeam.codec.cues import BoxCue, EndCue, ScaleCue, parse_cue, parse_form, whole_number
from lowbeam.codec.operating_point import MAX_FPS
from lowbeam.codec.standard import CODEC_OF_DECODER, MAX_CODED_SIDE
from lowbeam.codec.wire import ByteCounter
from lowbeam.container.layout import CHANGING_VERSION, IO_BUFFER, MAX_TRACKS, STREAM_VERSION
from lowbeam.errors import StreamError, reason, shown
from lowbeam.face import FRAMING_VERSION, Face, Grey
from lowbeam.media import MAX_SIDE, MAX_TIME_S, Source, is_url, name_of
from lowbeam.media.inputs import PipeInput
from lowbeam.media.open import NETWORK_PROTOCOLS, OPEN_TIMEOUT_S
from lowbeam.media.stoppable import StoppableSource
from lowbeam.media.stopping import StopOnSignal
from lowbeam.scale import side_of

MAX_CUES_AHEAD = 1000  # pending cues
PROBE_BYTES = 32  # FFmpeg's minimum: the header describes the tracks, so probing would only add delay


class FaceStreamReader(StoppableSource):
    """Reads a face stream once from its start, without seeking: a context manager and an iterable of `Face`.

    `size` is the source's (width, height) in pixels; `may_change` tells whether scale and frame rate can change. With
    `primary_only` only the first track, that of the primary face, is read. `is_live` is true for pipes and URLs:
    SIGINT, SIGTERM and SIGHUP end them, by means of `stop` if it is given. After the last face, `cut_at_s` is the time
    in seconds at which the stream was cut, None if it is complete or was ended by a signal. Raises `StreamError` if the
    header is damaged, malformed, or of an unknown version.
    """

    def __init__(self, source: Source, primary_only: bool = False, stop: StopOnSignal | None = None) -> None:
        super().__init__(source, isinstance(source, PipeInput) or is_url(source), stop)
        with self._stop_closed_on_error():
            self._begin(source, MAX_TRACKS if not primary_only else 1)

    def _begin(self, source: Source, count: int) -> None:
        self._container = _open(source)
        try:
            self.size = self._read_header()
            self._tracks = self._read_tracks(count)
        except BaseException:
            self._container.close()
            raise

    def __enter__(self) -> "FaceStreamReader":
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._container.close()
        self._close_stop()

    @property
    def fps(self) -> float:
        """Approximate frame rate in frames per second; 25 if the container does not state one."""
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
                raise StreamError(f"{self.name} has {tag}={shown(tags.get(tag, ''))}; this version reads {reads}")
        self.may_change = tags["LOWBEAM"] == str(CHANGING_VERSION)
        width, x, height = tags.get("LOWBEAM_SOURCE", "").partition("x")
        size = whole_number(width, 1, MAX_SIDE), whole_number(height, 1, MAX_SIDE)
        if not x or size[0] is None or size[1] is None:
            raise StreamError(f"{self.name} is damaged: it states an invalid source size")
        return size[0], size[1]

    def _read_tracks(self, count: int) -> dict[int, "_TrackReader"]:
        videos, texts = self._container.streams.video, self._container.streams.subtitles
        if not videos or len(videos) != len(texts) or len(videos) > MAX_TRACKS:
            raise StreamError(f"{self.name} is damaged: it has {len(videos)} face tracks and {len(texts)} cue tracks")
        tracks: dict[int, _TrackReader] = {}
        for video, text in zip(videos[:count], texts[:count], strict=True):
            track = _TrackReader(self._track_header(video), self.may_change)
            tracks[video.index] = tracks[text.index] = track
        return tracks

    def _track_header(self, video: VideoStream) -> TrackHeader:
        form = parse_form(video.metadata.get("LOWBEAM_SCALE", ""), video.metadata.get("LOWBEAM_PADDING", ""))
        if form is None:
            raise StreamError(f"{self.name} is damaged: it states an invalid scale or padding")
        if {video.width, video.height} != {side_of(form[0]) + form[1]}:
            raise StreamError(f"{self.name} has frames of {video.width}×{video.height} at scale {form[0]}")
        context = video.codec_context
        return TrackHeader(CODEC_OF_DECODER[context.name], *form, context.extradata or b"")

    def __iter__(self) -> Iterator[Face]:
        last_s = 0.0
        whole = False
        try:
            for packet in self._container.demux():
                if self.is_stopped:
                    break
                track = self._tracks.get(packet.stream.index)
                if track is None:
                    continue
                for received in track.take(packet):
                    last_s = max(last_s, received.time_s)
                    yield received
            whole = all(track.is_whole for track in self._tracks.values())
        except (av.FFmpegError, OSError, IndexError, StreamError):
            pass  # the stream is damaged here; the faces before are valid
        self.cut_at_s = None if whole or self.is_stopped else last_s


class _TrackReader:
    """Combines the faces and cues of a track."""

    def __init__(self, header: TrackHeader, may_change: bool) -> None:
        self._decoder = open_decoder(header)
        self._may_change = may_change
        self._cues: deque[tuple[int, BoxCue]] = deque()
        self._place: BoxCue | None = None
        self._last_ms = -1
        self._count = 0
        self._stated_count: int | None = None

    @property
    def is_whole(self) -> bool:
        """Whether the end was reached and every face before it was received."""
        return self._count == self._stated_count

    def take(self, packet: "Packet[Stream]") -> Iterator[Face]:
        """The faces that `packet`, a face or a cue, completes. FFmpeg marks the end with an empty packet."""
        is_cue = packet.stream.type == "subtitle"
        if packet.size == 0:
            if not is_cue:
                yield from map(self._placed, self._decoder.flush())
            return
        if packet.pts is None:
            raise StreamError("a face or cue has no timestamp")
        time_ms = round(1000 * packet.pts * packet.time_base)
        if is_cue:
            self._take_cue(time_ms, bytes(packet))
        else:
            yield from map(self._placed, self._decoder.decode(CodedFace(bytes(packet), time_ms, packet.is_keyframe)))

    def _placed(self, decoded: tuple[int, Grey]) -> Face:
        time_ms, pixels = decoded
        while self._cues and self._cues[0][0] <= time_ms:
            self._place = self._cues.popleft()[1]
        if self._place is None or not self._last_ms < time_ms < 1000 * MAX_TIME_S:
            raise StreamError("a face has no box, or its time does not increase")
        self._last_ms = time_ms
        self._count += 1
        return Face(time_ms / 1000, self._place.face, self._place.box, pixels)

    def _take_cue(self, time_ms: int, data: bytes) -> None:
        match parse_cue(data):
            case BoxCue() as cue:
                if len(self._cues) >= MAX_CUES_AHEAD:
                    raise StreamError("the stream has too many cues without a face")
                self._cues.append((time_ms, cue))
            case EndCue(count):
                self._stated_count = count
            case ScaleCue(scale):
                if not self._may_change:
                    raise StreamError("the track changes its scale, which this stream does not allow")
                self._decoder.change_scale(time_ms, scale)


def _open(source: Source) -> InputContainer:
    # FFmpeg decodes a first frame to detect its format; the limits apply to that too.
    options = {"max_pixels": str(MAX_CODED_SIDE**2), "probesize": str(PROBE_BYTES), "analyzeduration": "0"}
    try:
        if isinstance(source, PipeInput):
            container = av.open(source, "r", format="matroska", options=options, buffer_size=IO_BUFFER)
        elif is_url(source):
            options["protocol_whitelist"] = NETWORK_PROTOCOLS
            container = av.open(os.fspath(source), "r", format="matroska", options=options, timeout=OPEN_TIMEOUT_S)
        else:
            container = av.open(f"file:{os.fspath(source)}", "r", format="matroska", options=options)
    except (av.FFmpegError, OSError, ValueError) as error:
        raise StreamError(f"{name_of(source)} cannot be opened as a face stream: {reason(error)}") from error
    for video in container.streams.video:
        if video.codec_context is None or video.codec_context.name not in CODEC_OF_DECODER:
            container.close()
            raise StreamError(f"{name_of(source)} has a codec that face streams do not use")
    return container


def count_bytes(path: str | os.PathLike[str]) -> ByteCounter:
    """Count the bytes on the wire of a face stream with one track: its faces, each with the cues before it. Raises
    `StreamError`."""
    counter, cues = ByteCounter(), 0
    with _open(path) as container:
        for packet in container.demux():
            if packet.stream.type == "subtitle":
                cues += packet.size
            elif packet.size:
                counter.add(float((packet.pts or 0) * packet.time_base), packet.size, cues)
                cues = 0
    return counter
