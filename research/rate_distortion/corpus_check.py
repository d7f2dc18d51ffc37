"""The validity of the rendered corpus: a model trained on real faces is tested on rendered ones, and vice versa."""

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

EVERY_S = 10.0  # seconds between the faces in a row of the sheet
PART = 1024  # faces in memory at a time


def check_corpus(rendered: str, real: str, of_rendered: str, of_real: str, sheet: Path) -> dict[str, Any]:
    """Scores on the test splits of two corpora, each with a model trained on the other corpus only, without memory and
    at full size; draws a `sheet` of the rendered faces (PNG).

    `of_rendered` and `of_real` are the models trained on rendered and on real faces. Returns
    ``{"checks": [{"trained_on", "tested_on", "scores"}]}``. Raises `UsageError` if `sheet` is not a .png file,
    `CorpusError`, `ModelError` or `OutputError`.
    """
    if sheet.suffix.lower() != ".png":
        raise UsageError(f"--sheet {sheet} must end in .png")
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
