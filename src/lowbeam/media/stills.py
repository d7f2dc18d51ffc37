"""Still and animated pictures, opened by Pillow, which handles EXIF orientation and animated WebP."""

import warnings
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from types import TracebackType

import numpy as np
from av.video.frame import VideoFrame
from av.video.reformatter import VideoReformatter
from PIL import Image, ImageOps, UnidentifiedImageError

from lowbeam.errors import SourceError, reason
from lowbeam.media.frame import Frame
from lowbeam.media.inputs import PipeInput, Source, is_url, name_of
from lowbeam.media.limits import size_problem
from lowbeam.media.video import VideoSource

FORMATS = ("BMP", "JPEG", "PNG", "TIFF", "WEBP")
NOT_STILL = {".mjpeg", ".mjpg"}  # suffixes of files with a sequence of JPEG pictures
FRAME_MS = 100  # if an animation does not state a duration


class StillSource:
    """A picture or an animation, with the interface of `VideoSource`. Raises `SourceError` if it is too large."""

    is_live = is_stopped = False
    cut_at_s: float | None = None
    fps = 25.0

    def __init__(self, path: Path, image: Image.Image) -> None:
        self.name, self._image = str(path), image
        problem = size_problem(*image.size)
        if problem is not None:
            raise SourceError(f"{path} {problem}")
        self.frame_count: int = getattr(image, "n_frames", 1) if image.format in ("PNG", "WEBP") else 1

    def __enter__(self) -> "StillSource":
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._image.close()

    @property
    def size(self) -> tuple[int, int]:
        """Width and height in pixels, before EXIF orientation is applied."""
        return self._image.size

    def __iter__(self) -> Iterator[Frame]:
        time_ms, converter = 0.0, VideoReformatter()
        for index in range(self.frame_count):
            try:
                self._image.seek(index)
                upright = ImageOps.exif_transpose(self._image).convert("RGB")
                shown_ms = float(self._image.info.get("duration") or FRAME_MS)
            except (OSError, ValueError, SyntaxError, EOFError, KeyError, TypeError) as error:  # all raised by Pillow
                raise SourceError(f"{self.name} is damaged: {reason(error)}") from error
            picture = VideoFrame.from_ndarray(np.asarray(upright), format="rgb24")
            yield Frame(time_ms / 1000, picture, converter, Fraction(1))
            time_ms += shown_ms


def open_video(source: Source, start_s: float = 0.0) -> VideoSource | StillSource:
    """Open a picture file as `StillSource`, any other source as `VideoSource`, of which frames before `start_s` are of
    no interest. Raises `SourceError` or `UsageError`."""
    if not isinstance(source, PipeInput) and not is_url(source):
        path = Path(name_of(source))
        still = None if path.suffix.lower() in NOT_STILL else _opened(path)
        if still is not None:
            return StillSource(path, still)
    return VideoSource(source, start_s)


def _opened(path: Path) -> Image.Image | None:
    """The picture at `path`, not yet decoded; None if the file is not a picture."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # sizes are bounded by `size_problem`
            return Image.open(path, formats=FORMATS)
    except Image.DecompressionBombError as error:
        raise SourceError(f"{path} is a picture of too many pixels") from error
    except (UnidentifiedImageError, OSError, ValueError, SyntaxError, TypeError):
        return None
