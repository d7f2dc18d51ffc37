"""Reads a face stream."""

import heapq
import math
import os
from collections import deque
from collections.abc import Iterable, Iterator
from types import TracebackType
from typing import cast

import av
from av.container import InputContainer
from av.packet import Packet
from av.stream import Stream
from av.video.codeccontext import VideoCodecContext

from lowbeam.codec import CODECS, CodedFace, Sample, TrackHeader, face_of, open_decoder
from lowbeam.codec.budget import WINDOW_S
from lowbeam.codec.cues import BoxCue, EndCue, ScaleCue, parse_cue, parse_form, whole_number
from lowbeam.codec.operating_point import MAX_FPS
from lowbeam.codec.standard import CODEC_OF_DECODER, MAX_CODED_SIDE
from lowbeam.codec.wire import ByteCounter
from lowbeam.container.layout import (
    CHANGING_VERSION,
    IO_BUFFER,
    MAX_TRACKS,
    PACKETS_VERSION,
    STREAM_VERSION,
    is_packet_track,
)  # fmt: skip
from lowbeam.errors import StreamError, reason, shown
from lowbeam.face import FRAMING_VERSION, NO_BOX, Face
from lowbeam.media import MAX_SIDE, MAX_TIME_S, Source, is_url, name_of
from lowbeam.media.inputs import PipeInput
from lowbeam.media.open import NETWORK_PROTOCOLS, OPEN_TIMEOUT_S
from lowbeam.media.stoppable import StoppableSource
from lowbeam.media.stopping import StopOnSignal
from lowbeam.scale import side_of

MAX_CUES_AHEAD = 1000  # pending cues
MAX_GATHERED_S, GATHERED_MARGIN_S = 60.0, 0.2  # seconds in a packet, and beyond that until it is written
PACKETS_FPS = 10  # of packets, nominally
MAX_CONFIG = 256  # bytes of a compact codec's configuration
PROBE_BYTES = 32  # FFmpeg's minimum: the header describes the tracks, so probing would only add delay


