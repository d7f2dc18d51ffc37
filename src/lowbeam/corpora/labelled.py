"""Labelled faces, tracks and recordings, the common form of all corpora."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from lowbeam.errors import CorpusError
from lowbeam.face import Grey
from lowbeam.scale import FACE_SIDE, Faces, resample

SPLITS = ("train", "valid", "test")
Affect = NDArray[np.float32]  # (n, 2): valence, arousal


@dataclass(frozen=True)
class LabelledFaces:
    """Faces in the order of the corpus. `pixels`: uint8 (n, d, d) at their native side, possibly memory-mapped;
    `affect`: float32 (n, 2), valence and arousal in [-1, 1], NaN if the corpus has none; `recording`: int32 (n,), the
    number of the recording, or of the person in a corpus of stills. Faces of recordings also have `time_s`: float64
    (n,), seconds from the recording's first frame, and `box`: float32 (n, 3), left, top and side in its pixels."""

    pixels: Faces
    affect: Affect
    recording: NDArray[np.int32]
    time_s: NDArray[np.float64] | None = field(default=None, kw_only=True)
    box: NDArray[np.float32] | None = field(default=None, kw_only=True)

    def __len__(self) -> int:
        return len(self.pixels)

    def faces(self) -> Faces:
        """The HR faces, uint8 (n, 96, 96)."""
        return resample(self.pixels, FACE_SIDE)


@dataclass(frozen=True)
class Track:
    """The faces of the recording `number` in order of time, with the fields of `LabelledFaces`."""

    number: int
    time_s: NDArray[np.float64]
    pixels: Faces
    affect: Affect
    box: NDArray[np.float32]

    def __len__(self) -> int:
        return len(self.time_s)


def tracks_of(faces: LabelledFaces) -> list[Track]:
    """The faces of each recording of a corpus. Raises `CorpusError` if it is a corpus of stills."""
    if faces.time_s is None or faces.box is None:
        raise CorpusError("this corpus is one of stills; use one of recordings")
    tracks = []
    for number in np.unique(faces.recording):
        rows = np.flatnonzero(faces.recording == number)
        part = slice(int(rows[0]), int(rows[-1]) + 1)  # the faces of a recording are contiguous
        tracks.append(Track(int(number), faces.time_s[part], faces.pixels[part], faces.affect[part], faces.box[part]))
    return tracks


Frames = Iterator[tuple[int, float, Grey]]  # index from 0, time in seconds, grey frame uint8 (h, w)


@dataclass(frozen=True)
class Recording:
    """A labelled video, before its faces are cropped. `files` are all files of it. `affect`, float32 (n, 2), and
    `boxes`, float32 (n, 4: left, top, width and height in pixels), have a row per frame, NaN if there is none. Without
    `boxes` the faces are detected; `cropped` means that each frame is a face. With `label_s`, float64 (n,), increasing
    seconds, the rows of `affect` are at these times instead. `exact`: there is a row for every frame of the video.
    Recordings that are not `labelled` have no rows."""

    name: str
    files: tuple[Path, ...]
    frames: Callable[[], AbstractContextManager[Frames]]
    affect: Affect
    label_s: NDArray[np.float64] | None = None
    boxes: NDArray[np.float32] | None = None
    cropped: bool = False
    exact: bool = False
    labelled: bool = True
