"""Frames in and out of files, cameras and URLs, with exact times."""

import errno
import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property
from pathlib import Path
from types import TracebackType
from typing import Any

import av
import av.container
import av.logging
import numpy as np
from av.video.frame import VideoFrame
from av.video.reformatter import VideoReformatter
from av.video.stream import VideoStream
from numpy.typing import NDArray

from lowbeam.errors import LowbeamError, SourceError, UsageError, reason
from lowbeam.face import Grey

Rgb = NDArray[np.uint8]  # (h, w, 3)

MAX_TIME_S = 1e7  # seconds, 115 days: a frame that claims to be later is damaged
MAX_SIDE = 16384  # pixels: larger frames are refused before they are allocated
HEAD_BYTES = 1024  # of standard input, by which its kind is told
TEXT_ART_FORMATS = ("tty", "bin", "adf", "idf", "xbin")  # FFmpeg draws texts in these as if on a terminal
BROKEN_OFF = {
    errno.EIO,
    errno.ECONNRESET,
    errno.EPIPE,
    errno.ETIMEDOUT,
}  # how a URL that breaks off shows
OPEN_TIMEOUT_S = 10.0  # for URLs, to connect and between packets

av.logging.set_level(av.logging.PANIC)  # FFmpeg's own words never reach the terminal; ours do


@dataclass(frozen=True)
class Frame:
    """A decoded frame. `time_s` is its presentation time in seconds from the source's first frame."""

    time_s: float
    picture: VideoFrame
    converter: VideoReformatter  # one a source: setting it up costs ten times as much as using it
    pixel_aspect: Fraction = Fraction(1)  # width of a coded pixel over its height

    def _upright(self, format_name: str) -> NDArray[np.uint8]:
        pixels = self.converter.reformat(self.picture, width=self._square_width, format=format_name).to_ndarray()
        return np.ascontiguousarray(np.rot90(pixels, self._quarter_turns))

    @property
    def size(self) -> tuple[int, int]:
        """Width and height in pixels, upright."""
        width, height = self._square_width, self.picture.height
        return (height, width) if self._quarter_turns % 2 else (width, height)

    @property
    def _square_width(self) -> int:
        return max(1, round(self.picture.width * self.pixel_aspect))

    @property
    def _quarter_turns(self) -> int:
        # FFmpeg's display matrix says how far to turn counter-clockwise, as np.rot90 does.
        return round(self.picture.rotation / 90) % 4

    @cached_property
    def grey(self) -> Grey:
        """Full-range luma, uint8 (h, w), upright."""
        return self._upright("gray")

    @cached_property
    def rgb(self) -> Rgb:
        """Colours, uint8 (h, w, 3), upright."""
        return self._upright("rgb24")


class PipeInput:
    """A pipe that is opened once and read but never sought; `head` is its first `HEAD_BYTES` bytes, which stay to be
    read."""

    def __init__(self, file: Any, name: str) -> None:
        self.name = name
        self._file = file
        self.head: bytes = file.read(HEAD_BYTES)
        self._waiting = self.head

    def read(self, size: int) -> bytes:
        """Up to `size` bytes, as soon as there are any; none at the end."""
        if self._waiting:
            data, self._waiting = self._waiting[:size], self._waiting[size:]
            return data
        data = self._file.read1(size)
        return bytes(data)


Source = str | os.PathLike | PipeInput


def name_of(source: Source) -> str:
    """What to call `source` in a message."""
    return source.name if isinstance(source, PipeInput) else os.fspath(source)


def opened(source: str | os.PathLike) -> Source:
    """`source` itself, or, where it is ``-`` or a named pipe, what is read from it."""
    if os.fspath(source) == "-":
        return PipeInput(sys.stdin.buffer, "standard input")
    path = Path(source)
    with suppress(OSError, ValueError):  # whoever opens it says what is wrong with it
        if path.is_fifo():
            return PipeInput(path.open("rb"), os.fspath(source))
    return source


