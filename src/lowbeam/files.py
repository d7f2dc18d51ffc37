"""Outputs that appear whole or not at all."""

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

import av

from lowbeam.errors import OutputError, UsageError, reason


class Pipe:
    """A binary file that is only written to, never sought; `size` counts its bytes."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self.size = 0

    def write(self, data: bytes) -> int:
        """Pass `data` on at once."""
        self._file.write(data)
        self._file.flush()
        self.size += len(data)
        return len(data)


def make_folder(path: str | os.PathLike) -> Path:
    """Make a folder, and those above it, where it is not there. Raises `OutputError`."""
    folder = Path(path)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except (OSError, ValueError) as error:
        raise OutputError(f"{folder} cannot be made: {reason(error)}") from error
    return folder


@contextmanager
def whole_file(path: str | os.PathLike) -> Iterator[Path]:
    """Write to the path that this yields: it becomes `path` when the block ends, and is gone when the block fails. What
    is no regular file, such as ``/dev/null``, is written to directly.

    Raises `OutputError` where `path` cannot be written, or the disk is full.
    """
    try:
        target = Path(os.path.realpath(path))
        if target.is_dir():
            raise OutputError(f"{path} is a folder; name a file in it")
        if target.exists() and not target.is_file():
            yield target
            return
        beside = target.with_name(f".lowbeam-{secrets.token_hex(6)}{target.suffix}")
        beside.touch(exist_ok=False)
    except (OSError, ValueError) as error:
        raise OutputError(f"{path} cannot be written: {reason(error)}") from error
    try:
        yield beside
        beside.replace(target)
    except (OSError, av.FFmpegError) as error:
        raise OutputError(f"{path} cannot be written: {reason(error)}") from error
    finally:
        with suppress(FileNotFoundError):
            beside.unlink()


def check_outputs(source: str | os.PathLike, *outputs: str | os.PathLike | None) -> None:
    """Before work is done for nothing: raise `UsageError` where two outputs, or an output and the source, are the same
    file, and `OutputError` where an output cannot be written. An output that is None is not asked for."""
    taken = {os.path.realpath(source): "the source"}
    for output in outputs:
        if output is None or os.fspath(output) == "-":
            continue
        place = os.path.realpath(output)
        if place in taken and not _is_device(place):
            raise UsageError(f"{output} is {taken[place]} too; name another file")
        taken[place] = "another output"
        if not _is_device(place):
            with suppress(_Tried), whole_file(output):
                raise _Tried


class _Tried(Exception):  # noqa: N818
    """That an output could be written, had there been anything to write."""


def _is_device(path: str) -> bool:
    return Path(path).exists() and not Path(path).is_file() and not Path(path).is_dir()


@contextmanager
def exclusive(path: Path, wait: bool) -> Iterator[bool]:
    """Hold the file at `path` against other processes: yields whether it is ours, after waiting for it or at once. The
    system lets go of it when this process ends, in whatever way.

    Raises `OutputError` where it cannot be made, or the file system has no locks.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        file = path.open("w")
    except OSError as error:
        raise OutputError(f"{path} cannot be written: {reason(error)}") from error
    with file:
        yield _lock(file.fileno(), wait, path)


def _lock(file: int, wait: bool, path: Path) -> bool:
    try:
        import fcntl
    except ImportError:  # Windows: one process at a time
        return True
    try:
        fcntl.flock(file, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
    except BlockingIOError:
        return False
    except OSError as error:
        raise OutputError(f"{path} cannot be locked: {reason(error)}") from error
    return True
