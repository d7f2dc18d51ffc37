"""Agreement with labels at every scale, of what ships and of its peers, on the same faces in the same run."""

from pathlib import Path
from typing import Any

from lowbeam.corpora import ferplus
from lowbeam.evaluate.fer_peer import FerPeer, fer_model_path
from lowbeam.evaluate.table import Reader, lowbeam_reader, measure
from lowbeam.recognize import Recognizer, shipped_models
from lowbeam.scale import FACE_SIDE, resample
from research.peers.npm import NpmPeer


def accuracy(corpus: Path, peers: dict[str, NpmPeer]) -> dict[str, Any]:
    """Scores of all systems at each scale on FER+ test."""
    labelled = ferplus.load(corpus, "test")
    systems: dict[str, Reader] = {f"lowbeam {model}": lowbeam_reader(Recognizer(model)) for model in shipped_models()}
    if fer_model_path() is not None:
        systems["fer"] = _without_deviation(FerPeer())
    systems |= {name: _without_deviation(peer) for name, peer in peers.items()}
    return {"corpus": "FER+", "split": "test", "faces": len(labelled), "systems": measure(labelled, systems)}


def enlarged(corpus: Path) -> dict[str, Any]:
    """Scores of `fer` on FER+ test where faces are enlarged to 96 px by bicubic interpolation before it gets them."""
    labelled, peer = ferplus.load(corpus, "test"), FerPeer()
    systems: dict[str, Reader] = {"fer, faces enlarged first": lambda faces: (peer(resample(faces, FACE_SIDE)), None)}
    return {"corpus": "FER+", "split": "test", "faces": len(labelled), "systems": measure(labelled, systems)}


def _without_deviation(peer: FerPeer | NpmPeer) -> Reader:
    return lambda faces: (peer(faces), None)
