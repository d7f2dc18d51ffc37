"""The frames of a recording, from a video or from pictures."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import numpy as np
from PIL import Image

from lowbeam.corpora.labelled import Frames
from lowbeam.errors import CorpusError, SourceError
from lowbeam.face import Grey
from lowbeam.media import VideoSource

PICTURE_FPS = 25.0  # assumed frame rate of pictures without times


def video_frames(path: Path) -> Callable[[], AbstractContextManager[Frames]]:
    """A function that opens the frames of a video, which raise `CorpusError` if it cannot be decoded."""

    @contextmanager
    def opened() -> Iterator[Frames]:
        try:
            with VideoSource(path) as video:
                yield ((index, frame.time_s, frame.grey) for index, frame in enumerate(video))
        except SourceError as error:
            raise CorpusError(str(error)) from error

    return opened


def picture_frames(pictures: dict[int, Path]) -> Callable[[], AbstractContextManager[Frames]]:
    """A function that opens pictures as frames, by frame index. They raise `CorpusError` if one cannot be decoded."""

    @contextmanager
    def opened() -> Iterator[Frames]:
        yield ((index, index / PICTURE_FPS, read_picture(path)) for index, path in sorted(pictures.items()))

    return opened


def read_picture(path: Path) -> Grey:
    """A picture in grey, uint8 (h, w). Raises `CorpusError`."""
    try:
        with Image.open(path) as picture:
            return np.asarray(picture.convert("L"))
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:  # Pillow raises any of them
        raise CorpusError(f"{path} is missing or not a picture") from error
