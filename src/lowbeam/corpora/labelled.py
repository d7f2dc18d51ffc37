"""What every corpus comes to: faces with their valence and arousal."""

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
    """Faces in the corpus's order. `pixels` uint8 (n, d, d) at their native side, perhaps memory-mapped; `affect`
    float32 (n, 2), valence and arousal in [-1, 1], nan where a corpus has none; `recording` int32 (n,), which
    recording, or else which person, each is of. Faces of recordings also have `time_s` float64 (n,), seconds from the
    recording's first frame, and `box` float32 (n, 3): left, top and side of the square in its pixels."""

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
    """The faces of one recording in order, as in `LabelledFaces`."""

    number: int
    time_s: NDArray[np.float64]
    pixels: Faces
    affect: Affect
    box: NDArray[np.float32]

    def __len__(self) -> int:
        return len(self.time_s)


def tracks_of(faces: LabelledFaces) -> list[Track]:
    """The recordings of a corpus, each with its faces in order. Raises `CorpusError` where it is one of stills."""
    if faces.time_s is None or faces.box is None:
        raise CorpusError("this corpus is one of stills: recordings are needed")
    tracks = []
    for number in np.unique(faces.recording):
        rows = np.flatnonzero(faces.recording == number)
        part = slice(int(rows[0]), int(rows[-1]) + 1)  # a recording's faces are kept together
        tracks.append(Track(int(number), faces.time_s[part], faces.pixels[part], faces.affect[part], faces.box[part]))
    return tracks


Frames = Iterator[tuple[int, float, Grey]]  # index from 0, time in seconds, grey frame uint8 (h, w)


@dataclass(frozen=True)
class Recording:
    """A labelled video, not yet cut. `files` is all that it is made from. `affect` (n, 2) and `boxes` (n, 4: left,
    top, width and height in pixels) are those of each frame, nan where there is none; without `boxes` the faces are
    looked for, and where frames are `cropped` each is a face already. With `label_s` (n,), rising seconds, `affect` is
    that of these times instead. `exact`: there is a row for every frame of the video."""

    name: str
    files: tuple[Path, ...]
    frames: Callable[[], AbstractContextManager[Frames]]
    affect: Affect
    label_s: NDArray[np.float64] | None = None
    boxes: NDArray[np.float32] | None = None
    cropped: bool = False
    exact: bool = False
