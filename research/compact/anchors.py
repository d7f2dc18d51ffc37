"""The plain anchor for learned features: a recognizer cut in two, the tensor between its parts quantised linearly and
deflated, as in the simplest anchors of MPEG's feature coding for machines.

Each face is coded by itself and sent in a packet of its own; the second part estimates each face by itself.
"""

import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast, get_args

import numpy as np
from numpy.typing import NDArray

from lowbeam.codec.trip import sent_rows
from lowbeam.codec.wire import rtp_bytes
from lowbeam.corpora.choose import corpus_name
from lowbeam.corpora.labelled import Affect, Track
from lowbeam.errors import UsageError
from lowbeam.evaluate.curve.pseudo_truth import Truth, scored_tracks
from lowbeam.evaluate.curve.score import DIGITS, filled_in
from lowbeam.metrics import AFFECT_NAMES, ccc
from lowbeam.progress import Progress
from lowbeam.recognize import MAX_BATCH, Recognizer, model_path
from research.compact.cut_model import features_of, grid_of, part_of, stage_cuts

MODELS = ("accurate", "fast")
BITS = (8, 4)
FRAME_RATES = (5.0, 2.5, 1.0, 0.5)
DEFLATE_LEVEL = 9
Floats = NDArray[np.float32]


def quantised(tensor: Floats, bits: int) -> tuple[bytes, Floats]:
    """The deflated codes of `tensor`, quantised to 2 ** `bits` (1 to 8) levels between its minimum and maximum, which
    are sent before them as two float32 numbers; and the tensor as it is received. A code takes a byte before deflation,
    also with fewer bits."""
    low, high = tensor.min(), tensor.max()
    step = (high - low) / np.float32(2**bits - 1)
    codes = np.rint((tensor - low) / step if step > 0 else np.zeros_like(tensor)).astype(np.uint8)
    sent = np.array([low, high], np.float32).tobytes() + codes.tobytes()
    return zlib.compress(sent, DEFLATE_LEVEL), low + codes.astype(np.float32) * step


@dataclass(frozen=True)
class _Coded:
    """What is received of the faces at `rows` of a track: `sizes`, int64 (n,), in bytes, and estimates (n, 2)."""

    rows: NDArray[np.int64]
    sizes: NDArray[np.int64]
    affect: Affect


def measure_corpora(
    corpora: Sequence[str], truths: Sequence[str], *, split: str = "test", models: Sequence[str] = MODELS,
    seconds: float | None = None, cache: str | Path | None = None, progress: Progress | None = None,
) -> dict[str, Any]:  # fmt: skip
    """Results of `measure_feature_anchors` for each of `corpora` with its truth, as ``{"corpora": [...]}``. Raises what
    that raises, and `UsageError` unless there is a truth for each, ``labels`` or ``self``."""
    if len(truths) != len(corpora) or not set(truths) <= set(get_args(Truth)):
        raise UsageError(f"each corpus needs its truth, {' or '.join(get_args(Truth))}")
    given = zip(corpora, cast(Sequence[Truth], truths), strict=True)
    return {
        "corpora": [
            measure_feature_anchors(
                corpus, truth=truth, split=split, models=models, seconds=seconds, cache=cache, progress=progress
            )
            for corpus, truth in given
        ]
    }


