"""Agreement of `fer` with labels where faces are enlarged before it gets them."""

from pathlib import Path
from typing import Any

from lowbeam.corpora import ferplus
from lowbeam.evaluate.fer_peer import FerPeer
from lowbeam.evaluate.table import Reader, measure
from lowbeam.scale import FACE_SIDE, resample


def enlarged(corpus: Path) -> dict[str, Any]:
    """Scores of `fer` on FER+ test where faces are enlarged to 96 px by bicubic interpolation before it gets them."""
    labelled, peer = ferplus.load(corpus, "test"), FerPeer()
    systems: dict[str, Reader] = {"fer, faces enlarged first": lambda faces: (peer(resample(faces, FACE_SIDE)), None)}
    return {"corpus": "FER+", "split": "test", "faces": len(labelled), "systems": measure(labelled, systems)}
