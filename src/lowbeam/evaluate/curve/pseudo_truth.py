"""The tracks of a corpus with what their estimates are compared with: labels, or the model's own uncoded estimates."""

from dataclasses import replace
from pathlib import Path
from typing import Literal

import numpy as np

from lowbeam.corpora.choose import load_faces, load_labelled
from lowbeam.corpora.labelled import Track, tracks_of
from lowbeam.errors import CorpusError
from lowbeam.progress import Progress
from lowbeam.recognize import Recognizer

Truth = Literal["labels", "self"]


def tracks_to_score(
    corpus: str, split: str, truth: Truth, recognizer: Recognizer, *, cache: Path | None = None,
    progress: Progress | None = None,
) -> list[Track]:  # fmt: skip
    """The tracks of a split of `corpus`. With `truth` ``self`` their `affect` is the estimate of the uncoded faces by
    `recognizer`, at the full frame rate and with memory. Raises `UsageError`, `CorpusError` or `OutputError`."""
    load = load_labelled if truth == "labels" else load_faces
    tracks = tracks_of(load(corpus, split, cache=cache, progress=progress))
    if any(len(track) < 2 for track in tracks):
        raise CorpusError(f"{corpus} has a recording with a single face; two or more are needed")
    return tracks if truth == "labels" else [with_own_estimates(track, recognizer) for track in tracks]


def with_own_estimates(track: Track, recognizer: Recognizer) -> Track:
    """`track` with the uncoded estimates of `recognizer` as its labels."""
    found, _ = recognizer.follow(np.asarray(track.pixels), track.time_s)
    return replace(track, affect=np.stack([found.valence, found.arousal], 1))
