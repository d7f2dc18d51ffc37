"""HEVC, AVC, AV1 and VP9 through FFmpeg's libraries, tuned for faces of a few pixels.

Encoders run at constant QP without B-frames and lookahead: each frame is output at once, at the cost of a few bits.
"""

import os
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from typing import cast

import av
import numpy as np
from av.bitstream import BitStreamFilterContext
from av.codec.context import Flags
from av.stream import Stream
from av.video.codeccontext import VideoCodecContext
from av.video.frame import PictureType, VideoFrame
from av.video.reformatter import ColorRange
from av.video.stream import VideoStream

from lowbeam.codec.interface import CodedFace, Sample, TrackHeader
from lowbeam.errors import CodecError, StreamError, reason
from lowbeam.face import Grey
from lowbeam.scale import side_of

TIME_BASE = Fraction(1, 1000)  # seconds: Matroska's clock
KEY_EVERY_S = 30.0  # a key face costs as much as three or four others
KEY_EVERY_FRAMES = 100_000  # encoders count frames; the face that is due is marked instead
MAX_CODED_SIDE = 128  # pixels: an HR face with padding; larger frames are refused before memory is allocated
MAX_CHANGES_AHEAD = 1000  # pending changes of scale
DECODED_FORMATS = ("gray", "yuv420p", "yuvj420p")  # their first plane is 8-bit luma

os.environ.setdefault("SVT_LOG", "-1")  # SVT-AV1 logs to standard error unless this is set


@dataclass(frozen=True)
class _Backend:
    encoder: str  # FFmpeg's name
    decoder: str
    pixel_format: str
    min_side: int  # pixels: smaller faces are padded to this side
    options: Callable[[int], dict[str, str]]  # of QP


def _x265(qp: int) -> dict[str, str]:
    params = f"qp={qp}:keyint={KEY_EVERY_FRAMES}:bframes=0:rc-lookahead=0:weightp=0:ctu=16:ipratio=1"
    return {
        "preset": "slow",
        "forced-idr": "1",
        "x265-params": f"{params}:frame-threads=1:pools=none:info=0:log-level=none",
    }


def _x264(qp: int) -> dict[str, str]:
    params = "bframes=0:rc-lookahead=0:sync-lookahead=0:mbtree=0:ipratio=1:force-cfr=1"  # else it lags a face
    keys = {"g": str(KEY_EVERY_FRAMES), "forced-idr": "1"}
    return {"preset": "slow", "qp": str(qp), "x264-params": params} | keys


def _svtav1(qp: int) -> dict[str, str]:
    return {"preset": "6", "svtav1-params": f"rc=0:qp={qp}:aq-mode=0:pred-struct=1:keyint=-1:lp=1"}


def _vpx(qp: int) -> dict[str, str]:
    options = {"b": "0", "crf": qp, "qmin": qp, "qmax": qp, "g": KEY_EVERY_FRAMES, "lag-in-frames": 0, "cpu-used": 2}
    return {"deadline": "good"} | {key: str(value) for key, value in options.items()}


# libx265 rejects frames under 16 px, and if a frame is exactly one coding tree unit (16×16; 32×32 with its default
# units) its reference differs from the decoder's (seen with the picture hash SEI, x265 4.1): errors accumulate until
# the next key frame. Units are therefore 16 px and frames at least 24 px. libsvtav1 and libvpx have no 4:0:0; flat
# chroma costs them next to nothing.
_BACKENDS = {
    "hevc": _Backend("libx265", "hevc", "gray", 24, _x265),
    "avc": _Backend("libx264", "h264", "gray", 6, _x264),
    "av1": _Backend("libsvtav1", "libdav1d", "yuv420p", 6, _svtav1),
    "vp9": _Backend("libvpx-vp9", "vp9", "yuv420p", 6, _vpx),
}


# The codec of each of FFmpeg's decoders that can open a face stream.
CODEC_OF_DECODER = {"hevc": "hevc", "h264": "avc", "av1": "av1", "libdav1d": "av1", "vp9": "vp9"}


