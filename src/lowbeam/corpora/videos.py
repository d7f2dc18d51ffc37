"""Unlabelled videos: a file, or all videos of a folder. Every split is all of them."""

from pathlib import Path

import numpy as np

from lowbeam.container.layout import is_face_stream
from lowbeam.corpora.frames import video_frames
from lowbeam.corpora.labelled import Recording
from lowbeam.errors import CorpusError
from lowbeam.media import VIDEO_SUFFIXES

NO_LABELS = np.empty((0, 2), np.float32)


def recordings(place: Path, split: str) -> list[Recording]:
    """The videos at `place`, in the order of their names. Raises `CorpusError` if there is none."""
    files = [place] if place.is_file() else sorted(filter(_is_video, place.glob("*")))
    if not files:
        raise CorpusError(f"{place} has no video")
    return [Recording(path.stem, (path,), video_frames(path), NO_LABELS, labelled=False) for path in files]


def _is_video(path: Path) -> bool:
    """Whether `path` is a visible file that is named as a video, and not a face stream."""
    is_named = path.suffix.lower() in VIDEO_SUFFIXES and not path.name.startswith(".")
    return is_named and path.is_file() and not is_face_stream(path)
