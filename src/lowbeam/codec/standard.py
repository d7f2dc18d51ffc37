"""HEVC, AVC, AV1 and VP9 through FFmpeg's libraries, tuned for faces of a few pixels.

Encoders run at constant QP, without B-frames or lookahead: a frame goes out as it comes in, for a few more bits.
Anything with the same `encode`, `decode` and `flush` can stand in their place.
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
from av.video.codeccontext import VideoCodecContext
from av.video.frame import VideoFrame
from av.video.reformatter import ColorRange
from av.video.stream import VideoStream

from lowbeam.codec.operating_point import CODECS, OperatingPoint
from lowbeam.errors import CodecError, StreamError, reason
from lowbeam.face import Grey

TIME_BASE = Fraction(1, 1000)  # seconds: Matroska's clock
KEY_EVERY_S = 10.0  # at the operating point's fps; encoders count frames
MAX_CODED_SIDE = 128  # pixels: an HR face and padding; larger coded frames are refused before they are allocated
DECODED_FORMATS = ("gray", "yuv420p", "yuvj420p")  # whose first plane is 8-bit luma

os.environ.setdefault("SVT_LOG", "-1")  # SVT-AV1 writes to standard error by itself; this is its own switch


@dataclass(frozen=True)
class CodedFace:
    """One face as it crosses the link: `data` holds a whole access unit; `time_ms` is its presentation time."""

    data: bytes
    time_ms: int
    is_key: bool


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


DECODERS = {backend.decoder for backend in _BACKENDS.values()} | {"av1"}


def available_codecs() -> dict[str, bool]:
    """Each name of `CODECS`, and whether this FFmpeg can both encode and decode it."""
    found = av.codecs_available
    return {name: _BACKENDS[name].encoder in found and _BACKENDS[name].decoder in found for name in CODECS}


class StandardEncoder:
    """Codes the LR faces of one track in order.

    `padding` is how many pixels are added right and below, by repeating the border, where the codec refuses smaller
    frames. `template` is the stream that describes the track to a container. Raises `CodecError` where FFmpeg lacks
    the codec or refuses.
    """

    def __init__(self, point: OperatingPoint) -> None:
        backend = _BACKENDS[point.codec]
        self.padding = max(0, backend.min_side - point.side)
        self._codec, self.side = point.codec, point.side
        self._flat_chroma = backend.pixel_format != "gray"
        # FFmpeg's "null" format writes nothing: it lets an encoder describe itself before any container is open.
        self._nowhere = av.open(os.devnull, "w", format="null")
        try:
            options = backend.options(point.qp, max(1, round(KEY_EVERY_S * point.fps)))
            self.template = cast(VideoStream, self._nowhere.add_stream(backend.encoder, options=options))
            self._configure(backend, point)
            self._nowhere.start_encoding()
            # x264 opens with 600 bytes about itself (a SEI message): as much as a second of faces.
            self._filter = (
                BitStreamFilterContext("filter_units=remove_types=6", self.template) if point.codec == "avc" else None
            )
        except (av.FFmpegError, ValueError) as error:
            self._nowhere.close()
            raise CodecError(f"{point.codec} cannot be encoded here ({backend.encoder}): {reason(error)}") from error

    def _configure(self, backend: _Backend, point: OperatingPoint) -> None:
        context = self.template.codec_context
        context.width = context.height = point.side + self.padding
        context.pix_fmt = backend.pixel_format
        context.time_base = TIME_BASE
        context.framerate = Fraction(point.fps).limit_denominator(1001)
        context.color_range = ColorRange.JPEG
        context.thread_count = 1
        context.flags |= Flags.global_header  # parameter sets go into the container's header, once

    @property
    def header(self) -> bytes:
        """What a decoder needs before the first face; a container sends it once."""
        return self.template.codec_context.extradata or b""

    @property
    def header_in_band(self) -> bytes:
        """The header as it stands before a key face in the midst of a track: HEVC and AVC need it there (their
        parameter sets, as NAL units), AV1 and VP9 repeat it in every key face anyway."""
        return self.header if self._codec in ("hevc", "avc") else b""

    def encode(self, face: Grey, time_ms: int) -> list[CodedFace]:
        """Code an LR face, uint8 (d, d), shown at `time_ms`, later than the last; returns what is ready to be sent."""
        if face.shape != (self.side, self.side):
            raise CodecError(f"a face of {face.shape} came to an encoder for {self.side}×{self.side}")
        coded = np.pad(face, (0, self.padding), mode="edge") if self.padding else face
        if self._flat_chroma:
            grey_chroma = np.full((coded.shape[0] // 2, coded.shape[1]), 128, np.uint8)
            coded = np.concatenate([coded, grey_chroma])
        picture = VideoFrame.from_ndarray(coded, format="yuv420p" if self._flat_chroma else "gray")
        picture.color_range = ColorRange.JPEG
        picture.pts, picture.time_base = time_ms, TIME_BASE
        return self._encode(picture)

    def flush(self) -> list[CodedFace]:
        """End the track; returns what is left to be sent."""
        coded = self._encode(None)
        self._nowhere.close()
        return coded

    def _encode(self, picture: VideoFrame | None) -> list[CodedFace]:
        try:
            packets = self.template.encode(picture)
        except (av.FFmpegError, ValueError) as error:
            raise CodecError(f"the encoder refused a face: {reason(error)}") from error
        if self._filter is not None:
            packets = [lean for packet in packets for lean in self._filter.filter(packet)]
        return [CodedFace(bytes(p), _milliseconds(p), p.is_keyframe) for p in packets if p.size]


def _milliseconds(packet: av.Packet) -> int:
    assert packet.pts is not None  # every encoder above sets both
    assert packet.time_base is not None
    return round(packet.pts * packet.time_base / TIME_BASE)


class StandardDecoder:
    """Decodes the faces of one track in order. `context` is that of the container's stream; `side` that of the LR face
    within, until `change_side`."""

    def __init__(self, context: VideoCodecContext, side: int) -> None:
        self._context = context
        self._context.thread_type = "NONE"
        self._side = side
        self._changes: deque[tuple[float, int]] = deque()

    @classmethod
    def bare(cls, codec: str, side: int, header: bytes) -> "StandardDecoder":
        """A decoder for LR faces of `side` without a container, of an encoder's `header`."""
        context = cast(VideoCodecContext, av.CodecContext.create(_BACKENDS[codec].decoder, "r"))
        context.extradata = header
        return cls(context, side)

    def decode(self, packet: av.Packet) -> list[tuple[float, Grey]]:
        """Each face that `packet` completes, with its time in seconds: uint8 (side, side), padding cut off. An empty
        packet asks for what is left.

        Raises `StreamError` where the packet is damaged or holds a frame of another size or kind.
        """
        try:
            pictures = self._context.decode(packet)
        except (av.FFmpegError, ValueError) as error:
            raise StreamError(f"a face does not decode: {reason(error)}") from error
        return [(p.time, self._luma(p, p.time)) for p in pictures if p.time is not None]

    def change_side(self, time_s: float, side: int) -> None:
        """Say that from `time_s` on, which is a key face's, LR faces are of `side`."""
        self._changes.append((time_s, side))

    @property
    def changes_ahead(self) -> int:
        """How many changes of side wait for their face."""
        return len(self._changes)

    def _luma(self, picture: VideoFrame, time_s: float) -> Grey:
        while self._changes and self._changes[0][0] <= time_s:  # decoders may lag a face
            self._side = self._changes.popleft()[1]
        if picture.format.name not in DECODED_FORMATS:
            raise StreamError(f"a face is coded as {picture.format.name}, not as grey")
        if not self._side <= min(picture.width, picture.height) <= max(picture.width, picture.height) <= MAX_CODED_SIDE:
            raise StreamError(f"a face of {self._side} px is coded as {picture.width}×{picture.height}")
        plane = picture.planes[0]
        rows = np.frombuffer(bytes(plane), np.uint8).reshape(-1, plane.line_size)
        return rows[: self._side, : self._side].copy()
