"""`batch`: many recordings, all cores, one dataset."""

import os
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from lowbeam.archive import reading
from lowbeam.archive.dataset import Dataset
from lowbeam.archive.outcome import Outcome
from lowbeam.archive.reading import Job, Reading, Settings
from lowbeam.archive.sources import find_recordings
from lowbeam.archive.spans import Join, Span
from lowbeam.errors import UsageError
from lowbeam.pipeline.options import FacesChoice, Section, check_faces
from lowbeam.pool import Killed, answered
from lowbeam.progress import Progress
from lowbeam.recognize import DEFAULT_MODEL

Path = str | os.PathLike[str]
ATTEMPTS = 3  # processes that a recording may kill


def batch(
    sources: Path | Iterable[Path], out: Path, *, workers: int | None = None, faces: FacesChoice = "primary",
    model: Path = DEFAULT_MODEL, fps: float = float("inf"), expressions: bool = False, retry_failed: bool = False,
    progress: Progress | None = None, ray: str | None = None,
) -> Iterator[Outcome]:  # fmt: skip
    """Read recordings into the Parquet dataset `out`, a folder or a URL of fsspec; yields what became of each as it
    finishes.

    `sources` are files, folders, patterns, text files with one of these per line, or URLs of fsspec. A recording that
    was read before with the same content, model and settings is kept as it is, so that a run that was ended goes on; a
    changed one is read again. One that cannot be read is a failure, is written down, and is tried again if it changes
    or with `retry_failed`; the others go on. `workers` is the number of processes (default: one per core); a recording
    that kills three of them is a failure. With `ray` they are on a Ray cluster, as in `lowbeam.pool.shared`. A video of
    20 minutes or more is read in spans of ten, side by side: times and people are those of a single reading, estimates
    differ slightly after a cut. `faces`, `model`, `fps` and `expressions` are those of `lowbeam.read`. `progress` is
    called with the number of recordings done and their total.

    Raises `UsageError`, `ModelError` or `OutputError`. ::

        for outcome in lowbeam.batch("videos/", "traces/"):
            print(outcome.source, outcome.state, outcome.error)
    """
    check_faces(faces)
    Section(fps=fps)
    if workers is not None and workers < 1:
        raise UsageError(f"workers {workers} is out of range: 1 or more")
    settings = Settings(os.fspath(model), faces, float(fps), expressions)
    dataset = Dataset(out)
    here = Reading(dataset, settings, retry_failed)
    given = [sources] if isinstance(sources, (str, os.PathLike)) else sources
    found = [*find_recordings(given)]
    if not found:
        raise UsageError("no recording is named")
    team = _Team(workers, ray)
    return _run(found, here, dataset, (dataset.place, settings, retry_failed), team, progress)


@dataclass(frozen=True)
class _Team:
    workers: int | None
    ray: str | None


def _run(
    found: list[str | Outcome], here: Reading, dataset: Dataset, given: tuple[str, Settings, bool], team: _Team,
    progress: Progress | None,
) -> Iterator[Outcome]:  # fmt: skip
    done = 0
    try:
        for outcome in _outcomes(found, here, given, team):
            done += 1
            if progress is not None:
                progress(done, len(found))
            yield outcome
    finally:  # also where the caller ends it
        dataset.delete_spans()
        dataset.write_tables()


def _outcomes(
    found: list[str | Outcome], here: Reading, given: tuple[str, Settings, bool], team: _Team
) -> Iterator[Outcome]:
    for one in found:
        if isinstance(one, Outcome):
            yield here.failed(one.source, one.error, one.advice)
    jobs = _Jobs(one for one in found if isinstance(one, str))
    results = answered(reading.work, jobs, team.workers, reading.begin, *given, attempts=ATTEMPTS, ray=team.ray)
    for job, result in results:
        source = job if isinstance(job, str) else job.source
        if isinstance(result, list):
            jobs.cut(result)
        elif isinstance(result, Span):
            jobs.have_read(result)
        elif jobs.end(source):
            if isinstance(result, Killed):
                yield here.killed(source, f"{source} killed the process that read it ({result}), {ATTEMPTS} times")
            else:
                yield result


class _Jobs:
    """The recordings to be read, and what long ones bring about: their spans, and when these are read, their join."""

    def __init__(self, sources: Iterable[str]) -> None:
        self._jobs: deque[Job] = deque(sources)
        self._spans: dict[str, list[Span]] = {}  # of long recordings: those that were read
        self._ended: set[str] = set()  # of long recordings: those of which no other span counts

    def __iter__(self) -> "_Jobs":
        return self

    def __next__(self) -> Job:
        while self._jobs:
            job = self._jobs.popleft()
            if not (isinstance(job, Span) and job.source in self._ended):
                return job
        raise StopIteration

    def cut(self, spans: list[Span]) -> None:
        """A recording is read in spans, next."""
        self._spans[spans[0].source] = []
        self._jobs.extendleft(reversed(spans))

    def have_read(self, span: Span) -> None:
        """A span was read; after the last one they are joined, next."""
        read = self._spans[span.source]
        read.append(span)
        if len(read) == span.count:
            spans = sorted(read, key=lambda one: one.number)
            self._jobs.appendleft(Join(span.source, tuple(spans)))

    def end(self, source: str) -> bool:
        """A recording ended; false if it had ended before, by the failure of another span."""
        is_first = source not in self._ended
        if source in self._spans:
            self._ended.add(source)
        return is_first
