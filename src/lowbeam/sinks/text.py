"""Writes CSV and JSON Lines: one line per estimate, flushed at once for a live source."""

import io
import os
import sys
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import TextIO

from lowbeam.errors import OutputError, reason
from lowbeam.faces import FrameFaces
from lowbeam.files import is_device, whole_file
from lowbeam.sinks.sink import Sink
from lowbeam.trace import Estimate, Provenance
from lowbeam.trace.store import TextFormat, csv_format, json_lines_format, side_file, write_side_file

STDOUT = "-"


class _TextSink(Sink):
    """Rows to `path`, or to standard output (``-``). With `live` each row is flushed at once and kept in any case;
    otherwise the file appears complete when it is closed. Raises `OutputError`."""

    def __init__(self, path: str | os.PathLike[str], form: TextFormat, *, live: bool) -> None:
        self._path, self._form, self._live = path, form, live
        self._name = "standard output" if os.fspath(path) == STDOUT else os.fspath(path)
        self._stack = ExitStack()
        self._file = self._opened()
        if self._form.heading:
            self._append(self._form.heading)

    def _opened(self) -> TextIO:
        if os.fspath(self._path) == STDOUT:
            return sys.stdout if self._live else io.StringIO()
        if self._live:
            try:
                side_file(self._path).unlink(missing_ok=True)  # that of the previous file
                return self._stack.enter_context(Path(self._path).open("w", newline=""))
            except (OSError, ValueError) as error:
                raise OutputError(f"{self._name} cannot be written: {reason(error)}") from error
        beside = self._stack.enter_context(whole_file(self._path))
        return self._stack.enter_context(beside.open("w", newline=""))

    def write(self, seen: FrameFaces, estimates: Sequence[Estimate]) -> None:
        """Write a line for each estimate."""
        self._append("".join(map(self._form.line, estimates)))

    def _append(self, text: str) -> None:
        try:
            self._file.write(text)
            if self._live:
                self._file.flush()
        except BrokenPipeError:
            raise
        except OSError as error:
            raise OutputError(f"{self._name} cannot be written: {reason(error)}") from error

    def close(self, provenance: Provenance) -> None:
        """Finish the file and write its provenance beside it."""
        if isinstance(self._file, io.StringIO):
            text, self._file, self._live = self._file.getvalue(), sys.stdout, True
            self._append(text)
        self._stack.close()
        if os.fspath(self._path) != STDOUT and not is_device(self._path):
            write_side_file(self._path, provenance)

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._stack.__exit__(kind, error, trace)


class CsvSink(_TextSink):
    """Estimates as CSV, floats to 4 decimals."""

    def __init__(self, path: str | os.PathLike[str], *, live: bool, expressions: bool = False) -> None:
        super().__init__(path, csv_format(expressions), live=live)


class JsonLinesSink(_TextSink):
    """Estimates as JSON Lines, one object per line, floats to 4 decimals."""

    def __init__(self, path: str | os.PathLike[str], *, live: bool, expressions: bool = False) -> None:
        super().__init__(path, json_lines_format(expressions), live=live)
