"""The operating point: codec, scale, QP and frame rate."""

import math
from dataclasses import dataclass
from typing import Any

from lowbeam.codec.interface import Encoder
from lowbeam.codec.registry import codec_named
from lowbeam.errors import CodecError, UsageError
from lowbeam.scale import side_of

MAX_FPS = 120.0
EARLY_S = 0.01  # a frame may be this early: timestamps are rounded, and cameras jitter


@dataclass(frozen=True)
class OperatingPoint:
    """How faces are coded.

    `codec` is a key of `lowbeam.codec.CODECS`; `scale` is one of `lowbeam.scale.SCALES`; `qp` is the quantisation
    parameter of the codec, from 0 (near lossless) to 51 (hevc, avc) or 63 (av1, vp9); `fps` is the maximum number of
    coded frames per second, up to 120. The defaults are a point that is among the best at its rate, 4 to 5 kbit/s,
    on real and on rendered people (docs/rate-distortion). Raises `UsageError` if a value is out of range.
    """

    codec: str = "hevc"
    scale: int = 3
    qp: int = 27
    fps: float = 5.0

    def __post_init__(self) -> None:
        codec = codec_named(self.codec)
        side_of(self.scale)
        codec.check_qp(self.qp)
        if not 0 < self.fps <= MAX_FPS:
            raise UsageError(f"fps {self.fps:g} is out of range: above 0, up to {MAX_FPS:g}")

    @property
    def side(self) -> int:
        """Side of the LR face in pixels."""
        return side_of(self.scale)

    def __str__(self) -> str:
        if codec_named(self.codec).kind != "pixels" and self.scale == 1:
            return f"{self.codec} QP {self.qp} {self.fps:g} fps"
        return f"{self.codec} s={self.scale} QP {self.qp} {self.fps:g} fps"


def usual_point(codec: str = "hevc", **given: Any) -> OperatingPoint:
    """An operating point of `codec` with the values that are `given`; the others are usual for it. Raises
    `UsageError`."""
    scale, qp, fps = codec_named(codec).usual
    return OperatingPoint(codec, **({"scale": scale, "qp": qp, "fps": fps} | given))


def open_encoder(point: OperatingPoint) -> Encoder:
    """An encoder for LR faces at `point`. Raises `CodecError`."""
    opened = codec_named(point.codec).open_encoder
    if opened is None:
        raise CodecError(f"{point.codec} does not send pixels")
    return opened(point.scale, point.qp, point.fps)


class FrameRateLimiter:
    """Chooses which frames of a source are coded, at most `fps` per second."""

    def __init__(self, fps: float = math.inf) -> None:
        self._period_s = 1 / fps
        self._early_s = min(EARLY_S, self._period_s / 4)
        self._due_s = 0.0

    def takes(self, time_s: float) -> bool:
        """Whether the frame at `time_s` (seconds, increasing) is coded."""
        if time_s < self._due_s - self._early_s:
            return False
        self._due_s = max(self._due_s, time_s - self._period_s / 2) + self._period_s
        return True
