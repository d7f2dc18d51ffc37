"""What every corpus comes to: faces with their valence and arousal."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from lowbeam.media import Grey
from lowbeam.scale import FACE_SIDE, Faces, resample

SPLITS = ("train", "valid", "test")
Affect = NDArray[np.float32]  # (n, 2): valence, arousal


@dataclass(frozen=True)
class LabelledFaces:
    """Faces in the corpus's order. `pixels` uint8 (n, d, d) at their native side, perhaps memory-mapped; `affect`
    float32 (n, 2), valence and arousal in [-1, 1], nan where a corpus has none; `recording` int32 (n,), which
    recording, or else which person, each is of."""

    pixels: Faces
    affect: Affect
    recording: NDArray[np.int32]

    def __len__(self) -> int:
        return len(self.pixels)

    def faces(self) -> Faces:
        """The HR faces, uint8 (n, 96, 96)."""
        return resample(self.pixels, FACE_SIDE)


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