class FaceStreamReader(StoppableSource):
    """Reads a face stream once from its start, without seeking: a context manager and an iterable of `Face`.

    `size` is the source's (width, height) in pixels; `may_change` tells whether scale and frame rate can change,
    `has_layers` whether a face can come in several layers. With
    `primary_only` only the primary face is read, in all its layers. `is_live` is true for pipes and URLs:
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
            self._has_packets = any(is_packet_track(stream) for stream in self._container.streams)
            self.has_layers = any("LOWBEAM_LAYER" in stream.metadata for stream in self._container.streams)
            self._gathered_s = self._read_gathered_s()
            self._ahead: list[tuple[float, int, Face]] = []  # faces that wait for earlier ones, by time
            self._count, self._newest_s = 0, 0.0
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
        videos = self._container.streams.video
        rate = videos[0].average_rate if videos else PACKETS_FPS
        return min(max(float(rate or 25), 1.0), MAX_FPS)

    @property
    def point(self) -> str:
        """The operating point at which the primary face was coded at first, as the stream states it; may be empty."""
        found = (stream.metadata["LOWBEAM_POINT"] for stream in self._container.streams
                 if "LOWBEAM_POINT" in stream.metadata)  # fmt: skip
        return shown(next(found, ""))

    def _read_header(self) -> tuple[int, int]:
        tags = self._container.metadata
        if "LOWBEAM" not in tags:
            raise StreamError(f"{self.name} is not a face stream")
        versions = {
            "LOWBEAM": (STREAM_VERSION, CHANGING_VERSION, PACKETS_VERSION), "LOWBEAM_FRAMING": (FRAMING_VERSION,),
        }  # fmt: skip
        for tag, known in versions.items():
            if tags.get(tag) not in [str(version) for version in known]:
                reads = ", ".join(map(str, known))
                raise StreamError(f"{self.name} has {tag}={shown(tags.get(tag, ''))}; this version reads {reads}")
        self.may_change = tags["LOWBEAM"] != str(STREAM_VERSION)
        width, x, height = tags.get("LOWBEAM_SOURCE", "").partition("x")
        size = whole_number(width, 1, MAX_SIDE), whole_number(height, 1, MAX_SIDE)
        if not x or size[0] is None or size[1] is None:
            raise StreamError(f"{self.name} is damaged: it states an invalid source size")
        return size[0], size[1]

    def _read_tracks(self, count: int) -> dict[int, "_TrackReader"]:
        streams = self._container.streams
        faces = [stream for stream in streams if stream.type == "video" or is_packet_track(stream)]
        texts = [stream for stream in streams.subtitles if not is_packet_track(stream)]
        if not faces or len(faces) != len(texts) or len(faces) > MAX_TRACKS:
            raise StreamError(f"{self.name} is damaged: it has {len(faces)} face tracks and {len(texts)} cue tracks")
        tracks: dict[int, _TrackReader] = {}
        people = 0
        for stream, text in zip(faces, texts, strict=True):
            people += "LOWBEAM_LAYER" not in stream.metadata
            if people > count:
                break
            header = self._packets_header(stream) if is_packet_track(stream) else self._track_header(stream)
            track = _TrackReader(header, self.may_change)
            tracks[stream.index] = tracks[text.index] = track
        return tracks

    def _form(self, stream: Stream) -> tuple[int, int]:
        """Scale and padding of a track."""
        form = parse_form(stream.metadata.get("LOWBEAM_SCALE", ""), stream.metadata.get("LOWBEAM_PADDING", ""))
        if form is None:
            raise StreamError(f"{self.name} is damaged: it states an invalid scale or padding")
        return form

    def _track_header(self, video: Stream) -> TrackHeader:
        form = self._form(video)
        context = cast(VideoCodecContext, video.codec_context)
        if {context.width, context.height} != {side_of(form[0]) + form[1]}:
            raise StreamError(f"{self.name} has frames of {context.width}×{context.height} at scale {form[0]}")
        return TrackHeader(CODEC_OF_DECODER[context.name], *form, context.extradata or b"")

    def _packets_header(self, packets: Stream) -> TrackHeader:
        codec, _, config = packets.metadata.get("LOWBEAM_CODEC", "").partition(" ")
        if codec not in CODECS or CODECS[codec].kind == "pixels":
            raise StreamError(f"{self.name} has packets of codec {shown(codec)}, which this version does not know")
        try:
            found = bytes.fromhex(config[: 2 * MAX_CONFIG])
        except ValueError as error:
            raise StreamError(f"{self.name} is damaged: it states an invalid configuration of {codec}") from error
        return TrackHeader(codec, *self._form(packets), found)

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
                for received in self._in_order(track.take(packet), packet):
                    last_s = max(last_s, received.time_s)
                    yield received
            whole = all(track.is_whole for track in self._tracks.values())
        except (av.FFmpegError, OSError, IndexError, StreamError):
            pass  # the stream is damaged here; the faces before are valid
        for _, _, received in sorted(self._ahead):
            last_s = max(last_s, received.time_s)
            yield received
        self.cut_at_s = None if whole or self.is_stopped else last_s

    def _in_order(self, faces: Iterable[Face], packet: "Packet[Stream]") -> Iterator[Face]:
        """Faces in order of time. A packet of a compact codec comes when its samples were gathered, after the faces of
        other tracks that were sent meanwhile."""
        if len({*self._tracks.values()}) == 1 or not self._has_packets:
            yield from faces
            return
        for face in faces:
            self._count += 1
            heapq.heappush(self._ahead, (face.time_s, self._count, face))
        if packet.pts is not None:
            self._newest_s = max(self._newest_s, float(packet.pts * packet.time_base))
        while self._ahead and self._ahead[0][0] < self._newest_s - self._gathered_s:
            yield heapq.heappop(self._ahead)[2]

    def _read_gathered_s(self) -> float:
        """The most seconds for which samples may be gathered: what the tracks say. In a file, a budget may have made
        packets longer when others came, and to wait costs nothing."""
        texts = [stream.metadata.get("LOWBEAM_GATHERED", "0") for stream in self._container.streams]
        try:
            found = [*map(float, texts)]
        except ValueError:
            found = [math.nan]
        if not all(0 <= one <= MAX_GATHERED_S for one in found):
            raise StreamError(f"{self.name} is damaged: it states an invalid time for which samples are gathered")
        return max(found if self.is_live else [*found, WINDOW_S]) + GATHERED_MARGIN_S


class _TrackReader:
    """Combines the faces and cues of a track."""

    def __init__(self, header: TrackHeader, may_change: bool) -> None:
        self._decoder = open_decoder(header)
        self._may_change, self._has_packets = may_change, CODECS[header.codec].kind != "pixels"
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
        is_cue = packet.stream.type == "subtitle" and not is_packet_track(packet.stream)
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
            self._count += self._has_packets
            yield from map(self._placed, self._decoder.decode(CodedFace(bytes(packet), time_ms, packet.is_keyframe)))

    def _placed(self, sample: Sample) -> Face:
        while self._cues and self._cues[0][0] <= sample.time_ms:
            self._place = self._cues.popleft()[1]
        if sample.face is not None:
            self._place = BoxCue(sample.face, sample.box or (NO_BOX if self._place is None else self._place.box))
        if self._place is None or not self._last_ms < sample.time_ms < 1000 * MAX_TIME_S:
            raise StreamError("a face has no box, or its time does not increase")
        self._last_ms = sample.time_ms
        self._count += not self._has_packets
        return face_of(sample, self._place.face, self._place.box)

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
            if packet.stream.type == "subtitle" and not is_packet_track(packet.stream):
                cues += packet.size
            elif packet.size:
                counter.add(float((packet.pts or 0) * packet.time_base), packet.size, cues)
                cues = 0
    return counter
