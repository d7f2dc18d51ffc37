"""The tracks of a corpus with what their estimates are compared with: labels, or the model's own uncoded estimates.

Where there are no labels, the estimates of the uncoded recording are a pseudo-truth, as in MPEG's evaluations of video
coding for machines. It shows what coding and rate control lose, not how right the estimates are.
"""

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


def scored_tracks(
    corpus: str, split: str, truth: Truth, cache: str | Path | None = None, progress: Progress | None = None
) -> list[Track]:
    """The tracks of a split of `corpus`, which need no labels with `truth` ``self``. Raises `UsageError`, `CorpusError`
    or `OutputError`."""
    load = load_labelled if truth == "labels" else load_faces
    tracks = tracks_of(load(corpus, split, cache=cache, progress=progress))
    if any(len(track) < 2 for track in tracks):
        raise CorpusError(f"{corpus} has a recording with a single face; two or more are needed")
    return tracks


def with_own_estimates(track: Track, recognizer: Recognizer) -> Track:
    """`track` with the estimates of its uncoded faces, at the full frame rate and with memory, as its labels."""
    found, _ = recognizer.follow(np.asarray(track.pixels), track.time_s)
    return replace(track, affect=np.stack([found.valence, found.arousal], 1))
