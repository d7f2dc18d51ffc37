"""FER+ (Barsoum et al. 2016): faces of FER2013 in the wild, with the votes of ten people each.

On disk a folder with ``train.npz``, ``valid.npz`` and ``test.npz``, each with ``pixels`` uint8 (n, 48, 48) and
``votes`` uint8 (n, 10) in the order of `VOTES`.
"""

import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from lowbeam.errors import CorpusError
from lowbeam.scale import FACE_SIDE, Faces, resample

EMOTIONS = ("neutral", "happiness", "surprise", "sadness", "anger", "disgust", "fear", "contempt")
VOTES = (*EMOTIONS, "unknown", "not-a-face")
SPLITS = ("train", "valid", "test")
MIN_VOTES = 6  # of ten: faces with fewer votes for a named emotion are left out

# Valence and arousal of each emotion, in [-1, 1]: Russell & Mehrabian (1977), Evidence for a three-factor theory of
# emotions, table 2; contempt is not in their list, its pair is ours. Rows follow EMOTIONS.
CIRCUMPLEX = np.array(
    [(0, 0), (0.81, 0.51), (0.40, 0.67), (-0.63, -0.27), (-0.51, 0.59), (-0.60, 0.35), (-0.64, 0.60), (-0.32, 0.20)],
    np.float32,
)


@dataclass(frozen=True)
class Stills:
    """Labelled faces. `pixels` uint8 (n, d, d) at their native side; `affect` float32 (n, 2), valence and arousal in
    [-1, 1]; `emotion` float32 (n, 8), each row a distribution over `EMOTIONS`."""

    pixels: Faces
    affect: NDArray[np.float32]
    emotion: NDArray[np.float32]

    def __len__(self) -> int:
        return len(self.pixels)

    def faces(self) -> Faces:
        """The HR faces, uint8 (n, 96, 96)."""
        return resample(self.pixels, FACE_SIDE)


def load(folder: str | Path, split: str) -> Stills:
    """Read one of `SPLITS` from `folder`, keeping the faces with at least `MIN_VOTES` votes for an emotion.

    Raises `CorpusError` where the file is missing, damaged, or not FER+.
    """
    path = Path(folder) / f"{split}.npz"
    if not path.is_file():
        raise CorpusError(f"{path} is missing: a FER+ folder holds {', '.join(s + '.npz' for s in SPLITS)}")
    try:
        with np.load(path) as archive:
            pixels, votes = archive["pixels"], archive["votes"]
    except (OSError, ValueError, KeyError, TypeError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        raise CorpusError(f"{path} is damaged or not FER+: {error}") from error
    if pixels.dtype != np.uint8 or pixels.ndim != 3 or votes.shape != (len(pixels), len(VOTES)):
        raise CorpusError(f"{path} is not FER+: pixels {pixels.dtype} {pixels.shape}, votes {votes.shape}")
    votes = votes[:, : len(EMOTIONS)].astype(np.float32)
    total = votes.sum(axis=1, keepdims=True)
    keep = total[:, 0] >= MIN_VOTES
    if not keep.any():
        raise CorpusError(f"{path} has no face with {MIN_VOTES} votes for an emotion")
    emotion = votes[keep] / total[keep]
    return Stills(np.ascontiguousarray(pixels[keep]), emotion @ CIRCUMPLEX, emotion)
