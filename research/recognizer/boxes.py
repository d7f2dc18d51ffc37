"""How far the boxes of the face detector are from the framing of labelled stills, on which recognizers are trained."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from lowbeam.corpora.choose import corpus_name, load_labelled
from lowbeam.errors import CorpusError
from lowbeam.faces import YunetDetector
from lowbeam.progress import Progress
from lowbeam.scale import FACE_SIDE

MARGIN = 64  # pixels that are added on each side, of the picture's border: a face fills its still
MEASURES = ("right", "down", "larger")


def measure_boxes(corpora: Sequence[str], *, split: str = "valid", progress: Progress | None = None) -> dict[str, Any]:
    """Detect the face of each still of `corpora`.

    Returns ``{"split", "corpora": {name: {"faces", "found", "mean", "std", "deciles"}}}``: the mean, the standard
    deviation, and the first and last decile of the displacement of the box's centre to the right and down, in sides of
    the still, and of the logarithm of the ratio of the sides. Raises `UsageError`, or `CorpusError` if a corpus cannot
    be read or no face of it is found.
    """
    detector, found = YunetDetector(), {}
    for corpus in corpora:
        faces = load_labelled(corpus, split).faces()
        rows = []
        for number, face in enumerate(faces):
            boxes = [one.box for one in detector(np.pad(face, MARGIN, mode="edge"))]
            if boxes:
                box = max(boxes, key=lambda box: box.side)
                right, down = ((place - MARGIN) / FACE_SIDE - 0.5 for place in box.centre)
                rows.append((right, down, float(np.log(box.side / FACE_SIDE))))
            if progress is not None:
                progress(number + 1, len(faces))
        if not rows:
            raise CorpusError(f"{corpus}: no face of its split {split} is found")
        table = np.array(rows)
        deciles = np.percentile(table, (10, 90), axis=0).T.round(4).tolist()
        found[corpus_name(corpus)] = {
            "faces": len(faces), "found": len(rows),
            "mean": dict(zip(MEASURES, table.mean(0).round(4).tolist(), strict=True)),
            "std": dict(zip(MEASURES, table.std(0).round(4).tolist(), strict=True)),
            "deciles": dict(zip(MEASURES, deciles, strict=True)),
        }  # fmt: skip
    return {"split": split, "corpora": found}
