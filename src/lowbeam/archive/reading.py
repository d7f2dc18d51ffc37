"""Reads recordings into the dataset, one by one, in a process of its own; long ones in spans."""

import hashlib
import os
import shutil
import tempfile
import zipfile
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from statistics import median

import numpy as np

from lowbeam.archive.dataset import Dataset
from lowbeam.archive.outcome import Outcome
from lowbeam.archive.records import About, Failure, Key
from lowbeam.archive.rows import SIDE, TIME, Rows, read_rows
from lowbeam.archive.sources import CHECK_ADDRESS, file_system, is_remote
from lowbeam.archive.spans import Join, Span, joined, spans_of
from lowbeam.errors import LowbeamError, NoFaceError, OutputError, SourceError, StreamError, UsageError, reason
from lowbeam.estimator import Estimator
from lowbeam.faces import YunetDetector
from lowbeam.pipeline.options import FacesChoice, Section
from lowbeam.pipeline.sources import FaceSource, open_faces
from lowbeam.recognize import model_path
from lowbeam.trace import Trace

BLOCK = 1 << 20  # bytes
STATES = "size", "ETag", "etag", "mtime", "LastModified", "updated", "created"  # as file systems of fsspec tell
ADVICE: dict[type, str] = {
    NoFaceError: "check that a face is seen, upright and at least 20 pixels wide",
    StreamError: "pack the recording again",
    SourceError: "check that a player shows it; `ffmpeg -i IN -c copy OUT` repairs some files",
    LowbeamError: "run `lowbeam read` on it",
}

AGAIN = "run the command again"
KILLED_ADVICE = "it may need more memory than there is, or break a decoder; run `lowbeam read` on it"


@dataclass(frozen=True)
class Settings:
    """How recordings are read: the options of `lowbeam.read`."""

    model: str
    faces: FacesChoice
    fps: float
    expressions: bool = False

    def digest(self) -> str:
        """A hash of these settings and of the model's file. Raises `ModelError`."""
        found = hashlib.blake2b(model_path(self.model).read_bytes(), digest_size=16)
        found.update(repr((Path(self.model).name, self.faces, self.fps, self.expressions)).encode())
        return found.hexdigest()


class Reading:
    """Reads recordings into `dataset`; the model and the detector are loaded for the first. With `retry_failed` also
    those are read that failed before."""

    def __init__(self, dataset: Dataset, settings: Settings, retry_failed: bool) -> None:
        self._dataset, self._settings, self._retry_failed = dataset, settings, retry_failed
        self._digest = settings.digest()
        self._model = Path(settings.model).name

    def read(self, source: str) -> Outcome | list[Span]:
        """Read a recording, unless it was read before; of a long one, the spans that are to be read. Raises
        `OutputError`, for what no other recording escapes."""
        fingerprint = ""
        try:
            fingerprint = fingerprint_of(source)
            if done := self._done(source, fingerprint):
                return done
            with local_copy(source) as path:
                key = Key(content_of(path), self._digest)
                before = self._dataset.part(source, self._model)
                if before is not None and before.key == key:
                    return _kept(before)
                with self._opened(path, self._settings.faces, Section(fps=self._settings.fps)) as opened:
                    if spans := spans_of(source, fingerprint, key, opened.seekable_s):
                        self._dataset.delete_failure(source, self._model)
                        return spans
                    rows = read_rows(opened, self._loaded, self._settings.expressions)
            return self._finished(source, key, fingerprint, rows)
        except OutputError:
            raise
        except Exception as error:
            return self._failed_by(source, error, fingerprint)

    def read_span(self, span: Span) -> Outcome | Span:
        """Read a span of a recording, unless it was read before; the outcome of the recording if it fails. Raises
        `OutputError`."""
        try:
            if self._rows_of(span) is None:
                with (
                    local_copy(span.source) as path,
                    self._opened(path, "all", span.section(self._settings.fps)) as opened,
                ):
                    rows = read_rows(opened, self._loaded, self._settings.expressions)
                self._dataset.write_span(span.source, self._model, span.name, rows.to_bytes())
            return span
        except OutputError:
            raise
        except Exception as error:
            return self._failed_by(span.source, error, span.fingerprint)

    def join(self, join: Join) -> Outcome | list[Span]:
        """Join the spans of a recording; returns them if they are to be read again. Raises `OutputError`."""
        first = join.spans[0]
        try:
            before = self._dataset.part(join.source, self._model)
            if before is not None and before.key == first.key:  # by another run, which deleted the spans
                return _kept(before)
            if fingerprint_of(join.source) != first.fingerprint:
                return self.failed(join.source, f"{join.source} changed while it was read", AGAIN, first.fingerprint)
            parts = [rows for span in join.spans if (rows := self._rows_of(span)) is not None]
            if len(parts) < len(join.spans):  # another run deleted them
                return [*join.spans]
            return self._finished(join.source, first.key, first.fingerprint, joined(parts, self._settings.faces))
        except OutputError:
            raise
        except Exception as error:
            return self._failed_by(join.source, error, first.fingerprint)

    def _rows_of(self, span: Span) -> Rows | None:
        """What was read of a span; None if nothing was, or the file is damaged."""
        data = self._dataset.span(span.source, self._model, span.name)
        try:
            return None if data is None else Rows.from_bytes(data)
        except (OSError, ValueError, KeyError, zipfile.BadZipFile):
            return None

    def _failed_by(self, source: str, error: Exception, fingerprint: str) -> Outcome:
        if isinstance(error, LowbeamError):
            return self.failed(source, str(error), _advice(error), fingerprint)
        what = "does not exist" if isinstance(error, FileNotFoundError) else f"cannot be read: {reason(error)}"
        advice = CHECK_ADDRESS if is_remote(source) else ADVICE[SourceError]
        return self.failed(source, f"{source} {what}", advice, fingerprint)

    def failed(self, source: str, error: str, advice: str, fingerprint: str = "") -> Outcome:
        """Write down that a recording could not be read."""
        line = " ".join(error.split())
        self._dataset.write_failure(Failure(source, self._model, line, advice, self._digest, fingerprint))
        return Outcome(source, "failed", error=line, advice=advice)

    def killed(self, source: str, error: str) -> Outcome:
        """Write down that a recording killed the processes that read it."""
        try:
            fingerprint = fingerprint_of(source)
        except Exception:  # it is gone
            fingerprint = ""
        return self.failed(source, error, KILLED_ADVICE, fingerprint)

    def _done(self, source: str, fingerprint: str) -> Outcome | None:
        """What became of the recording in an earlier run, if its file has not changed since."""
        part = self._dataset.part(source, self._model)
        if part is not None and (part.fingerprint, part.key.settings) == (fingerprint, self._digest):
            return _kept(part)
        failure = None if self._retry_failed else self._dataset.failure(source, self._model)
        if failure is not None and (failure.fingerprint, failure.settings) == (fingerprint, self._digest):
            return Outcome(source, "failed", error=failure.error, advice=failure.advice)
        return None

    def _opened(
        self, path: str, faces: FacesChoice, section: Section
    ) -> AbstractContextManager[FaceSource]:  # fmt: skip
        return open_faces(path, lambda: self._detector, faces, section)

    @cached_property
    def _loaded(self) -> Estimator:
        return Estimator(self._settings.model, 1, expressions=self._settings.expressions)

    @cached_property
    def _detector(self) -> YunetDetector:
        return YunetDetector(1)

    def _finished(self, source: str, key: Key, fingerprint: str, rows: Rows) -> Outcome:
        """Write the part of a recording. Raises `NoFaceError` or `OutputError`."""
        if not len(rows.estimates):
            raise NoFaceError(f"{source} shows no face")
        trace = Trace.from_table(rows.estimates, source=source, model=self._model, cut_at_s=rows.cut_at_s)
        times_s = rows.times_s
        usual_s = median(np.diff(times_s)) if len(times_s) > 1 else 0.0
        duration_s = round(float(times_s[-1] + usual_s), 3)
        share = len(np.unique(rows.estimates[:, TIME])) / len(times_s)
        light = None if np.isnan(rows.light).all() else round(float(np.nanmedian(rows.light)), 1)
        about = About(
            source, self._model, key, fingerprint, duration_s,
            None if rows.point is not None else round(duration_s * share, 3), len(trace.faces()), len(trace),
            round(float(np.median(rows.estimates[:, SIDE])), 1), light, *rows.size, rows.point, rows.cut_at_s,
        )  # fmt: skip
        self._dataset.write_part(trace, about)
        return Outcome(source, "read", about.estimates, about.duration_s)


