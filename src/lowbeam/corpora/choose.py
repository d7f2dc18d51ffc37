"""Opens any corpus by its kind and path."""

import hashlib
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np

from lowbeam.corpora import afew_va, aff_wild2, avec2016, faces96, ferplus, manifest, videos
from lowbeam.corpora.cache import cached_faces, default_cache
from lowbeam.corpora.kinds import KINDS
from lowbeam.corpora.labelled import SPLITS, LabelledFaces, Recording
from lowbeam.errors import CorpusError, UsageError
from lowbeam.progress import Progress

RECORDINGS: dict[str, Callable[[Path, str], list[Recording]]] = {
    "avec2016": avec2016.recordings, "afew-va": afew_va.recordings, "aff-wild2": aff_wild2.recordings,
    "manifest": manifest.recordings, "videos": videos.recordings,
}  # fmt: skip
STILLS: dict[str, Callable[[Path, str], LabelledFaces]] = {"ferplus": ferplus.load, "faces96": faces96.load}
NAMES = {"ferplus": "FER+", "avec2016": "AVEC 2016", "afew-va": "AFEW-VA", "aff-wild2": "Aff-Wild2"}
FERPLUS_FILES = tuple(f"{split}.npz" for split in SPLITS)
CLIP_OF_AFEW = "[0-9][0-9][0-9]/[0-9][0-9][0-9].json"
SIGNS = {  # what a folder of a kind holds, as glob patterns
    "avec2016": ("recordings_video",), "ferplus": (*FERPLUS_FILES, *ferplus.FOLDERS.values()),
    "aff-wild2": ("VA_Estimation_Challenge", "*/VA_Estimation_Challenge"),
    "afew-va": (CLIP_OF_AFEW, f"*/{CLIP_OF_AFEW}"),
}  # fmt: skip


def kind_and_place(corpus: str | Path) -> tuple[str, Path]:
    """Kind and path of ``KIND:PATH``; a bare path is FER+. Raises `UsageError` for an unknown kind."""
    kind, colon, place = str(corpus).partition(":")
    if not colon or _exists(corpus):
        return "ferplus", Path(corpus)
    if kind not in KINDS:
        raise UsageError(f"corpus {kind} is not one of {', '.join(sorted(KINDS))}")
    return kind, Path(place)


def likely_corpus(place: Path) -> str | None:
    """``KIND:PATH`` for an existing file or folder, with the kind guessed from file names; None if none fits."""
    if place.is_file():
        if place.name in FERPLUS_FILES:
            return f"ferplus:{place.parent}"
        kind = {".csv": "manifest", ".npz": "faces96"}.get(place.suffix.lower())
    else:
        kind = next((kind for kind, names in SIGNS.items() if any(any(place.glob(name)) for name in names)), None)
    return None if kind is None else f"{kind}:{place}"


def _exists(place: str | Path) -> bool:
    return os.path.exists(place)  # noqa: PTH110  (unlike Path.exists it never raises)


def corpus_name(corpus: str | Path) -> str:
    """The corpus's name in tables."""
    kind, place = kind_and_place(corpus)
    if kind == "avec2016" and avec2016.is_rendered(place):
        return "rendered people"
    return NAMES.get(kind, place.stem)


def load_faces(
    corpus: str | Path, split: str, *, cache: str | Path | None = None,
    progress: Progress | None = None,
) -> LabelledFaces:  # fmt: skip
    """The faces of one of `SPLITS` of a corpus, ``KIND:PATH``, whose kind is one of `KINDS`.

    Recordings are cut into faces once and cached in `cache` (default: `default_cache`). Raises `UsageError`,
    `CorpusError` (with the likely kind, if it is another) or `OutputError`.
    """
    if split not in SPLITS:
        raise UsageError(f"split {split} is not one of {', '.join(SPLITS)}")
    kind, place = kind_and_place(corpus)
    if not _exists(place):
        raise CorpusError(_missing(place, is_bare=not str(corpus).startswith(f"{kind}:")))
    try:
        if kind in STILLS:
            return STILLS[kind](place, split)
        found = RECORDINGS[kind](place, split)
    except CorpusError as error:
        likely = likely_corpus(place)
        if likely in (None, f"{kind}:{place}"):
            raise
        raise CorpusError(f"{place} is not a corpus of kind {kind}; did you mean {likely}?") from error
    if not found:
        raise CorpusError(f"{place} has no recording in split {split}")
    name = f"{kind}-{split}-{hashlib.sha256(str(place.resolve()).encode()).hexdigest()[:12]}"
    return cached_faces(name, found, Path(cache) if cache is not None else default_cache(), progress)


def _missing(place: Path, is_bare: bool) -> str:
    """The error message for a missing corpus; if its path `is_bare`, the kind may be missing."""
    if not is_bare:
        return f"{place} is missing"
    if place.suffix.lower() == ".csv":
        return f"{place} is missing; a CSV manifest is given as manifest:{place}"
    return f"{place} is missing: a corpus is KIND:PATH, of kind {', '.join(KINDS)}, or a FER+ folder"


def recording_names(corpus: str | Path, split: str) -> list[str]:
    """Names of the recordings of a split, indexed by their numbers in `load_faces`; empty for a corpus of stills.
    Raises `UsageError` or `CorpusError`."""
    kind, place = kind_and_place(corpus)
    return [recording.name for recording in RECORDINGS[kind](place, split)] if kind in RECORDINGS else []


def load_labelled(
    corpus: str | Path, split: str, *, cache: str | Path | None = None,
    progress: Progress | None = None,
) -> LabelledFaces:  # fmt: skip
    """As `load_faces`; raises `CorpusError` if the corpus has no valence and arousal labels."""
    faces = load_faces(corpus, split, cache=cache, progress=progress)
    if np.isnan(faces.affect).any():
        raise CorpusError(f"{corpus} has no valence and arousal")
    return faces