def is_available(codec: str) -> bool:
    """Whether this FFmpeg can both encode and decode `codec`."""
    return {_BACKENDS[codec].encoder, _BACKENDS[codec].decoder} <= av.codecs_available


class StandardEncoder:
    """Encodes LR faces of `scale` at a constant `qp`, with a key face every `KEY_EVERY_S`. `fps` is the most
    frames per second.

    If the codec does not support frames so small, the border pixels are repeated on the right and below. Raises
    `CodecError` if FFmpeg lacks the codec or fails.
    """

    def __init__(self, codec: str, scale: int, qp: int, fps: float) -> None:
        backend = _BACKENDS[codec]
        self._side = side_of(scale)
        self._padding = max(0, backend.min_side - self._side)
        self._key_due_ms = 0.0
        self._flat_chroma = backend.pixel_format != "gray"
        # FFmpeg's "null" format writes nothing; with it an encoder's header is known before a container is open.
        self._nowhere = av.open(os.devnull, "w", format="null")
        try:
            options = backend.options(qp)
            self._stream: VideoStream | None = cast(
                VideoStream, self._nowhere.add_stream(backend.encoder, options=options)
            )
            self._configure(self._stream.codec_context, backend, fps)
            self._nowhere.start_encoding()
            # x264 begins with a SEI message of 600 bytes about its settings, as much as a second of faces.
            self._filter = (
                BitStreamFilterContext("filter_units=remove_types=6", self._stream) if codec == "avc" else None
            )
            self.header = self._describe(codec, scale)
        except (av.FFmpegError, ValueError) as error:
            self._nowhere.close()
            raise CodecError(f"{codec} cannot be encoded here ({backend.encoder}): {reason(error)}") from error

    def _configure(self, context: VideoCodecContext, backend: _Backend, fps: float) -> None:
        context.width = context.height = self._side + self._padding
        context.pix_fmt = backend.pixel_format
        context.time_base = TIME_BASE
        context.framerate = Fraction(fps).limit_denominator(1001)
        context.color_range = ColorRange.JPEG
        context.thread_count = 1
        context.flags |= Flags.global_header  # parameter sets are stored once, in the container's header

    def _describe(self, codec: str, scale: int) -> TrackHeader:
        assert self._stream is not None
        described = av.open(os.devnull, "w", format="null")  # the template must outlive the encoder
        template = described.add_stream_from_template(self._stream)
        return TrackHeader(codec, scale, self._padding, self._stream.codec_context.extradata or b"", template)

    @property
    def in_band_config(self) -> bytes:
        """The parameter sets that HEVC and AVC need before a key face within a track, as NAL units; empty for AV1 and
        VP9, which repeat theirs in every key face."""
        return self.header.config if self.header.codec in ("hevc", "avc") else b""

    def is_key_due(self, time_ms: int) -> bool:
        """Whether a face at `time_ms` would be a key face."""
        return time_ms >= self._key_due_ms

    def encode(self, face: Grey, time_ms: int) -> list[CodedFace]:
        """Encode an LR face, uint8 (d, d), at `time_ms` (increasing); returns the coded faces that are ready. Raises
        `CodecError`."""
        if face.shape != (self._side, self._side):
            raise CodecError(f"a face has the shape {face.shape}, but the encoder is for {self._side}×{self._side}")
        coded = np.pad(face, (0, self._padding), mode="edge") if self._padding else face
        if self._flat_chroma:
            grey_chroma = np.full((coded.shape[0] // 2, coded.shape[1]), 128, np.uint8)
            coded = np.concatenate([coded, grey_chroma])
        picture = VideoFrame.from_ndarray(coded, format="yuv420p" if self._flat_chroma else "gray")
        picture.color_range = ColorRange.JPEG
        picture.pts, picture.time_base = time_ms, TIME_BASE
        if self.is_key_due(time_ms):
            picture.pict_type, self._key_due_ms = PictureType.I, time_ms + 1000 * KEY_EVERY_S
        return self._encode(picture)

    def flush(self) -> list[CodedFace]:
        """End the track and free the encoder's memory and threads; returns the remaining coded faces."""
        if self._stream is None:
            return []
        coded = self._encode(None)
        self._nowhere.close()
        self._stream = self._filter = None
        return coded

    def _encode(self, picture: VideoFrame | None) -> list[CodedFace]:
        if self._stream is None:
            raise CodecError("the encoder has ended; open another for more faces")
        try:
            packets = self._stream.encode(picture)
        except (av.FFmpegError, ValueError) as error:
            raise CodecError(f"the encoder failed on a face: {reason(error)}") from error
        if self._filter is not None:
            packets = [lean for packet in packets for lean in self._filter.filter(packet)]
        return [CodedFace(bytes(p), _milliseconds(p), p.is_keyframe) for p in packets if p.size]


def _milliseconds(packet: "av.Packet[VideoStream]") -> int:
    assert packet.pts is not None  # set by every encoder above
    assert packet.time_base is not None
    return round(packet.pts * packet.time_base / TIME_BASE)


class StandardDecoder:
    """Decodes the faces of one track in order, as described by its `header`. Raises `CodecError` if FFmpeg lacks the
    codec."""

    def __init__(self, header: TrackHeader) -> None:
        decoder = _BACKENDS[header.codec].decoder
        try:
            self._context = cast(VideoCodecContext, av.CodecContext.create(decoder, "r"))
        except ValueError as error:
            raise CodecError(f"{header.codec} cannot be decoded here ({decoder})") from error
        self._context.extradata = header.config or None
        self._context.options = {"max_pixels": str(MAX_CODED_SIDE**2)}
        self._context.thread_type, self._context.thread_count = "NONE", 1  # otherwise dav1d starts one thread per core
        self._side = side_of(header.scale)
        self._changes: deque[tuple[int, int]] = deque()

    def decode(self, coded: CodedFace) -> list[Sample]:
        """The faces that `coded` completes. Raises `StreamError` if it is damaged or has another size or pixel
        format."""
        packet = av.Packet(coded.data)
        packet.time_base = TIME_BASE
        packet.pts = packet.dts = coded.time_ms
        packet.is_keyframe = coded.is_key
        return self._decode(packet)

    def flush(self) -> list[Sample]:
        """The remaining faces."""
        return self._decode(None)

    def change_scale(self, time_ms: int, scale: int) -> None:
        """Announce another scale from `time_ms` on, the time of a key face. Raises `StreamError`."""
        if len(self._changes) >= MAX_CHANGES_AHEAD:
            raise StreamError("the track announces too many changes of scale")
        self._changes.append((time_ms, side_of(scale)))

    def _decode(self, packet: "av.Packet[Stream] | None") -> list[Sample]:
        try:
            pictures = self._context.decode(packet)
        except (av.FFmpegError, ValueError) as error:
            raise StreamError(f"a face cannot be decoded: {reason(error)}") from error
        return [Sample(p.pts, self._luma(p, p.pts)) for p in pictures if p.pts is not None]

    def _luma(self, picture: VideoFrame, time_ms: int) -> Grey:
        while self._changes and self._changes[0][0] <= time_ms:  # decoders may lag by a face
            self._side = self._changes.popleft()[1]
        if picture.format.name not in DECODED_FORMATS:
            raise StreamError(f"a face is coded as {picture.format.name}, not as grey")
        if not self._side <= min(picture.width, picture.height) <= max(picture.width, picture.height) <= MAX_CODED_SIDE:
            raise StreamError(f"a face of {self._side} px is coded as {picture.width}×{picture.height}")
        plane = picture.planes[0]
        rows = np.frombuffer(bytes(plane), np.uint8).reshape(-1, plane.line_size)
        return rows[: self._side, : self._side].copy()
