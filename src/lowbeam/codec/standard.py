"""HEVC, AVC, AV1 and VP9 through FFmpeg's libraries, tuned for faces of a few pixels.

Encoders run at constant QP, without B-frames or lookahead: a frame goes out as it comes in, for a few more bits.
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
from av.video.frame import VideoFrame
from av.video.reformatter import ColorRange
from av.video.stream import VideoStream

from lowbeam.codec.interface import CodedFace, TrackHeader
from lowbeam.errors import CodecError, StreamError, reason
from lowbeam.face import Grey
from lowbeam.scale import side_of

TIME_BASE = Fraction(1, 1000)  # seconds: Matroska's clock
KEY_EVERY_S = 10.0  # at the operating point's fps; encoders count frames
MAX_CODED_SIDE = 128  # pixels: an HR face and padding; larger coded frames are refused before they are allocated
MAX_CHANGES_AHEAD = 1000  # changes of scale that may wait for their face
DECODED_FORMATS = ("gray", "yuv420p", "yuvj420p")  # whose first plane is 8-bit luma

os.environ.setdefault("SVT_LOG", "-1")  # SVT-AV1 writes to standard error by itself; this is its own switch


@dataclass(frozen=True)
class _Backend:
    encoder: str  # FFmpeg's name
    decoder: str
    pixel_format: str
    min_side: int  # pixels: smaller faces are padded to it
    options: Callable[[int, int], dict[str, str]]  # of QP and frames between key frames


def _x265(qp: int, key_every: int) -> dict[str, str]:
    params = f"qp={qp}:keyint={key_every}:bframes=0:rc-lookahead=0:weightp=0:ctu=16:ipratio=1"
    return {"preset": "slow", "x265-params": f"{params}:frame-threads=1:pools=none:info=0:log-level=none"}


def _x264(qp: int, key_every: int) -> dict[str, str]:
    params = "bframes=0:rc-lookahead=0:sync-lookahead=0:mbtree=0:ipratio=1:force-cfr=1"  # variable, it lags a face
    return {"preset": "slow", "qp": str(qp), "g": str(key_every), "x264-params": params}


def _svtav1(qp: int, key_every: int) -> dict[str, str]:
    return {"preset": "6", "svtav1-params": f"rc=0:qp={qp}:aq-mode=0:pred-struct=1:keyint={key_every}:lp=1"}


def _vpx(qp: int, key_every: int) -> dict[str, str]:
    options = {"b": "0", "crf": qp, "qmin": qp, "qmax": qp, "g": key_every, "lag-in-frames": 0, "cpu-used": 2}
    return {"deadline": "good"} | {key: str(value) for key, value in options.items()}


# libx265 refuses frames under 16 px, and where a frame is exactly one coding tree unit (16×16; 32×32 with its default
# units) its reference differs from the decoder's (seen with the picture hash SEI, x265 4.1): errors then pile up until
# the next key frame. So units are 16 px and frames at least 24. libsvtav1 and libvpx have no 4:0:0; their chroma is
# flat and nearly free.
_BACKENDS = {
    "hevc": _Backend("libx265", "hevc", "gray", 24, _x265),
    "avc": _Backend("libx264", "h264", "gray", 6, _x264),
    "av1": _Backend("libsvtav1", "libdav1d", "yuv420p", 6, _svtav1),
    "vp9": _Backend("libvpx-vp9", "vp9", "yuv420p", 6, _vpx),
}


# FFmpeg's names of the decoders that open a stream of each codec.
CODEC_OF_DECODER = {"hevc": "hevc", "h264": "avc", "av1": "av1", "libdav1d": "av1", "vp9": "vp9"}


def is_available(codec: str) -> bool:
    """Whether this FFmpeg can both encode and decode `codec`."""
    return {_BACKENDS[codec].encoder, _BACKENDS[codec].decoder} <= av.codecs_available


class StandardEncoder:
    """Codes LR faces of `scale` at a constant `qp`, with a key face every `KEY_EVERY_S` at `fps` frames a second.

    Where the codec refuses frames so small, pixels are added right and below by repeating the border. Raises
    `CodecError` where FFmpeg lacks the codec or refuses.
    """

    def __init__(self, codec: str, scale: int, qp: int, fps: float) -> None:
        backend = _BACKENDS[codec]
        self._side = side_of(scale)
        self._padding = max(0, backend.min_side - self._side)
        self._flat_chroma = backend.pixel_format != "gray"
        # FFmpeg's "null" format writes nothing: it lets an encoder describe itself before any container is open.
        self._nowhere = av.open(os.devnull, "w", format="null")
        try:
            options = backend.options(qp, max(1, round(KEY_EVERY_S * fps)))
            self._stream: VideoStream | None = cast(
                VideoStream, self._nowhere.add_stream(backend.encoder, options=options)
            )
            self._configure(self._stream.codec_context, backend, fps)
            self._nowhere.start_encoding()
            # x264 opens with 600 bytes about itself (a SEI message): as much as a second of faces.
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
        context.flags |= Flags.global_header  # parameter sets go into the container's header, once

    def _describe(self, codec: str, scale: int) -> TrackHeader:
        assert self._stream is not None
        described = av.open(os.devnull, "w", format="null")  # a description that outlives the encoder
        template = described.add_stream_from_template(self._stream)
        return TrackHeader(codec, scale, self._padding, self._stream.codec_context.extradata or b"", template)

    @property
    def in_band_config(self) -> bytes:
        """HEVC and AVC need their parameter sets before a key face in the midst of a track, as NAL units; AV1 and VP9
        repeat theirs in every key face anyway."""
        return self.header.config if self.header.codec in ("hevc", "avc") else b""

    def encode(self, face: Grey, time_ms: int) -> list[CodedFace]:
        """Code an LR face, uint8 (d, d), shown at `time_ms`, later than the last; returns what is ready to be sent."""
        if face.shape != (self._side, self._side):
            raise CodecError(f"a face of {face.shape} came to an encoder for {self._side}×{self._side}")
        coded = np.pad(face, (0, self._padding), mode="edge") if self._padding else face
        if self._flat_chroma:
            grey_chroma = np.full((coded.shape[0] // 2, coded.shape[1]), 128, np.uint8)
            coded = np.concatenate([coded, grey_chroma])
        picture = VideoFrame.from_ndarray(coded, format="yuv420p" if self._flat_chroma else "gray")
        picture.color_range = ColorRange.JPEG
        picture.pts, picture.time_base = time_ms, TIME_BASE
        return self._encode(picture)

    def flush(self) -> list[CodedFace]:
        """End the track, and free the encoder's memory and threads at once; returns what is left to be sent."""
        if self._stream is None:
            return []
        coded = self._encode(None)
        self._nowhere.close()
        self._stream = self._filter = None
        return coded

    def _encode(self, picture: VideoFrame | None) -> list[CodedFace]:
        if self._stream is None:
            raise CodecError("a face came to an encoder that had ended")
        try:
            packets = self._stream.encode(picture)
        except (av.FFmpegError, ValueError) as error:
            raise CodecError(f"the encoder refused a face: {reason(error)}") from error
        if self._filter is not None:
            packets = [lean for packet in packets for lean in self._filter.filter(packet)]
        return [CodedFace(bytes(p), _milliseconds(p), p.is_keyframe) for p in packets if p.size]


