"""`batch`: many recordings, all cores, one dataset."""

import os
from collections.abc import Iterable, Iterator

from lowbeam.archive import reading
from lowbeam.archive.dataset import Dataset
from lowbeam.archive.outcome import Outcome
from lowbeam.archive.reading import Reading, Settings
from lowbeam.archive.sources import find_recordings
from lowbeam.errors import UsageError
from lowbeam.pipeline.options import FacesChoice, Section, check_faces
from lowbeam.pool import Killed, answered, cores
from lowbeam.progress import Progress
from lowbeam.recognize import DEFAULT_MODEL

Path = str | os.PathLike[str]
ATTEMPTS = 3  # processes that a recording may kill


def batch(
    sources: Path | Iterable[Path], out: Path, *, workers: int | None = None, faces: FacesChoice = "primary",
    model: Path = DEFAULT_MODEL, fps: float = float("inf"), retry_failed: bool = False,
    progress: Progress | None = None,
) -> Iterator[Outcome]:  # fmt: skip
    """Read recordings into the Parquet dataset `out`, a folder or a URL of fsspec; yields what became of each as it
    finishes.

    `sources` are files, folders, patterns, text files with one of these per line, or URLs of fsspec. A recording that
    was read before with the same content, model and settings is kept as it is, so that a run that was ended goes on; a
    changed one is read again. One that cannot be read is a failure, is written down, and is tried again if it changes
    or with `retry_failed`; the others go on. `workers` is the number of processes (default: one per core); a recording
    that kills three of them is a failure. `faces`, `model` and `fps` are those of `lowbeam.read`. `progress` is called
    with the number of recordings done and their total.

    Raises `UsageError`, `ModelError` or `OutputError`. ::

        for outcome in lowbeam.batch("videos/", "traces/"):
            print(outcome.source, outcome.state, outcome.error)
    """
    check_faces(faces)
    Section(fps=fps)
    if workers is not None and workers < 1:
        raise UsageError(f"workers {workers} is out of range: 1 or more")
    settings = Settings(os.fspath(model), faces, float(fps))
    dataset = Dataset(out)
    here = Reading(dataset, settings, retry_failed)
    given = [sources] if isinstance(sources, (str, os.PathLike)) else sources
    found = [*find_recordings(given)]
    if not found:
        raise UsageError("no recording is named")
    return _run(found, here, dataset, settings, retry_failed, workers or cores(), progress)


def _run(
    found: list[str | Outcome], here: Reading, dataset: Dataset, settings: Settings, retry_failed: bool, workers: int,
    progress: Progress | None,
) -> Iterator[Outcome]:  # fmt: skip
    done = 0
    try:
        for outcome in _outcomes(found, here, dataset, settings, retry_failed, workers):
            done += 1
            if progress is not None:
                progress(done, len(found))
            yield outcome
    finally:  # also where the caller ends it
        dataset.write_tables()


def _outcomes(
    found: list[str | Outcome], here: Reading, dataset: Dataset, settings: Settings, retry_failed: bool, workers: int
) -> Iterator[Outcome]:  # fmt: skip
    for one in found:
        if isinstance(one, Outcome):
            yield here.failed(one.source, one.error, one.advice)
    names = [one for one in found if isinstance(one, str)]
    given = (dataset.place, settings, retry_failed)
    for name, result in answered(
        reading.read, names, min(workers, max(len(names), 1)), reading.begin, *given, attempts=ATTEMPTS
    ):  # fmt: skip
        if isinstance(result, Killed):
            yield here.killed(name, f"{name} killed the process that read it ({result}), {ATTEMPTS} times")
        else:
            yield result
