"""A video, read once, frame by frame."""

import errno
import logging
import time
from collections.abc import Iterator
from contextlib import suppress
from fractions import Fraction
from pathlib import Path
from types import TracebackType

import av
import av.container
from av.video.frame import VideoFrame
from av.video.reformatter import VideoReformatter

from lowbeam.errors import SourceError, reason
from lowbeam.media.clock import PresentationClock
from lowbeam.media.declared import declared_bytes
from lowbeam.media.frame import Frame, Orientation, orientation_of
from lowbeam.media.inputs import PipeInput, Source, is_url, name_of
from lowbeam.media.limits import MAX_PIXEL_ASPECT, size_problem
from lowbeam.media.open import open_container, video_stream
from lowbeam.media.stoppable import StoppableSource

BROKEN_OFF = {errno.EIO, errno.ECONNRESET, errno.EPIPE, errno.ETIMEDOUT}  # errors of a URL whose connection breaks
RETRY_S = 30.0  # for how long a live URL is opened again after its connection broke
RETRY_EVERY_S = 2.0
SEEKABLE = {"mov", "mp4", "matroska", "webm"}  # formats with an index and with presentation times
SEEK_EARLIER_S = 1.0  # a key frame is found by its decoding time, which may be so much earlier than it is shown

log = logging.getLogger(__name__)


