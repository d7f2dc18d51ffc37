"""The dataset of an archive: a folder of Parquet files, local or at any place that fsspec writes to.

- ``estimates/ID.parquet``: the trace of one recording by one model, with the columns `SCHEMA`. What else is known of it
  is in the file's metadata. ``pandas.read_parquet("traces/estimates")`` is the whole dataset.
- ``failures/ID.json``: why a recording could not be read.
- ``spans/ID-KEY-NUMBERofCOUNT.npz``: what was read of a long recording, until all of it was.
- ``recordings.parquet`` and ``failures.parquet``: the same as tables, written anew at the end of a run.
- ``lowbeam-dataset.json``: the version of this layout.

Each file appears whole or not at all, and nothing in them tells when or by which machine they were written, so that
runs which are interrupted, repeated or at work at the same time leave the same files as a single one.
"""

import hashlib
import io
import json
import os
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

from lowbeam.archive.records import About, Failure, Key
from lowbeam.archive.sources import file_system
from lowbeam.archive.tables import estimates_schema, failures_table, printable, recordings_table
from lowbeam.errors import LowbeamError, OutputError, UsageError, reason
from lowbeam.files import make_folder, whole_file
from lowbeam.trace import COLUMNS, Trace
from lowbeam.trace.store import arrow

VERSION, MARK = 1, "lowbeam-dataset.json"
PARTS, FAILURES, SPANS = "estimates", "failures", "spans"
ABOUT = b"lowbeam"  # key of a part's metadata


