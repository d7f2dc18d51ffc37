"""The operating table that `lowbeam pack --budget` chooses from: rate control run at every scale and QP, on recordings
of real people (against their own uncoded estimates) and of rendered people (against the truth)."""

import json
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from lowbeam.codec import OperatingPoint, usual_point
from lowbeam.codec.budget import Budget
from lowbeam.codec.operating_table import Entry, Kept
from lowbeam.corpora.choose import corpus_name
from lowbeam.corpora.labelled import Track
from lowbeam.errors import SourceError, reason
from lowbeam.evaluate.curve.budget_runs import Known, run_with_budget
from lowbeam.evaluate.curve.pseudo_truth import scored_tracks, with_own_estimates
from lowbeam.evaluate.curve.score import filled_in
from lowbeam.metrics import ccc
from lowbeam.pool import shared
from lowbeam.progress import Progress
from lowbeam.recognize import Recognizer

KINDS = ("real", "rendered")
LOOK_FPS = 10.0  # frames per second at which the sender looks at the face
BUDGETS_BPS = (400, 600, 1000, 1500, 2000, 3000, 4000, 6000, 8000, 12_000, 16_000, 24_000, 32_000)
SCALES = (1, 2, 3, 4, 6, 8)
QPS = {"hevc": (22, 26, 30, 34, 38, 42), "avc": (22, 26, 30, 34, 38, 42)}
# Compact codecs choose their quality for each packet; what is left to choose is how often they look.
COMPACT_FPS = {"estimates": (10.0,), "features": (10.0, 5.0, 2.5)}
COMPACT_BUDGETS_BPS = (50, 75, 100, 150, 200, 300, 500, 800, 1000, 1500, 2000, 4000)
WIDE_QPS = (26, 32, 38, 44, 50, 56)  # of codecs whose QP goes up to 63
FACES_PER_S = (0.3, 8.0)  # rates at which a point is measured within a budget
TRIAL_BPS = 4000
MIN_KEPT = 0.1  # mean CCC under which an entry is worth nothing
GAIN = 0.002  # by which an entry must exceed that of the next lower budget


@dataclass(frozen=True)
class Corpora:
    """What is measured: `real` recordings without labels, and `rendered` people, of its split ``valid``."""

    real: str
    rendered: str


@dataclass(frozen=True)
class _Job:
    codec: str
    scale: int
    qp: int
    fps: float = LOOK_FPS


class _Worker:
    def __init__(self, corpora: Corpora, model: str) -> None:
        self.recognizer = Recognizer(model)
        self.people = {
            "real": [with_own_estimates(t, self.recognizer) for t in scored_tracks(corpora.real, "valid", "self")],
            "rendered": scored_tracks(corpora.rendered, "valid", "labels"),
        }
        self.known: dict[tuple[str, int], Known] = defaultdict(dict)

    def measure(self, job: _Job) -> Iterator[dict[str, Any]]:
        """A row for each budget that suits the point."""
        point = OperatingPoint(job.codec, job.scale, job.qp, job.fps)
        if job.codec in COMPACT_FPS:
            yield from (self._row(point, bps, KINDS) for bps in COMPACT_BUDGETS_BPS)
            return
        size = self._row(point, TRIAL_BPS, ("real",))["face_bytes"]
        for bps in BUDGETS_BPS:
            per_s = bps / 8 / Budget(bps).weigh(round(size), 0)
            if FACES_PER_S[0] <= per_s <= FACES_PER_S[1]:
                yield self._row(point, bps, KINDS)

    def _row(self, point: OperatingPoint, bps: float, kinds: tuple[str, ...]) -> dict[str, Any]:
        row: dict[str, Any] = asdict(point) | {"bps": bps}
        faces = payload = data = 0
        for kind in kinds:
            estimates, counted, seconds = [], 0, 0.0
            for track in self.people[kind]:
                rungs = [Entry(point, bps, row.get("face_bytes", bps / 16), 0.0, Kept(0.0, 0.0))]
                run = run_with_budget(track, Budget(bps), rungs, self.recognizer, self.known[kind, track.number])
                estimates.append(filled_in(run.time_s, run.affect, track.time_s, "hold"))
                faces, payload, data = faces + len(run.time_s), payload + run.payload_bytes, data + run.data_bytes
                counted, seconds = counted + run.counted_bytes, seconds + float(track.time_s[-1] - track.time_s[0])
            row[kind] = _mean_ccc(estimates, self.people[kind]) | {"used_bps": round(8 * counted / seconds, 1)}
        return row | {"face_bytes": round(payload / faces, 1), "cue_bytes": round((data - payload) / faces, 2)}


def _mean_ccc(estimates: list[Any], tracks: list[Track]) -> dict[str, float]:
    found, truth = np.concatenate(estimates), np.concatenate([track.affect for track in tracks])
    return {name: round(ccc(found[:, i], truth[:, i]), 4) for i, name in enumerate(("valence", "arousal"))}


_worker: list[_Worker] = []  # of this process


def _begin(corpora: Corpora, model: str) -> None:
    _worker[:] = [_Worker(corpora, model)]


def _measure(job: _Job) -> list[dict[str, Any]]:
    return list(_worker[0].measure(job))


