"""FER+ (Barsoum et al. 2016): the faces of FER2013, each with the votes of ten people.

On disk, either ``train.npz``, ``valid.npz`` and ``test.npz``, each with ``pixels`` uint8 (n, 48, 48) and ``votes``
uint8 (n, 10) in the order of `VOTES`; or the public layout, as the scripts of microsoft/FERPlus write it::

    FER2013Train/label.csv, FER2013Train/fer0000000.png …     also FER2013Valid, FER2013Test

where each row of the CSV files, which have no header, has the picture's name, its box in brackets, and ten votes.
"""

import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from lowbeam.corpora.frames import read_picture
from lowbeam.corpora.labelled import SPLITS, LabelledFaces
from lowbeam.corpora.labels import read_rows, read_text
from lowbeam.errors import CorpusError
from lowbeam.face import Expressions
from lowbeam.scale import Faces

EMOTIONS = Expressions._fields
VOTES = (*EMOTIONS, "unknown", "not-a-face")
FOLDERS = {"train": "FER2013Train", "valid": "FER2013Valid", "test": "FER2013Test"}  # of the public layout
NATIVE_SIDE = 48  # pixels
MIN_VOTES = 6  # of ten: faces with fewer votes for a named emotion are omitted

# Valence and arousal of each emotion, in [-1, 1]: Russell & Mehrabian (1977), Evidence for a three-factor theory of
# emotions, table 2. Contempt is not in their table; its values are our own. Rows follow EMOTIONS.
CIRCUMPLEX = np.array(
    [(0, 0), (0.81, 0.51), (0.40, 0.67), (-0.63, -0.27), (-0.51, 0.59), (-0.60, 0.35), (-0.64, 0.60), (-0.32, 0.20)],
    np.float32,
)


@dataclass(frozen=True)
class Stills(LabelledFaces):
    """Labelled faces with the distribution of their votes over `EMOTIONS`: `emotion`, float32 (n, 8). Each still is a
    recording of its own."""

    emotion: NDArray[np.float32]


def load(folder: str | Path, split: str) -> Stills:
    """The faces of `split` (one of `SPLITS`) in `folder` that have at least `MIN_VOTES` votes for an emotion.

    Raises `CorpusError` if a file is missing, damaged, or not FER+.
    """
    path = Path(folder) / f"{split}.npz"
    public = Path(folder) / FOLDERS[split]
    if not path.is_file() and public.is_dir():
        path = public / "label.csv"
        pixels, votes = _read_public(path)
    else:
        pixels, votes = _read_npz(path)
    if pixels.dtype != np.uint8 or pixels.ndim != 3 or votes.shape != (len(pixels), len(VOTES)):
        raise CorpusError(f"{path} is not FER+: pixels {pixels.dtype} {pixels.shape}, votes {votes.shape}")
    votes = votes[:, : len(EMOTIONS)].astype(np.float32)
    total = votes.sum(axis=1, keepdims=True)
    keep = total[:, 0] >= MIN_VOTES
    if not keep.any():
        raise CorpusError(f"{path} has no face with {MIN_VOTES} votes for an emotion")
    emotion = votes[keep] / total[keep]
    numbers = np.arange(len(emotion), dtype=np.int32)
    return Stills(np.ascontiguousarray(pixels[keep]), emotion @ CIRCUMPLEX, numbers, emotion)


def _read_npz(path: Path) -> tuple[Faces, NDArray[np.uint8]]:
    if not path.is_file():
        layouts = f"{', '.join(s + '.npz' for s in SPLITS)}, or {', '.join(FOLDERS.values())}"
        raise CorpusError(f"{path} is missing: a FER+ folder holds {layouts}")
    try:
        with np.load(path) as archive:
            return archive["pixels"], archive["votes"]
    except (OSError, ValueError, KeyError, TypeError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        raise CorpusError(f"{path} is damaged or not FER+: {error}") from error


def _read_public(path: Path) -> tuple[Faces, NDArray[np.uint8]]:
    pixels, votes = [], []
    for number, row in read_rows(path, read_text(path)):
        try:
            name, counts = row[0], np.array(row[-len(VOTES) :], np.uint8)
        except (ValueError, IndexError, OverflowError) as error:
            raise CorpusError(f"{path}, line {number}: not a name, a box and {len(VOTES)} votes") from error
        picture = read_picture(path.parent / name)
        if len(counts) < len(VOTES) or picture.shape != (NATIVE_SIDE, NATIVE_SIDE):
            raise CorpusError(
                f"{path}, line {number}: {len(counts)} votes, {picture.shape[1]}×{picture.shape[0]} pixels"
            )
        pixels.append(picture)
        votes.append(counts)
    if not pixels:
        raise CorpusError(f"{path} has no labels")
    return np.stack(pixels), np.array(votes, np.uint8)
