"""The effect of shifted and resized face boxes: labelled stills, cropped again with boxes that are in error."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lowbeam.corpora.choose import corpus_name, load_labelled
from lowbeam.corpora.labelled import Affect
from lowbeam.evaluate.curve.systems import System, reader_of
from lowbeam.evaluate.table import scores
from lowbeam.face import Box
from lowbeam.faces import crop
from lowbeam.progress import Progress
from lowbeam.scale import Faces, shrink

SEED = 0
Boxes = Callable[[np.random.Generator, int], NDArray[np.float64]]


def _off(moved: float, sized: float) -> Boxes:
    """Errors of n boxes, float64 (n, 3), in sides of the face: to the right, down, and in size; drawn uniformly within
    ± `moved`, `moved` and `sized`."""

    def draw(rng: np.random.Generator, n: int) -> NDArray[np.float64]:
        return rng.uniform(-1, 1, (n, 3)) * (moved, moved, sized)

    return draw


def _all(right: float, down: float, longer: float) -> Boxes:
    return lambda rng, n: np.tile((right, down, longer), (n, 1))


# The error is at most a tenth of the box's side: the same for all boxes, or drawn for each.
ERRORS: dict[str, Boxes] = {
    "none": _all(0, 0, 0),
    "10 % to the left": _all(-0.1, 0, 0), "10 % to the right": _all(0.1, 0, 0),
    "10 % up": _all(0, -0.1, 0), "10 % down": _all(0, 0.1, 0),
    "10 % smaller": _all(0, 0, -0.1), "10 % larger": _all(0, 0, 0.1),
    "moved up to 10 %": _off(0.1, 0), "moved and sized up to 10 %": _off(0.1, 0.1),
}  # fmt: skip


def cut_again(faces: Faces, off: NDArray[np.float64]) -> Faces:
    """Crop `faces`, uint8 (n, d, d), with boxes whose errors are `off` (n, 3): to the right, down and in size, in sides
    of the face. Returns uint8 (n, 96, 96); pixels outside the picture repeat its border."""
    side = faces.shape[1]
    boxes = [Box.around(side * (0.5 + right), side * (0.5 + down), side * (1 + longer)) for right, down, longer in off]
    return np.stack([crop(face, box) for face, box in zip(faces, boxes, strict=True)])


def measure_framing(
    corpus: str | Path, systems: list[System], scales: tuple[int, ...], *, split: str = "test",
    progress: Progress | None = None,
) -> dict[str, Any]:  # fmt: skip
    """Scores of `systems` on the stills of a corpus at `scales`, cropped with each of the box errors in `ERRORS`.

    Returns ``{"corpus", "split", "faces", "systems", "rows"}``; a row has the error's name, the scale and, by system,
    the scores. Raises `UsageError`, `CorpusError` or `ModelError`.
    """
    labelled = load_labelled(corpus, split)
    readers, rows = {system.name: reader_of(system) for system in systems}, []
    native: Faces = np.asarray(labelled.pixels)
    truth: Affect = labelled.affect
    for error, boxes in ERRORS.items():
        hr = cut_again(native, boxes(np.random.default_rng(SEED), len(native)))
        for scale in scales:
            lr = shrink(hr, scale)
            found = {name: scores(*read(lr, scale), truth) for name, read in readers.items()}
            rows.append({"error": error, "scale": scale, "scores": found})
            if progress is not None:
                progress(len(rows), len(ERRORS) * len(scales))
    return {
        "corpus": corpus_name(corpus), "split": split, "faces": len(labelled),
        "systems": {system.name: system.model for system in systems}, "rows": rows,
    }  # fmt: skip
