"""The effect of too little or too much light: labelled stills, darkened and brightened."""

from pathlib import Path
from typing import Any

import numpy as np

from lowbeam.corpora.choose import corpus_name, load_labelled
from lowbeam.evaluate.curve.systems import System, reader_of
from lowbeam.evaluate.table import scores
from lowbeam.progress import Progress
from lowbeam.scale import Faces, shrink

SEED, NOISE = 0, 4.0  # standard deviation of the sensor's noise, in grey levels: it stays as the light fades
GAINS = (1.0, 0.5, 0.35, 0.25, 0.15, 0.1, 1.5, 2.0, 3.0)


def lit(faces: Faces, gain: float) -> Faces:
    """`faces`, uint8 (n, d, d), with `gain` times the light, noise and clipping; with a gain of 1 as they are."""
    if gain == 1:
        return faces
    noise = np.random.default_rng(SEED).normal(0, NOISE, faces.shape)
    return np.clip(np.round(faces * gain + noise), 0, 255).astype(np.uint8)


def measure_light(
    corpus: str | Path, systems: list[System], scales: tuple[int, ...], *, split: str = "valid",
    progress: Progress | None = None,
) -> dict[str, Any]:  # fmt: skip
    """Scores of `systems` on the stills of a corpus at `scales` for each of `GAINS`, in the form of
    `research.recognizer.framing.measure_framing`; a row also has the median of the faces' mean grey values, ``light``.
    Raises `UsageError`, `CorpusError` or `ModelError`."""
    labelled = load_labelled(corpus, split)
    readers, rows = {system.name: reader_of(system) for system in systems}, []
    native: Faces = np.asarray(labelled.pixels)
    for gain in GAINS:
        faces = lit(native, gain)
        light = round(float(np.median(faces.mean((1, 2)))), 1)
        for scale in scales:
            small = shrink(faces, scale)
            found = {name: scores(*read(small, scale), labelled.affect) for name, read in readers.items()}
            rows.append({"gain": gain, "light": light, "scale": scale, "scores": found})
            if progress is not None:
                progress(len(rows), len(GAINS) * len(scales))
    return {
        "corpus": corpus_name(corpus), "split": split, "faces": len(native), "noise": NOISE,
        "systems": {system.name: system.model for system in systems}, "rows": rows,
    }  # fmt: skip