def _milliseconds(packet: "av.Packet[VideoStream]") -> int:
    assert packet.pts is not None  # every encoder above sets both
    assert packet.time_base is not None
    return round(packet.pts * packet.time_base / TIME_BASE)


class StandardDecoder:
    """Decodes the faces of one track in order, as its `header` describes them."""

    def __init__(self, header: TrackHeader) -> None:
        decoder = _BACKENDS[header.codec].decoder
        try:
            self._context = cast(VideoCodecContext, av.CodecContext.create(decoder, "r"))
        except ValueError as error:
            raise CodecError(f"{header.codec} cannot be decoded here ({decoder})") from error
        self._context.extradata = header.config or None
        self._context.options = {"max_pixels": str(MAX_CODED_SIDE**2)}
        self._context.thread_type, self._context.thread_count = "NONE", 1  # dav1d counts for itself else
        self._side = side_of(header.scale)
        self._changes: deque[tuple[int, int]] = deque()

    def decode(self, coded: CodedFace) -> list[tuple[int, Grey]]:
        """Each face that `coded` completes, with its time in milliseconds: uint8 (d, d), padding cut off.

        Raises `StreamError` where it is damaged or holds a frame of another size or kind.
        """
        packet = av.Packet(coded.data)
        packet.time_base = TIME_BASE
        packet.pts = packet.dts = coded.time_ms
        packet.is_keyframe = coded.is_key
        return self._decode(packet)

    def flush(self) -> list[tuple[int, Grey]]:
        """The faces that are left."""
        return self._decode(None)

    def change_scale(self, time_ms: int, scale: int) -> None:
        """Say that from `time_ms` on, which is a key face's, faces are at another scale."""
        if len(self._changes) >= MAX_CHANGES_AHEAD:
            raise StreamError("too many changes of scale wait for their face")
        self._changes.append((time_ms, side_of(scale)))

    def _decode(self, packet: "av.Packet[Stream] | None") -> list[tuple[int, Grey]]:
        try:
            pictures = self._context.decode(packet)
        except (av.FFmpegError, ValueError) as error:
            raise StreamError(f"a face does not decode: {reason(error)}") from error
        return [(p.pts, self._luma(p, p.pts)) for p in pictures if p.pts is not None]

    def _luma(self, picture: VideoFrame, time_ms: int) -> Grey:
        while self._changes and self._changes[0][0] <= time_ms:  # decoders may lag a face
            self._side = self._changes.popleft()[1]
        if picture.format.name not in DECODED_FORMATS:
            raise StreamError(f"a face is coded as {picture.format.name}, not as grey")
        if not self._side <= min(picture.width, picture.height) <= max(picture.width, picture.height) <= MAX_CODED_SIDE:
            raise StreamError(f"a face of {self._side} px is coded as {picture.width}×{picture.height}")
        plane = picture.planes[0]
        rows = np.frombuffer(bytes(plane), np.uint8).reshape(-1, plane.line_size)
        return rows[: self._side, : self._side].copy()
