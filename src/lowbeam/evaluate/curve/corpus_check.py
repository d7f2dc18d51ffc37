"""Whether rendered people are any good: what real faces teach must read them, and the other way round."""

from pathlib import Path
from typing import Any

import numpy as np

from lowbeam.corpora.choose import corpus_name, load_faces
from lowbeam.corpora.labelled import tracks_of
from lowbeam.errors import UsageError
from lowbeam.evaluate.table import scores
from lowbeam.files import whole_file
from lowbeam.metrics import AFFECT_NAMES
from lowbeam.recognize import Recognizer
from lowbeam.scale import FACE_SIDE, resample

EVERY_S = 10.0  # between the faces of a row of the sheet
PART = 1024  # faces in memory at a time


def check_corpus(rendered: str, real: str, of_rendered: str, of_real: str, sheet: Path) -> dict[str, Any]:
    """Scores on the test splits of two corpora, each by a model that was trained on the other alone, every face by
    itself at full size; and a `sheet` of the rendered people (PNG).

    `of_rendered` and `of_real` are models that were trained on rendered people and on real faces. Returns
    ``{"checks": [{"trained_on", "tested_on", "scores"}]}``. Raises `CorpusError`, `ModelError` or `OutputError`.
    """
    if sheet.suffix.lower() != ".png":
        raise UsageError(f"{sheet}: a sheet is written as .png")
    checks = []
    for model, corpus, trained_on in ((of_real, rendered, real), (of_rendered, real, rendered)):
        faces, recognizer = load_faces(corpus, "test"), Recognizer(model)
        parts = [
            recognizer(resample(np.asarray(faces.pixels[start : start + PART]), FACE_SIDE))
            for start in range(0, len(faces), PART)
        ]
        affect = np.stack([np.concatenate([getattr(p, name) for p in parts]) for name in AFFECT_NAMES], 1)
        checks.append({
            "trained_on": f"{corpus_name(trained_on)} train", "tested_on": f"{corpus_name(corpus)} test",
            "scores": scores(affect, None, faces.affect),
        })  # fmt: skip
    _draw_sheet(rendered, sheet)
    return {"checks": checks}


def _draw_sheet(corpus: str, path: Path) -> None:
    from PIL import Image

    rows = []
    for track in tracks_of(load_faces(corpus, "test")):
        at = np.searchsorted(track.time_s, np.arange(0, track.time_s[-1], EVERY_S) + EVERY_S / 2)
        at = np.minimum(at, len(track) - 1)
        rows.append(np.concatenate(list(np.asarray(track.pixels[at])), 1))
    width = min(row.shape[1] for row in rows)
    with whole_file(path) as beside:
        Image.fromarray(np.concatenate([row[:, :width] for row in rows])).save(beside)