def measure_points(
    corpora: Corpora, codecs: tuple[str, ...], model: str, workers: int = 1, progress: Progress | None = None
) -> dict[str, Any]:
    """Run rate control at every point and budget. Returns ``{"model", "real", "rendered", "rows"}``; a row has the
    point, the budget, the mean sizes of a face and its cues in bytes and, for both corpora, the CCC of valence and
    arousal (estimates held) and the bit rate used."""
    pixels = [codec for codec in codecs if codec not in COMPACT_FPS]
    jobs = [_Job(c, s, qp) for c in pixels for s in SCALES for qp in QPS.get(c, WIDE_QPS)]
    for codec in [codec for codec in codecs if codec in COMPACT_FPS]:
        usual = usual_point(codec)
        jobs += [_Job(codec, usual.scale, usual.qp, fps) for fps in COMPACT_FPS[codec]]
    rows: list[dict[str, Any]] = []
    for count, (_, found) in enumerate(shared(_measure, jobs, workers, _begin, corpora, model), 1):
        rows += found
        if progress is not None:
            progress(count, len(jobs))
    rows.sort(key=lambda row: (row["codec"], row["bps"], row["scale"], row["qp"]))
    return {"model": model, "real": corpus_name(corpora.real), "rendered": corpus_name(corpora.rendered), "rows": rows}


def read_points(paths: list[Path]) -> dict[str, Any]:
    """Results of `measure_points` of the same corpora and model from several files, as one. Raises `SourceError`."""
    try:
        found = [json.loads(path.read_text(encoding="utf-8")) for path in paths]
        first: dict[str, Any] = found[0]
        for path, more in zip(paths, found, strict=True):
            if any(more[name] != first[name] for name in ("model", "real", "rendered")):
                raise SourceError(f"{path} is of another model or other recordings than {paths[0]}")
        rows = [row for results in found for row in results["rows"]]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise SourceError(f"{paths[0]} is no result of operating-points: {reason(error)}") from error
    return first | {"rows": rows}


def make_operating_table(points: dict[str, Any], kinds: tuple[str, ...] = KINDS) -> dict[str, Any]:
    """The table as JSON, from `measure_points`: for each codec and budget, the point that keeps most. An entry that
    does not exceed that of the next lower budget is left out: rate control then sends more often there.

    The `kinds` of people, by default real and rendered ones, count alike: each by its mean CCC as a share of the best
    that was measured, of pixels or of compact codecs. It is averaged over neighbouring QPs and budgets, so that no
    point is chosen by chance."""
    rows = points["rows"]
    best = {
        (kind, compact): max((_mean(row, kind) for row in rows if _is_compact(row) == compact), default=1.0)
        for kind in kinds
        for compact in (False, True)
    }
    worth = {
        _key(row): sum(_mean(row, kind) / best[kind, _is_compact(row)] for kind in kinds) / len(kinds) for row in rows
    }
    entries = []
    for codec in dict.fromkeys(row["codec"] for row in rows):
        most = 0.0
        for bps in sorted({row["bps"] for row in rows if row["codec"] == codec}):
            there = [row for row in rows if row["codec"] == codec and row["bps"] == bps]
            row = max(there, key=lambda row: _smoothed(row, worth))
            if min(_mean(row, kind) for kind in KINDS) < MIN_KEPT or _smoothed(row, worth) <= most + GAIN:
                continue
            most = _smoothed(row, worth)
            settings = {name: row[name] for name in ("codec", "scale", "qp", "fps", "bps", "face_bytes", "cue_bytes")}
            entries.append(settings | {f"kept_{kind}": round(_mean(row, kind), 4) for kind in KINDS})
    return {name: points[name] for name in ("model", "real", "rendered")} | {"entries": entries}


def _is_compact(row: dict[str, Any]) -> bool:
    return row["codec"] in COMPACT_FPS


def _key(row: dict[str, Any]) -> tuple[Any, ...]:
    return row["codec"], row["bps"], row["scale"], row["qp"], row["fps"]


def _mean(row: dict[str, Any], kind: str) -> float:
    return float(np.mean([row[kind]["valence"], row[kind]["arousal"]]))


def _smoothed(row: dict[str, Any], worth: dict[tuple[Any, ...], float]) -> float:
    """The mean of `worth` over the neighbouring QPs and budgets that were measured, with weights 1, 2, 1 for each."""
    codec, bps, scale, qp, fps = _key(row)
    is_compact = codec in COMPACT_FPS
    total = weights = 0.0
    for near_qp, qp_weight in _neighbours((qp,) if is_compact else QPS.get(codec, WIDE_QPS), qp):
        for near_bps, bps_weight in _neighbours(COMPACT_BUDGETS_BPS if is_compact else BUDGETS_BPS, bps):
            found = worth.get((codec, near_bps, scale, near_qp, fps))
            if found is not None:
                total, weights = total + qp_weight * bps_weight * found, weights + qp_weight * bps_weight
    return total / weights


def _neighbours(values: tuple[int, ...], middle: int) -> list[tuple[int, int]]:
    """`middle` with its neighbours in `values`, and their weights."""
    at = values.index(middle)
    return [(values[i], 2 if i == at else 1) for i in (at - 1, at, at + 1) if 0 <= i < len(values)]
