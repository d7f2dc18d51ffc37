"""Any corpus by its name and place."""

import hashlib
from collections.abc import Callable
from pathlib import Path

import numpy as np

from lowbeam.corpora import afew_va, aff_wild2, avec2016, faces96, ferplus, manifest
from lowbeam.corpora.cache import cached_faces, default_cache
from lowbeam.corpora.labelled import SPLITS, LabelledFaces, Recording
from lowbeam.errors import CorpusError, UsageError

RECORDINGS: dict[str, Callable[[Path, str], list[Recording]]] = {
    "avec2016": avec2016.recordings, "afew-va": afew_va.recordings, "aff-wild2": aff_wild2.recordings,
    "manifest": manifest.recordings,
}  # fmt: skip
STILLS: dict[str, Callable[[Path, str], LabelledFaces]] = {"ferplus": ferplus.load, "faces96": faces96.load}
NAMES = {"ferplus": "FER+", "avec2016": "AVEC 2016", "afew-va": "AFEW-VA", "aff-wild2": "Aff-Wild2"}


def kind_and_place(corpus: str | Path) -> tuple[str, Path]:
    """``KIND:PATH`` parted; a bare path is FER+. Raises `UsageError` for an unknown kind."""
    kind, colon, place = str(corpus).partition(":")
    if not colon or Path(str(corpus)).exists():
        return "ferplus", Path(corpus)
    if kind not in RECORDINGS and kind not in STILLS:
        raise UsageError(f"corpus {kind} is not one of {', '.join(sorted({*RECORDINGS, *STILLS}))}")
    return kind, Path(place)


def corpus_name(corpus: str | Path) -> str:
    """What to call it in a table."""
    kind, place = kind_and_place(corpus)
    if kind == "avec2016" and avec2016.is_rendered(place):
        return "rendered people"
    return NAMES.get(kind, place.stem)


def load_faces(
    corpus: str | Path, split: str, *, cache: str | Path | None = None,
    progress: Callable[[int, int | None], None] | None = None,
) -> LabelledFaces:  # fmt: skip
    """The faces of one of `SPLITS` of a corpus, ``KIND:PATH``, whose kind is a name in `STILLS` or `RECORDINGS`.

    Recordings are cut into faces once, and kept in `cache` (`default_cache`). Raises `UsageError`, `CorpusError` or
    `OutputError`.
    """
    if split not in SPLITS:
        raise UsageError(f"split {split} is not one of {', '.join(SPLITS)}")
    kind, place = kind_and_place(corpus)
    if kind in STILLS:
        return STILLS[kind](place, split)
    if not place.exists():
        raise CorpusError(f"{place} is missing")
    found = RECORDINGS[kind](place, split)
    if not found:
        raise CorpusError(f"{place} holds no recording of split {split}")
    name = f"{kind}-{split}-{hashlib.sha256(str(place.resolve()).encode()).hexdigest()[:12]}"
    return cached_faces(name, found, Path(cache) if cache is not None else default_cache(), progress)


def load_labelled(
    corpus: str | Path, split: str, *, cache: str | Path | None = None,
    progress: Callable[[int, int | None], None] | None = None,
) -> LabelledFaces:  # fmt: skip
    """As `load_faces`; raises `CorpusError` where the corpus has no valence and arousal."""
    faces = load_faces(corpus, split, cache=cache, progress=progress)
    if np.isnan(faces.affect).any():
        raise CorpusError(f"{corpus} has no valence and arousal")
    return faces
