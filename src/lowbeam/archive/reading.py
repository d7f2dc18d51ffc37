"""Reads one recording into the dataset, in a process of its own."""

import hashlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import numpy as np

from lowbeam.archive.dataset import About, Dataset, Failure, Key
from lowbeam.archive.outcome import Outcome
from lowbeam.archive.sources import file_system, is_remote
from lowbeam.errors import LowbeamError, NoFaceError, SourceError, StreamError, reason
from lowbeam.estimator import Estimator
from lowbeam.faces import YunetDetector
from lowbeam.pipeline.estimate import BATCH, estimates_of
from lowbeam.pipeline.fuse import fused
from lowbeam.pipeline.options import FacesChoice, Section
from lowbeam.pipeline.sources import open_faces
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

KILLED_ADVICE = "it may need more memory than there is, or break a decoder; run `lowbeam read` on it"


@dataclass(frozen=True)
class Settings:
    """How recordings are read: `model`, `faces` and `fps` as of `lowbeam.read`."""

    model: str
    faces: FacesChoice
    fps: float

    def digest(self) -> str:
        """A hash of these settings and of the model's file. Raises `ModelError`."""
        found = hashlib.blake2b(model_path(self.model).read_bytes(), digest_size=16)
        found.update(repr((Path(self.model).name, self.faces, self.fps)).encode())
        return found.hexdigest()


class Reading:
    """Reads recordings into `dataset`; the model and the detector are loaded for the first. With `retry_failed` also
    those are read that failed before."""

    def __init__(self, dataset: Dataset, settings: Settings, retry_failed: bool) -> None:
        self._dataset, self._settings, self._retry_failed = dataset, settings, retry_failed
        self._digest = settings.digest()
        self._model = Path(settings.model).name
        self._detector: YunetDetector | None = None
        self._estimator: Estimator | None = None

    def read(self, source: str) -> Outcome:
        """Read a recording, unless it was read before. Raises `OutputError`, for what no other recording escapes."""
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
                trace, about = self._estimated(path, source, key, fingerprint)
        except LowbeamError as error:
            return self.failed(source, str(error), _advice(error), fingerprint)
        except Exception as error:
            return self.failed(source, f"{source} cannot be read: {reason(error)}", ADVICE[SourceError], fingerprint)
        self._dataset.write_part(trace, about)
        return Outcome(source, "read", about.estimates, about.duration_s)

    def failed(self, source: str, error: str, advice: str, fingerprint: str = "") -> Outcome:
        """Write down that a recording could not be read."""
        line = " ".join(error.split())
        self._dataset.write_failure(Failure(source, self._model, line, advice, self._digest, fingerprint))
        return Outcome(source, "failed", error=line, advice=advice)

    def killed(self, source: str, error: str) -> Outcome:
        """Write down that a recording killed the processes that read it."""
        return self.failed(source, error, KILLED_ADVICE, fingerprint_of(source))

    def _done(self, source: str, fingerprint: str) -> Outcome | None:
        """What became of the recording in an earlier run, if its file has not changed since."""
        part = self._dataset.part(source, self._model)
        if part is not None and (part.fingerprint, part.key.settings) == (fingerprint, self._digest):
            return _kept(part)
        failure = None if self._retry_failed else self._dataset.failure(source, self._model)
        if failure is not None and (failure.fingerprint, failure.settings) == (fingerprint, self._digest):
            return Outcome(source, "failed", error=failure.error, advice=failure.advice)
        return None

    def _estimated(self, path: str, source: str, key: Key, fingerprint: str) -> tuple[Trace, About]:
        estimator = self._estimator = self._estimator or Estimator(self._settings.model, 1)
        section = Section(fps=self._settings.fps)
        rows, times_s, seen_s = [], [], []
        with open_faces(path, self._make_detector, self._settings.faces, section) as opened:
            for frame, found in fused(estimates_of(opened, estimator, BATCH, keep_frames=False)):
                rows += found
                times_s.append(frame.time_s)
                if found:
                    seen_s.append(frame.time_s)
            if not rows:
                raise NoFaceError(f"{source} shows no face")
            (width, height), point, cut_at_s = opened.size, opened.point, opened.cut_at_s
        trace = Trace.from_estimates(rows, source=source, model=self._model, cut_at_s=cut_at_s)
        usual_s = median(np.diff(times_s)) if len(times_s) > 1 else 0.0
        duration_s = round(float(times_s[-1] + usual_s), 3)
        face_s = None if point is not None else round(float(duration_s * len(seen_s) / len(times_s)), 3)
        return trace, About(
            source, self._model, key, fingerprint, duration_s, face_s, len(trace.faces()), len(trace), width, height,
            point, cut_at_s,
        )  # fmt: skip

    def _make_detector(self) -> YunetDetector:
        self._detector = self._detector or YunetDetector(1)
        return self._detector


def _kept(about: About) -> Outcome:
    return Outcome(about.source, "kept", about.estimates, about.duration_s)


def _advice(error: LowbeamError) -> str:
    return next(text for kind, text in ADVICE.items() if isinstance(error, kind))


def fingerprint_of(source: str) -> str:
    """What the file system tells of the state of a file. Raises `OSError`, or what fsspec raises."""
    if is_remote(source):
        fs, path = file_system(source)
        info = fs.info(path)
        return repr(
            [info.get(name) for name in ("size", "ETag", "etag", "mtime", "LastModified", "updated", "created")]
        )
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
    _reading = Reading(Dataset(place), settings, retry_failed)


def read(source: str) -> Outcome:
    """Read a recording in a process that has begun."""
    assert _reading is not None
    return _reading.read(source)
