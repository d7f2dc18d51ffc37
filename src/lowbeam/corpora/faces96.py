"""Faces of people in the wild with one expression word each: an npz file with ``pixels``, uint8 (n, 96, 96),
``identity``, str (n,), and ``expression``, str (n,), one of `lowbeam.corpora.ferplus.EMOTIONS`.

The valence and arousal of a face are the coordinates of its word; a word is the judgement of one person, or of a
program, and less certain than votes. Without ``expression`` the faces have no labels. The corpus is split by identity,
so that nobody is in two splits.
"""

import zipfile
import zlib
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from lowbeam.corpora.ferplus import CIRCUMPLEX, EMOTIONS, Stills
from lowbeam.corpora.labelled import LabelledFaces
from lowbeam.corpora.parted import split_of
from lowbeam.errors import CorpusError
from lowbeam.scale import FACE_SIDE, Faces


def load(path: Path, split: str) -> LabelledFaces:
    """The faces of `split`; with labels, `Stills`. Raises `CorpusError` if the file is missing or damaged."""
    pixels, identity, words = _read(path)
    people, number = np.unique(identity, return_inverse=True)
    keep = np.array([split_of(str(person)) == split for person in people], bool)[number]
    if not keep.any():
        raise CorpusError(f"{path} has nobody in split {split}")
    faces, numbers = np.ascontiguousarray(pixels[keep]), number[keep].astype(np.int32)
    if words is None:
        return LabelledFaces(faces, np.full((len(faces), 2), np.nan, np.float32), numbers)
    emotion = _one_hot(words[keep], path)
    return Stills(faces, emotion @ CIRCUMPLEX, numbers, emotion)


def _read(path: Path) -> tuple[Faces, NDArray[np.str_], NDArray[np.str_] | None]:
    """Pixels, identities and words; None for a file without words."""
    try:
        with np.load(path) as archive:
            pixels, identity = archive["pixels"], archive["identity"]
            words = archive.get("expression")
    except (OSError, ValueError, KeyError, TypeError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        raise CorpusError(f"{path} is missing, damaged, or has no faces with identities") from error
    if pixels.dtype != np.uint8 or pixels.shape[1:] != (FACE_SIDE, FACE_SIDE) or identity.shape != pixels.shape[:1]:
        raise CorpusError(
            f"{path}: pixels {pixels.dtype} {pixels.shape}, identity {identity.shape}, not uint8 (n, 96, 96) and (n,)"
        )
    if words is not None and words.shape != identity.shape:
        raise CorpusError(f"{path}: {words.shape} expressions for {len(pixels)} faces")
    return pixels, identity, words


def _one_hot(words: NDArray[np.str_], path: Path) -> NDArray[np.float32]:
    """float32 (n, 8) in the order of `EMOTIONS`. Raises `CorpusError` for another word."""
    unknown = sorted({str(word) for word in words} - {*EMOTIONS})
    if unknown:
        raise CorpusError(f"{path}: expression {unknown[0]!r} is not one of {', '.join(EMOTIONS)}")
    found: NDArray[np.bool_] = words[:, None] == np.array(EMOTIONS)
    return found.astype(np.float32)