class VideoSource:
    """A video to be read once, lazily, from its first frame: a context manager, and an iterator of `Frame`.

    `source` is a path, a `PipeInput`, ``camera:N``, or a URL (rtsp, http, …). `is_live` tells cameras and network
    streams, where Ctrl-C ends the video and a packet that does not decode is skipped; in a file it is a `SourceError`,
    and so is an MP4, MOV or Matroska that ends before it says. `cut_at_s` is the time at which a live stream stalled,
    None where it did not. Pixels that are not square are made so.
    """

    def __init__(self, source: Source) -> None:
        self.name = name_of(source)
        self.is_live = self.name.startswith("camera:") or "://" in self.name
        self._stopped = self._stalled = False
        self.cut_at_s: float | None = None
        self._old_handler: Any = None
        self._container = _open(source)
        try:
            self._stream = _video_stream(self._container, self.name)
            self._refuse_truncated()
        except BaseException:
            self._container.close()
            raise

    def __enter__(self) -> "VideoSource":
        if self.is_live and threading.current_thread() is threading.main_thread():
            self._old_handler = signal.signal(signal.SIGINT, self._stop)
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self._old_handler is not None:
            signal.signal(signal.SIGINT, self._old_handler)
        self._container.close()

    def _stop(self, *_: object) -> None:
        self._stopped = True

    @property
    def size(self) -> tuple[int, int]:
        """Width and height in pixels as coded, before any turn that the source asks for."""
        return self._stream.width, self._stream.height

    @property
    def duration_s(self) -> float | None:
        """How long the container says that the video is, in seconds; None where it does not say."""
        if self._stream.duration and self._stream.time_base:
            return float(self._stream.duration * self._stream.time_base)
        return self._container.duration / av.time_base if self._container.duration else None

    @property
    def frame_count(self) -> int | None:
        """How many frames to expect; None where the container does not say."""
        if self._stream.frames:
            return self._stream.frames
        rate = self._stream.average_rate
        return round(self.duration_s * rate) if rate and self.duration_s else None

    @property
    def fps(self) -> float:
        """Mean frames a second as the container states them; 25 where it does not."""
        return float(self._stream.average_rate or 25)

    @property
    def _pixel_aspect(self) -> Fraction:
        """As the container states it; 1 where it does not, or where what it states cannot be."""
        aspect = self._stream.sample_aspect_ratio or Fraction(1)
        return aspect if Fraction(1, 4) <= aspect <= 4 else Fraction(1)

    def _refuse_truncated(self) -> None:
        # MP4 and MOV list every sample's place; a copy that stopped half-way lacks the last ones.
        path = Path(self.name)
        entries = self._stream.index_entries
        if "mp4" in self._container.format.name and path.is_file() and len(entries):
            last = entries[len(entries) - 1]
            missing = last.pos + last.size - path.stat().st_size
            if missing > 0:
                raise SourceError(f"{self.name} is truncated: at least its last {missing} bytes are missing")

    def __iter__(self) -> Iterator[Frame]:
        first_pts: int | None = None
        converter = VideoReformatter()
        shape: tuple[int, int] | None = None
        for picture in self._decode():
            if picture.pts is None or picture.time_base is None:
                continue
            first_pts = picture.pts if first_pts is None else first_pts
            time_s = float((picture.pts - first_pts) * picture.time_base)
            if abs(time_s) > MAX_TIME_S:
                raise SourceError(f"{self.name} states a time of {time_s:.3g} s")
            shape = shape or (picture.width, picture.height)
            same = picture if shape == (picture.width, picture.height) else picture.reformat(*shape)
            yield Frame(time_s, same, converter, self._pixel_aspect)
        if first_pts is None:
            raise SourceError(f"{self.name} holds no frame that can be decoded")
        if self._stalled:
            self.cut_at_s = time_s
        missing_s = self._matroska_end_s - (picture.time or 0.0)
        if not self.is_live and missing_s > 1 + 2 / self.fps:
            raise SourceError(f"{self.name} is truncated: its last {missing_s:.2f} s are missing")

    @property
    def _matroska_end_s(self) -> float:
        """The end of the video track, which Matroska states as a tag, in seconds; 0 where it does not."""
        parts = self._stream.metadata.get("DURATION", "").split(":")
        with suppress(ValueError):
            return sum(float(part) * 60**i for i, part in enumerate(reversed(parts)))
        return 0.0

    def _decode(self) -> Iterator[VideoFrame]:
        time_s = 0.0
        try:
            for packet in self._container.demux(self._stream):
                if self._stopped:
                    return
                try:
                    for picture in packet.decode():
                        time_s = picture.time or time_s
                        yield picture
                except av.error.InvalidDataError:
                    if not self.is_live:
                        raise
        except av.error.ExitError:  # nothing came for OPEN_TIMEOUT_S
            self._stalled = True
        except (av.FFmpegError, OSError) as error:
            if self.is_live and error.errno in BROKEN_OFF:
                self._stalled = True
                return
            raise SourceError(f"{self.name} is damaged after {time_s:.2f} s: {reason(error)}") from error