class VideoSource(StoppableSource):
    """A video, read once and lazily: a context manager and an iterable of `Frame`.

    Frames before `start_s` (seconds) are of no interest: of a file whose format allows it, those before the last key
    frame at that time are not decoded. Times are those from the first frame in any case.

    `source` is a path, a `PipeInput`, ``camera:N``, or a URL (rtsp, http, …). `is_live` is true for cameras, URLs and
    pipes: SIGINT, SIGTERM and SIGHUP end them, and packets that cannot be decoded are skipped. In a file such a packet
    raises `SourceError`, and so does an MP4, MOV or Matroska file that is shorter than it declares. A URL without a
    known duration is opened again for `RETRY_S` after its connection breaks. `cut_at_s` is the time in seconds at which
    a live source finally broke off, None otherwise. Frames have square pixels. Raises `SourceError` or `UsageError`.
    """

    def __init__(self, source: Source, start_s: float = 0.0) -> None:
        is_camera = name_of(source).startswith("camera:")
        super().__init__(source, is_url(source) or is_camera or isinstance(source, PipeInput))
        self._source, self._start_s = source, start_s
        self._is_url = is_url(source)
        self._has_broken_off = False
        with self._stop_closed_on_error():
            self._open(source)

    def _open(self, source: Source) -> None:
        self._container = open_container(source)
        try:
            self._stream = video_stream(self._container, self.name)
            self._refuse_truncated()
        except BaseException:
            self._container.close()
            raise

    def __enter__(self) -> "VideoSource":
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._container.close()
        self._close_stop()
        if isinstance(self._source, PipeInput):
            self._source.close()

    @property
    def tags(self) -> dict[str, str]:
        """The container's metadata."""
        return self._container.metadata

    @property
    def size(self) -> tuple[int, int]:
        """Width and height in pixels as coded, before rotation."""
        return self._stream.width, self._stream.height

    @property
    def duration_s(self) -> float | None:
        """Duration in seconds as the container states it; None if it does not."""
        if self._stream.duration and self._stream.time_base:
            return float(self._stream.duration * self._stream.time_base)
        return self._container.duration / av.time_base if self._container.duration else None

    @property
    def frame_count(self) -> int | None:
        """Expected number of frames; None if the container does not state it."""
        if self._stream.frames:
            return self._stream.frames
        rate = self._stream.average_rate
        return round(self.duration_s * rate) if rate and self.duration_s else None

    @property
    def fps(self) -> float:
        """Mean frame rate in frames per second as the container states it; 25 if it does not."""
        return float(self._stream.average_rate or 25)

    @property
    def _pixel_aspect(self) -> Fraction:
        """Pixel aspect ratio as the container states it; 1 if it does not, or states an invalid one."""
        aspect = self._stream.sample_aspect_ratio or Fraction(1)
        if not Fraction(1, MAX_PIXEL_ASPECT) <= aspect <= MAX_PIXEL_ASPECT:
            return Fraction(1)
        return aspect if size_problem(round(self.size[0] * aspect), self.size[1]) is None else Fraction(1)

    def _refuse_truncated(self) -> None:
        """Raise `SourceError` if a file is shorter than it declares, as after an interrupted copy."""
        path = Path(self.name)
        if not self.is_live and path.is_file():
            missing = declared_bytes(self._container, self._stream, path) - path.stat().st_size
            if missing > 0:
                raise SourceError(f"{self.name} is truncated: at least its last {missing} bytes are missing")

    def __iter__(self) -> Iterator[Frame]:
        clock = PresentationClock(self.name, float(1 / (self._stream.guessed_rate or self._stream.average_rate or 25)))
        converter, shape = VideoReformatter(), (0, 0)
        orientation, last_rotation = Orientation(), None
        for picture in self._pictures(clock):
            # AVI has no presentation times: for AVI, FFmpeg's pts are in decoding order.
            timestamp = picture.dts if self._container.format.name == "avi" else picture.pts
            time_s = clock.time_of(timestamp, picture.time_base)
            if shape == (0, 0):
                shape = picture.width, picture.height
                if size_problem(*shape) is not None or 0 in shape:
                    raise SourceError(f"{self.name} has a frame of {shape[0]}×{shape[1]} pixels, which cannot be read")
            if picture.rotation != last_rotation or last_rotation is None:
                orientation, last_rotation = orientation_of(picture, self.name), picture.rotation
            same = picture if shape == (picture.width, picture.height) else picture.reformat(*shape)
            yield Frame(time_s, same, converter, self._pixel_aspect, orientation)
        if clock.last_s is None and not self.is_stopped:
            raise SourceError(f"{self.name} has no frame that can be decoded")
        if self._has_broken_off:
            self.cut_at_s = clock.last_s

    def _pictures(self, clock: PresentationClock) -> Iterator[VideoFrame]:
        """Decoded pictures; a live URL whose connection broke is opened again."""
        if self.can_seek and self._start_s > SEEK_EARLIER_S:
            self._seek(clock)
        yield from self._decode(clock)
        while self._has_broken_off and self._is_url and self.duration_s is None and self._open_again():
            self._has_broken_off = False
            yield from self._decode(clock)

    @property
    def can_seek(self) -> bool:
        """Whether decoding can begin at a key frame, and gives the times that decoding from the first frame gives."""
        return not self.is_live and not SEEKABLE.isdisjoint(self._container.format.name.split(","))

    def _seek(self, clock: PresentationClock) -> None:
        """Go to the last key frame at `_start_s`; the first picture sets the clock."""
        first = next(self._decode(clock), None)
        if first is None or first.pts is None or first.time_base is None:
            return
        clock.time_of(first.pts, first.time_base)
        to_s = first.pts * first.time_base + Fraction(self._start_s - SEEK_EARLIER_S)
        self._container.seek(int(to_s / first.time_base), stream=self._stream)

    def _open_again(self) -> bool:
        log.warning("%s: the connection broke; retrying for up to %.0f s", self.name, RETRY_S)
        self._container.close()
        until_s = time.monotonic() + RETRY_S
        while time.monotonic() < until_s and not self.is_stopped:
            with suppress(SourceError):
                self._open(self._source)
                return True
            time.sleep(RETRY_EVERY_S)
        return False

    def _decode(self, clock: PresentationClock) -> Iterator[VideoFrame]:
        try:
            for packet in self._container.demux(self._stream):
                if self.is_stopped:
                    return
                try:
                    yield from packet.decode()
                except av.error.InvalidDataError:
                    if not self.is_live:
                        raise
        except av.error.ExitError:  # no data for OPEN_TIMEOUT_S
            self._has_broken_off = not self.is_stopped
        except IndexError as error:  # PyAV's error for a packet of a stream that appeared later
            raise SourceError(f"{self.name} is damaged after {clock.last_s or 0:.2f} s: its streams change") from error
        except (av.FFmpegError, OSError) as error:
            if self.is_stopped:
                return
            if self._is_url and getattr(error, "errno", None) in BROKEN_OFF:
                self._has_broken_off = True
                return
            raise SourceError(f"{self.name} is damaged after {clock.last_s or 0:.2f} s: {reason(error)}") from error
