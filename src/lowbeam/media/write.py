"""Writes an MP4 that browsers play."""

import os
from contextlib import suppress
from fractions import Fraction
from types import TracebackType

import av
import numpy as np
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from lowbeam.media.frame import Rgb


class VideoSink:
    """Writes RGB frames to `path` as an H.264 MP4 that browsers play, with libx264's `preset`. A context manager. `fps`
    is the nominal frame rate in frames per second."""

    TIME_BASE = Fraction(1, 90000)  # seconds: RTP's video clock

    def __init__(self, path: str | os.PathLike[str], fps: float, preset: str = "medium") -> None:
        self._container = av.open(os.fspath(path), "w", format="mp4", options={"movflags": "+faststart"})
        self._preset = preset
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
        """Add a frame, uint8 (h, w, 3), at `time_s` seconds. An odd last row or column is dropped, since H.264 4:2:0
        requires even sides."""
        height, width = (n // 2 * 2 for n in rgb.shape[:2])
        if self._stream is None:
            self._stream = self._container.add_stream(
                "libx264", rate=self._fps, options={"crf": "20", "preset": self._preset}
            )
            self._stream.width, self._stream.height, self._stream.pix_fmt = width, height, "yuv420p"
            self._stream.codec_context.time_base = self.TIME_BASE
        picture = VideoFrame.from_ndarray(np.ascontiguousarray(rgb[:height, :width]), format="rgb24")
        picture.pts = max(round(time_s / self.TIME_BASE), self._last_pts + 1)
        picture.time_base = self.TIME_BASE
        self._last_pts = picture.pts
        self._container.mux(self._stream.encode(picture))
