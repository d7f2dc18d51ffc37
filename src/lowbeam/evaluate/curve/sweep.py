"""The sweep: every operating point over every recording, in several processes, with results cached."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from lowbeam.codec import OperatingPoint, available_codecs
from lowbeam.corpora.cache import default_cache
from lowbeam.corpora.choose import corpus_name, load_faces
from lowbeam.corpora.labelled import Affect, Track, tracks_of
from lowbeam.errors import CodecError, StreamError
from lowbeam.evaluate.curve.compact_run import compact_result, is_compact
from lowbeam.evaluate.curve.grid import Grid, by_run
from lowbeam.evaluate.curve.pseudo_truth import Truth, scored_tracks
from lowbeam.evaluate.curve.run import RunCache, RunResult, digest_of
from lowbeam.evaluate.curve.score import score
from lowbeam.evaluate.curve.systems import Readers, System
from lowbeam.pool import shared
from lowbeam.progress import Progress
from lowbeam.scale import FACE_SIDE, shrink, side_of

Points = tuple[OperatingPoint, ...]
RESULTS_VERSION = 1
ONE_THREAD = ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS")  # each process uses one core


@dataclass(frozen=True)
class _Job:
    """One recording at points that differ only in frame rate; without points, uncoded at `scale`."""

    recording: int
    scale: int
    points: Points = ()


@dataclass(frozen=True)
class _Work:
    """What each process is given."""

    corpus: str
    split: str
    faces_cache: Path | None
    runs: Path
    systems: list[System]


def sweep(
    corpus: str, grid: Grid, systems: list[System], *, split: str = "test", truth: Truth = "labels",
    cache: str | Path | None = None, workers: int | None = None, ray: str | None = None,
    progress: Progress | None = None,
) -> dict[str, Any]:  # fmt: skip
    """Measure `systems` at every point of `grid` on the recordings of a split of `corpus` (``KIND:PATH``), against
    their labels or, with `truth` ``self``, against the estimates of each system for the uncoded faces.

    Coded faces and estimates are cached in the folder `cache` (default: ``~/.cache/lowbeam``). `progress` counts
    recordings, then jobs (a recording at the points that differ in frame rate). Returns results ready for JSON:
    ``points``, each with its rates in bits per second and, by system, its scores; ``uncoded``, scores by system and
    scale without a codec; ``failed``, points that could not be measured, with the reason.

    `workers` and `ray` are those of `lowbeam.pool.shared`; the machines of a cluster must share the disk of the corpus
    and the cache. Raises `UsageError`, `CorpusError`, `ModelError` or `OutputError`.
    """
    tracks = scored_tracks(corpus, split, truth, cache, progress)
    runs = (Path(cache) if cache is not None else default_cache()) / "curve"
    work = _Work(corpus, split, None if cache is None else Path(cache), runs, systems)
    missing = {codec for codec, there in available_codecs().items() if not there} & set(grid.codecs)
    coded = [points for points in by_run(grid.points()) if points[0].codec not in missing]
    jobs = [_Job(n, points[0].scale, points) for points in coded for n in range(len(tracks))]
    jobs += [_Job(n, scale) for scale in dict.fromkeys((1, *grid.scales)) for n in range(len(tracks))]
    # Largest faces first, so that no process has much left when the others finish.
    jobs.sort(key=lambda job: (job.scale, not job.points))
    done, failed = _run(jobs, work, workers, ray, progress)
    truths = {system.name: _truths(done[None, 1], tracks, system.name, truth) for system in systems}
    failed |= {point: "this FFmpeg lacks the codec" for point in grid.points() if point.codec in missing}
    return {
        "version": RESULTS_VERSION, "corpus": corpus_name(corpus), "split": split, "truth": truth,
        "recordings": len(tracks),
        "seconds": round(sum(float(t.time_s[-1] - t.time_s[0]) for t in tracks), 2),
        "systems": {system.name: system.model for system in systems},
        "uncoded": {
            system.name: {
                str(scale): found
                for scale in dict.fromkeys((1, *grid.scales))
                if (found := score(done[None, scale], tracks, system.name, truths[system.name])) is not None
            }
            for system in systems
        },
        "points": [
            _point(point, done[point, point.scale], tracks, systems, truths)
            for point in grid.points() if (point, point.scale) in done and point not in failed
        ],
        "failed": [{"point": str(point), "reason": reason} for point, reason in failed.items()],
    }  # fmt: skip


def _truths(uncoded: list[RunResult], tracks: list[Track], system: str, truth: Truth) -> list[Affect]:
    if truth == "labels" or any(system not in result.readings for result in uncoded):
        return [track.affect for track in tracks]
    return [result.readings[system] for result in uncoded]


Done = dict[tuple[OperatingPoint | None, int], list[RunResult]]


def _run(
    jobs: list[_Job], work: _Work, workers: int | None, ray: str | None, progress: Progress | None
) -> tuple[Done, dict[OperatingPoint, str]]:
    found: dict[tuple[OperatingPoint | None, int], dict[int, RunResult]] = {}
    failed: dict[OperatingPoint, str] = {}
    with _one_thread_each():
        for count, (job, results) in enumerate(shared(_do, jobs, workers, _begin, work, ray=ray), 1):
            for point, result in zip(job.points or (None,), results, strict=True):
                if point is not None and isinstance(result, str):
                    failed[point] = result
                elif isinstance(result, RunResult):
                    found.setdefault((point, job.scale), {})[job.recording] = result
            if progress is not None:
                progress(count, len(jobs))
    return {key: [parts[n] for n in sorted(parts)] for key, parts in found.items()}, failed


@contextmanager
def _one_thread_each() -> Iterator[None]:
    before = {name: os.environ.get(name) for name in ONE_THREAD}
    os.environ.update(dict.fromkeys(ONE_THREAD, "1"))
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


class _Worker:
    """The state of a process."""

    def __init__(self, work: _Work) -> None:
        self.tracks = tracks_of(load_faces(work.corpus, work.split, cache=work.faces_cache))
        self.digests = [digest_of(track) for track in self.tracks]
        self.readers, self.cache, self.systems = Readers(work.systems), RunCache(work.runs), work.systems


_worker: list[_Worker] = []  # of this process


def _begin(work: _Work) -> None:
    _worker[:] = [_Worker(work)]


def _do(job: _Job) -> list[RunResult | str]:
    """The results of the job, in the order of its points; for a point that the codec refuses, the reason."""
    worker = _worker[0]
    track, digest = worker.tracks[job.recording], worker.digests[job.recording]
    lr = shrink(np.asarray(track.pixels), job.scale)
    results: list[RunResult | str] = []
    for point in job.points or (None,):
        try:
            if point is not None and is_compact(point):
                results.append(compact_result(track, point, worker.systems))
                continue
            results.append(worker.cache.result(track, digest, point, job.scale, lr, worker.readers, worker.systems))
        except (CodecError, StreamError) as error:  # this point only; other errors concern all points
            results.append(str(error))
    return results


def _point(
    point: OperatingPoint,
    results: list[RunResult],
    tracks: list[Track],
    systems: list[System],
    truths: dict[str, list[Affect]],
) -> dict[str, Any]:
    seconds = sum(result.weight.duration_s for result in results)
    faces = sum(result.weight.faces for result in results)

    def rate_bps(kind: str) -> float:
        return round(8 * sum(getattr(result.weight, kind) for result in results) / seconds, 1)

    payload = sum(result.weight.payload for result in results)
    return {
        "codec": point.codec, "scale": point.scale, "side": side_of(point.scale), "qp": point.qp, "fps": point.fps,
        "faces": faces, "payload_bps": rate_bps("payload"), "container_bps": rate_bps("container"),
        "rtp_bps": rate_bps("rtp"), "tls_bps": rate_bps("tls"),
        "bits_per_pixel": round(8 * payload / (faces * FACE_SIDE**2), 6),
        "scores": {
            system.name: found
            for system in systems if (found := score(results, tracks, system.name, truths[system.name])) is not None
        },
    }  # fmt: skip
