"""Calibration of standard deviations on tracked faces: labelled recordings, coded, and estimated with memory."""

from pathlib import Path
from typing import Any

import numpy as np

from lowbeam.codec import OperatingPoint
from lowbeam.codec.trip import trip
from lowbeam.corpora.choose import corpus_name, load_labelled
from lowbeam.corpora.labelled import Affect, Track, tracks_of
from lowbeam.evaluate.curve.grid import Grid
from lowbeam.evaluate.curve.systems import System
from lowbeam.evaluate.table import scores
from lowbeam.progress import Progress
from lowbeam.recognize import Recognizer


def measure_followed(
    corpus: str | Path, grid: Grid, systems: list[System], *, split: str = "test", cache: str | Path | None = None,
    progress: Progress | None = None,
) -> dict[str, Any]:  # fmt: skip
    """Scores of `systems` (from ``parse_systems(…, only_with_deviations=True)``) over the faces sent at each point of
    `grid`, from the recordings of a corpus; a model uses its memory unless ``/each`` follows its name.

    Returns ``{"corpus", "split", "faces", "systems", "rows"}``; a row has codec, scale, QP, frame rate and, by system,
    the scores. Raises `UsageError`, `CorpusError`, `CodecError` or `ModelError`.
    """
    faces = load_labelled(corpus, split, cache=cache)
    tracks, points, rows = tracks_of(faces), list(grid.points()), []
    for point in points:
        recognizers = {system.name: Recognizer(system.at(point.scale) or system.model) for system in systems}
        each = {system.name for system in systems if system.way}
        parts = [_follow(track, point, recognizers, each) for track in tracks]
        truth = np.concatenate([part[1] for part in parts])
        found = {}
        for name in recognizers:
            affect, std = (np.concatenate([part[0][name][i] for part in parts]) for i in (0, 1))
            found[name] = scores(affect, std, truth)
        rows.append({"codec": point.codec, "scale": point.scale, "qp": point.qp, "fps": point.fps, "scores": found})
        if progress is not None:
            progress(len(rows), len(points))
    return {
        "corpus": corpus_name(corpus), "split": split, "faces": len(faces),
        "systems": {system.name: system.model for system in systems}, "rows": rows,
    }  # fmt: skip


def _follow(
    track: Track, point: OperatingPoint, recognizers: dict[str, Recognizer], each: set[str]
) -> tuple[dict[str, tuple[Affect, Affect]], Affect]:
    """Affect and standard deviation, float32 (n, 2), estimated in a recording by each of the `recognizers`, by name,
    and the truth (n, 2); those named in `each` use no memory."""
    sent = trip(point, np.asarray(track.pixels), track.time_s)
    found = {}
    for name, recognizer in recognizers.items():
        with_memory, without = recognizer.follow_both(sent.faces, sent.time_s)
        estimates = without if name in each else with_memory
        affect = np.stack([estimates.valence, estimates.arousal], 1)
        found[name] = affect, np.stack([estimates.valence_std, estimates.arousal_std], 1)
    return found, track.affect[sent.rows]