def _kept(about: About) -> Outcome:
    return Outcome(about.source, "kept", about.estimates, about.duration_s)


def _advice(error: LowbeamError) -> str:
    return next(text for kind, text in ADVICE.items() if isinstance(error, kind))


def fingerprint_of(source: str) -> str:
    """What the file system tells of the state of a file. Raises `OSError`, or what fsspec raises."""
    if is_remote(source):
        fs, path = file_system(source)
        info = fs.info(path)
        return repr([info.get(name) for name in STATES])
    found = os.stat(source)  # noqa: PTH116
    return f"{found.st_size} {found.st_mtime_ns}"


@contextmanager
def local_copy(source: str) -> Iterator[str]:
    """The path of a file; of a remote one, a copy that is deleted afterwards."""
    if not is_remote(source):
        yield source
        return
    fs, path = file_system(source)
    with tempfile.TemporaryDirectory(prefix="lowbeam-") as folder:
        copy = Path(folder) / Path(path).name
        with fs.open(path, "rb") as remote, copy.open("wb") as file:
            shutil.copyfileobj(remote, file, BLOCK)
        yield str(copy)


def content_of(path: str) -> str:
    """The BLAKE2 hash of a file, 16 bytes in hexadecimal."""
    with open(path, "rb") as file:  # noqa: PTH123
        return hashlib.file_digest(file, lambda: hashlib.blake2b(digest_size=16)).hexdigest()


# Of a process.

_reading: Reading | None = None


def begin(place: str, settings: Settings, retry_failed: bool) -> None:
    """Begin a process that reads recordings into the dataset at `place`."""
    global _reading  # noqa: PLW0603  (a process has one)
    try:
        dataset = Dataset(place, create=False)
    except UsageError as error:  # on another machine of a cluster
        raise UsageError(f"{error} where it is to be read: name a folder that all machines share, or a URL") from error
    _reading = Reading(dataset, settings, retry_failed)


Job = str | Span | Join


def work(job: Job) -> Outcome | list[Span] | Span:
    """Do a job in a process that has begun: read a recording or a span, or join spans."""
    assert _reading is not None
    if isinstance(job, Span):
        return _reading.read_span(job)
    return _reading.join(job) if isinstance(job, Join) else _reading.read(job)
