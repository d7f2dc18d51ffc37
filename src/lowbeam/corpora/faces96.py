"""HR faces for measuring restoration: an npz file with ``pixels``, uint8 (n, 96, 96), and ``identity``, str (n,),
without valence and arousal. It is split by identity, so that nobody is in two splits."""

import zipfile
import zlib
from pathlib import Path

import numpy as np

from lowbeam.corpora.labelled import LabelledFaces
from lowbeam.corpora.parted import split_of
from lowbeam.errors import CorpusError
from lowbeam.scale import FACE_SIDE


def load(path: Path, split: str) -> LabelledFaces:
    """The faces of `split`. Raises `CorpusError` if the file is missing or damaged."""
    try:
        with np.load(path) as archive:
            pixels, identity = archive["pixels"], archive["identity"]
    except (OSError, ValueError, KeyError, TypeError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        raise CorpusError(f"{path} is missing, damaged, or has no faces with identities") from error
    if pixels.dtype != np.uint8 or pixels.shape[1:] != (FACE_SIDE, FACE_SIDE) or identity.shape != pixels.shape[:1]:
        raise CorpusError(
            f"{path}: pixels {pixels.dtype} {pixels.shape}, identity {identity.shape}, not uint8 (n, 96, 96) and (n,)"
        )
    people, number = np.unique(identity, return_inverse=True)
    keep = np.array([split_of(str(person)) == split for person in people], bool)[number]
    if not keep.any():
        raise CorpusError(f"{path} has nobody in split {split}")
    affect = np.full((int(keep.sum()), 2), np.nan, np.float32)
    return LabelledFaces(np.ascontiguousarray(pixels[keep]), affect, number[keep].astype(np.int32))
