"""The effect of codecs on estimates from real faces: labelled stills, each coded separately at every scale and QP."""

from pathlib import Path
from typing import Any

import numpy as np

from lowbeam.codec.trip import code_stills
from lowbeam.corpora.choose import corpus_name, load_labelled
from lowbeam.evaluate.curve.grid import Grid
from lowbeam.evaluate.curve.systems import System, reader_of
from lowbeam.evaluate.table import scores
from lowbeam.progress import Progress
from lowbeam.scale import Faces, shrink

RUN = 256  # stills that one encoder codes in succession


def measure_stills(
    corpus: str | Path, grid: Grid, systems: list[System], *, split: str = "test",
    progress: Progress | None = None,
) -> dict[str, Any]:  # fmt: skip
    """Scores of `systems` on the stills of a corpus, uncoded and coded at every codec, scale and QP of `grid`; each
    face is estimated without memory.

    Returns ``{"corpus", "split", "faces", "systems", "rows"}``; a row has codec (None where uncoded), scale, QP and, by
    system, the scores. Raises `UsageError`, `CorpusError` or `ModelError`.
    """
    labelled = load_labelled(corpus, split)
    hr, rows = labelled.faces(), []
    readers = {system.name: reader_of(system) for system in systems}
    visited: list[tuple[str | None, int | None]] = [(None, None), *((c, q) for c in grid.codecs for q in grid.qps)]
    for scale in grid.scales:
        lr = shrink(hr, scale)
        for codec, qp in visited:
            faces = lr if codec is None or qp is None else _coded(codec, scale, qp, lr)
            found = {name: scores(*read(faces, scale), labelled.affect) for name, read in readers.items()}
            rows.append({"codec": codec, "scale": scale, "qp": qp, "scores": found})
            if progress is not None:
                progress(len(rows), len(visited) * len(grid.scales))
    return {
        "corpus": corpus_name(corpus), "split": split, "faces": len(labelled),
        "systems": {system.name: system.model for system in systems}, "rows": rows,
    }  # fmt: skip


def _coded(codec: str, scale: int, qp: int, faces: Faces) -> Faces:
    runs = (faces[start : start + RUN] for start in range(0, len(faces), RUN))
    return np.concatenate([code_stills(codec, scale, qp, run) for run in runs])