class Dataset:
    """The dataset at `place`, a folder or a URL of fsspec, which is created if it does not exist, unless `create` is
    false. Raises `UsageError` if it is one of another version or not a dataset, or a package is missing; `OutputError`
    if it cannot be written."""

    def __init__(self, place: str | os.PathLike[str], *, create: bool = True) -> None:
        self.place = os.fspath(place)
        arrow()
        done = "written" if create else "read"
        with self._reported(done):
            self._fs, self._root = file_system(self.place)
        self._is_local = "file" in ((self._fs.protocol,) if isinstance(self._fs.protocol, str) else self._fs.protocol)
        with self._reported(done):
            if not create and not self._fs.exists(self._path(MARK)):
                raise UsageError(f"{self.place} is not a dataset of lowbeam batch")
            if self._is_local and create:
                make_folder(self._path(PARTS))
                make_folder(self._path(FAILURES))
            self._check_version()

    def _path(self, *names: str) -> str:
        return "/".join([self._root.rstrip("/"), *names])

    def _reported(self, done: str = "written") -> "_Reported":
        return _Reported(self.place, done)

    def _check_version(self) -> None:
        mark = self._path(MARK)
        if not self._fs.exists(mark):
            self._write(mark, (json.dumps({"version": VERSION}) + "\n").encode())
            return
        try:
            version = json.loads(self._fs.cat_file(mark))["version"]
        except (ValueError, TypeError, KeyError):
            version = "?"
        if version != VERSION:
            raise UsageError(f"{self.place} is a dataset of version {version}, this one is {VERSION}; name another")

    def _write(self, path: str, data: bytes) -> None:
        if self._is_local:
            with whole_file(path) as beside:
                beside.write_bytes(data)
        else:
            self._fs.pipe_file(path, data)

    # Parts.

    def write_part(self, trace: Trace, about: About) -> None:
        """Write the trace of a recording; it is no failure any more. Raises `OutputError`."""
        pyarrow, parquet = arrow()
        told = (("recording", printable(about.source)), ("model", printable(about.model)))
        names = {name: [value] * len(trace) for name, value in told}
        schema = estimates_schema(trace.has_expressions)
        schema = schema.with_metadata({ABOUT: json.dumps(asdict(about), sort_keys=True)})
        buffer = io.BytesIO()
        parquet.write_table(pyarrow.table(trace.columns | names, schema=schema), buffer, compression="zstd")
        with self._reported():
            self._write(self._part_of(about.source, about.model), buffer.getvalue())
            self._delete(self._failure_of(about.source, about.model))

    def part(self, source: str, model: str) -> About | None:
        """What is known of a recording that was read; None if there is no sound part of it."""
        try:
            return self._about(self._part_of(source, model))
        except (OSError, ValueError, TypeError, KeyError):
            return None

    def _about(self, path: str) -> About:
        parquet = arrow()[1]
        with self._fs.open(path, "rb") as file:
            schema = parquet.read_schema(file)
        found = json.loads(schema.metadata[ABOUT])
        return About(**found | {"key": Key(**found["key"])})

    # Failures.

    def write_failure(self, failure: Failure) -> None:
        """Write why a recording could not be read. What an earlier run read of it is deleted, since it has changed,
        unless it could not even be found. Raises `OutputError`."""
        with self._reported():
            data = json.dumps(asdict(failure), sort_keys=True) + "\n"
            self._write(self._failure_of(failure.source, failure.model), data.encode())
            if failure.fingerprint:
                self._delete(self._part_of(failure.source, failure.model))

    def delete_failure(self, source: str, model: str) -> None:
        """A recording is read again, and is no failure until that fails. Raises `OutputError`."""
        with self._reported():
            self._delete(self._failure_of(source, model))

    def failure(self, source: str, model: str) -> Failure | None:
        """Why a recording could not be read; None if that is not known."""
        try:
            return Failure(**json.loads(self._fs.cat_file(self._failure_of(source, model))))
        except (OSError, ValueError, TypeError):
            return None

    def _delete(self, path: str) -> None:
        if self._fs.exists(path):
            try:
                self._fs.rm_file(path)
            except FileNotFoundError:  # another run was faster
                return

    # Spans.

    def write_span(self, source: str, model: str, name: str, data: bytes) -> None:
        """Write what was read of the span `name` of a recording. Raises `OutputError`."""
        path = self._span_of(source, model, name)
        with self._reported():
            try:
                self._write_span(path, data)
            except OutputError:  # another run has just deleted the empty folder
                self._write_span(path, data)

    def _write_span(self, path: str, data: bytes) -> None:
        if self._is_local:
            make_folder(self._path(SPANS))
        self._write(path, data)

    def span(self, source: str, model: str, name: str) -> bytes | None:
        """What was read of a span; None if nothing was."""
        try:
            found: bytes = self._fs.cat_file(self._span_of(source, model, name))
        except OSError:
            return None
        return found

    def delete_spans(self) -> None:
        """Delete the spans of recordings that are read as a whole or failed. Raises `OutputError`."""
        with self._reported():
            for path in [*self._files(SPANS, ".npz")]:
                name, key = Path(path).name.split("-")[:2]
                if self._fs.exists(self._path(FAILURES, f"{name}.json")) or self._is_read(name, key):
                    self._delete(path)
            if self._is_local:
                with suppress(OSError):  # another run is at work, or there is none
                    self._fs.rmdir(self._path(SPANS))

    def _is_read(self, name: str, key: str) -> bool:
        """Whether the part `name` is of the content and settings whose digest is `key`."""
        try:
            return self._about(self._path(PARTS, f"{name}.parquet")).key.digest() == key
        except (OSError, ValueError, TypeError, KeyError):
            return False

    def _span_of(self, source: str, model: str, name: str) -> str:
        return self._path(SPANS, f"{_id(source, model)}-{name}.npz")

    # Tables.

    def write_tables(self) -> None:
        """Write ``recordings.parquet`` and ``failures.parquet``. A part that is not of this program is a failure of its
        own. Raises `OutputError`."""
        with self._reported():
            read, damaged = self._parts()
            failed = sorted([*damaged, *self.failures()], key=lambda one: (one.source, one.model))
            self._write(self._path("recordings.parquet"), recordings_table(read))
            self._write(self._path("failures.parquet"), failures_table(failed))

    def recordings(self) -> list[About]:
        """What is known of the recordings that were read, by source and model. Raises `OutputError`."""
        with self._reported("read"):
            return self._parts()[0]

    def failures(self) -> list[Failure]:
        """Why recordings could not be read, by source and model. Raises `OutputError`."""
        found = []
        with self._reported("read"):
            for path in self._files(FAILURES, ".json"):
                with suppress(OSError, ValueError, TypeError):
                    found.append(Failure(**json.loads(self._fs.cat_file(path))))
        return sorted(found, key=lambda one: (one.source, one.model))

    def columns(self, about: About) -> dict[str, Any]:
        """The columns of a recording's trace, as of `Trace.columns`. Raises `OutputError` if it is gone."""
        with self._reported("read"), self._fs.open(self._part_of(about.source, about.model), "rb") as file:
            table = arrow()[1].read_table(file, columns=list(COLUMNS))
        return {name: table[name].to_numpy() for name in COLUMNS}

    def _parts(self) -> tuple[list[About], list[Failure]]:
        """What is known of the recordings that were read, and files that are no parts."""
        read, damaged = [], []
        for path in self._files(PARTS, ".parquet"):
            try:
                read.append(self._about(path))
            except FileNotFoundError:
                continue
            except (OSError, ValueError, TypeError, KeyError):
                damaged.append(Failure(path, "", f"{path} is damaged, or not of this dataset", "delete it", "", ""))
        return sorted(read, key=lambda one: (one.source, one.model)), damaged

    def _files(self, folder: str, suffix: str) -> Iterator[str]:
        place = self._path(folder)
        self._fs.invalidate_cache()  # other processes write, too
        found = self._fs.ls(place, detail=False) if self._fs.exists(place) else []
        return (path for path in sorted(found) if path.endswith(suffix) and not Path(path).name.startswith("."))

    def _part_of(self, source: str, model: str) -> str:
        return self._path(PARTS, f"{_id(source, model)}.parquet")

    def _failure_of(self, source: str, model: str) -> str:
        return self._path(FAILURES, f"{_id(source, model)}.json")


class _Reported:
    """Turns the errors of a file system into `OutputError`."""

    def __init__(self, place: str, done: str) -> None:
        self._place, self._done = place, done

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: type | None, error: BaseException | None, trace: object) -> None:
        if isinstance(error, Exception) and not isinstance(error, LowbeamError):
            raise OutputError(f"{self._place} cannot be {self._done}: {reason(error)}") from error


def _id(source: str, model: str) -> str:
    return hashlib.blake2b(f"{model}\0{source}".encode("utf-8", "surrogateescape"), digest_size=10).hexdigest()