def measure_feature_anchors(
    corpus: str, *, truth: Truth = "labels", split: str = "test", models: Sequence[str] = MODELS,
    seconds: float | None = None, cache: str | Path | None = None, progress: Progress | None = None,
) -> dict[str, Any]:  # fmt: skip
    """Send features of the faces in a split of `corpus` (``KIND:PATH``), cut from `models` at each depth, and compare
    the estimates with the labels or, with `truth` ``self``, with the same model's estimates of the uncoded faces, each
    by itself. Of every recording the first `seconds` are used, by default all.

    Returns results ready for JSON: ``uncoded``, the CCC of each model without coding, and ``rows``, by model, cut, bits
    and frames per second: numbers of the tensor, mean bytes of a face, bits per second on the wire (RTP), and the CCC
    over all frames, with each estimate held (``hold``) or joined by straight lines (``linear``). Raises `UsageError`,
    `CorpusError`, `ModelError` or `OutputError`.
    """
    tracks = [_first(track, seconds) for track in scored_tracks(corpus, split, truth, cache, progress)]
    uncoded, rows = {}, []
    jobs = [(model, cut, bits) for model in models for cut in stage_cuts(model) for bits in BITS]
    for model, cut, bits in jobs:
        if model not in uncoded:
            own = [_each_by_itself(track, Recognizer(model)) for track in tracks]
            truths = own if truth == "self" else [track.affect for track in tracks]
            uncoded[model] = _ccc(own, truths)
        anchor = _Anchor(model, cut, bits)
        coded = [anchor.send(track) for track in tracks]
        rows += [anchor.about | _score(tracks, coded, truths, fps) for fps in FRAME_RATES]
        if progress is not None:
            progress(len(rows) // len(FRAME_RATES), len(jobs))
    return {
        "corpus": corpus_name(corpus), "split": split, "truth": truth, "recordings": len(tracks),
        "seconds": round(sum(map(_duration_s, tracks)), 2), "uncoded": uncoded, "rows": rows,
    }  # fmt: skip


class _Anchor:
    """A model that is cut at the tensor `cut`, whose numbers are sent with `bits` each."""

    def __init__(self, model: str, cut: str, bits: int) -> None:
        self._cut, self._bits, self._grid = cut, bits, grid_of(model_path(model))
        self._front = part_of(model, ["faces", "resample"], [cut])
        self._back = part_of(model, [cut], ["affect"])
        self._shape: tuple[int, ...] = ()
        self._about = {"model": model, "cut": cut, "bits": bits}

    @property
    def about(self) -> dict[str, Any]:
        """Model, cut, bits, and the shape of the tensor, known after the first track."""
        return self._about | {"shape": list(self._shape)}

    def send(self, track: Track) -> _Coded:
        """The faces of `track` that are sent at any of the frame rates."""
        rows = np.unique(np.concatenate([sent_rows(track.time_s, fps) for fps in FRAME_RATES]))
        sizes, affect = [], []
        for start in range(0, len(rows), MAX_BATCH):
            faces = np.asarray(track.pixels[rows[start : start + MAX_BATCH]])
            coded = [quantised(face, self._bits) for face in features_of(self._front, self._cut, faces, self._grid)]
            received = np.stack([tensor for _, tensor in coded])
            self._shape = received.shape[1:]
            sizes += [len(data) for data, _ in coded]
            affect.append(self._back.run(["affect"], {self._cut: received})[0])
        return _Coded(rows, np.array(sizes, np.int64), np.concatenate(affect))


def _score(tracks: list[Track], coded: list[_Coded], truths: list[Affect], fps: float) -> dict[str, Any]:
    sent = [np.isin(c.rows, sent_rows(track.time_s, fps)) for track, c in zip(tracks, coded, strict=True)]
    sizes = [c.sizes[rows] for c, rows in zip(coded, sent, strict=True)]
    bits = 8 * sum(map(rtp_bytes, sizes))
    found = {
        how: _ccc(
            [
                filled_in(track.time_s[c.rows[rows]], c.affect[rows], track.time_s, how)
                for track, c, rows in zip(tracks, coded, sent, strict=True)
            ],
            truths,
        )
        for how in ("hold", "linear")
    }
    return {
        "fps": fps, "face_bytes": round(float(np.concatenate(sizes).mean()), 1),
        "bps": round(bits / sum(map(_duration_s, tracks)), 1), **found,
    }  # fmt: skip


def _first(track: Track, seconds: float | None) -> Track:
    if seconds is None:
        return track
    end = max(2, int(np.searchsorted(track.time_s, track.time_s[0] + seconds)))
    return Track(track.number, track.time_s[:end], track.pixels[:end], track.affect[:end], track.box[:end])


def _each_by_itself(track: Track, recognizer: Recognizer) -> Affect:
    found = recognizer(np.asarray(track.pixels))
    return np.stack([found.valence, found.arousal], 1)


def _duration_s(track: Track) -> float:
    """Seconds, including the last face, which lasts the median interval."""
    return float(track.time_s[-1] - track.time_s[0] + np.median(np.diff(track.time_s)))


def _ccc(found: list[Affect], truths: list[Affect]) -> dict[str, float]:
    estimates, truth = np.concatenate(found), np.concatenate(truths)
    return {name: round(ccc(estimates[:, i], truth[:, i]), DIGITS) for i, name in enumerate(AFFECT_NAMES)}