def _open(source: Source) -> av.container.InputContainer:
    name = name_of(source)
    options = {"max_pixels": str(MAX_SIDE**2)}
    try:
        if name.startswith("camera:"):
            device, format_name = _camera(name.removeprefix("camera:"))
            return av.open(device, "r", format=format_name, timeout=OPEN_TIMEOUT_S)
        if "://" in name:
            extra = {"rtsp_transport": "tcp"} if name.startswith("rtsp") else {}
            return av.open(name, "r", options=options | extra, timeout=OPEN_TIMEOUT_S)
        if isinstance(source, PipeInput):
            return av.open(source, "r", options=options)
        path = Path(name)
        if path.is_dir():
            raise SourceError(f"{name} is a folder, not a video")
        if path.is_file() and path.stat().st_size == 0:
            raise SourceError(f"{name} is empty")
        return av.open(f"file:{name}", "r", options=options)
    except LowbeamError:
        raise
    except (av.FFmpegError, OSError, ValueError) as error:
        raise SourceError(f"{name} cannot be opened as a video: {reason(error)}") from error


def _camera(number: str) -> tuple[str, str]:
    if not number.isdigit():
        raise UsageError(f"camera:{number} is not a camera; try camera:0")
    if sys.platform == "darwin":
        return number, "avfoundation"
    if sys.platform.startswith("linux"):
        return f"/dev/video{number}", "v4l2"
    raise SourceError(f"cameras are read on Linux and macOS; on {sys.platform} name a file or URL")


def _video_stream(container: av.container.InputContainer, name: str) -> VideoStream:
    if container.format.name in TEXT_ART_FORMATS:
        raise SourceError(f"{name} is a text, not a video")
    videos = [s for s in container.streams.video if not s.disposition & s.disposition.attached_pic]
    if not videos:
        raise SourceError(f"{name} has sound but no video" if container.streams.audio else f"{name} has no video")
    stream = videos[0]
    if stream.codec_context is None:
        raise SourceError(f"{name} is coded in a way that this FFmpeg cannot decode")
    if max(stream.width, stream.height) > MAX_SIDE:
        raise SourceError(f"{name} is {stream.width}×{stream.height}; at most {MAX_SIDE} pixels a side are read")
    stream.thread_type = "NONE"
    return stream


class VideoSink:
    """Writes upright RGB frames as an H.264 MP4 that browsers play. A context manager; the file is `path`."""

    TIME_BASE = Fraction(1, 90000)  # seconds: RTP's video clock

    def __init__(self, path: str | os.PathLike, fps: float) -> None:
        self._container = av.open(os.fspath(path), "w", format="mp4", options={"movflags": "+faststart"})
        self._fps = Fraction(fps).limit_denominator(1001)
        self._stream: VideoStream | None = None
        self._last_pts = -1

    def __enter__(self) -> "VideoSink":
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if kind is None:
            if self._stream is not None:
                self._container.mux(self._stream.encode())
            self._container.close()
        else:
            with suppress(av.FFmpegError, OSError):
                self._container.close()

    def write(self, rgb: Rgb, time_s: float) -> None:
        """Add a frame, uint8 (h, w, 3), at `time_s`; an odd last row or column is dropped, since H.264 4:2:0 needs
        even sides."""
        height, width = (n // 2 * 2 for n in rgb.shape[:2])
        if self._stream is None:
            self._stream = self._container.add_stream("libx264", rate=self._fps, options={"crf": "20"})
            self._stream.width, self._stream.height, self._stream.pix_fmt = width, height, "yuv420p"
            self._stream.codec_context.time_base = self.TIME_BASE
        picture = VideoFrame.from_ndarray(np.ascontiguousarray(rgb[:height, :width]), format="rgb24")
        picture.pts = max(round(time_s / self.TIME_BASE), self._last_pts + 1)
        picture.time_base = self.TIME_BASE
        self._last_pts = picture.pts
        self._container.mux(self._stream.encode(picture))
