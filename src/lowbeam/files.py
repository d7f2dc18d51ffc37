"""Outputs that appear complete or not at all, and locks between processes."""

import atexit
import os
import re
import secrets
import stat
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

import av

from lowbeam.errors import OutputError, UsageError, reason

UNFINISHED = re.compile(r"\.lowbeam-[0-9a-f]{12}(\..*)?")  # names of files that are being written
_unfinished: set[Path] = set()  # those of this process
_swept: set[Path] = set()  # folders in which this process has deleted the files of killed runs


class Pipe:
    """A binary output that cannot seek; `size` counts the bytes written."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self.size = 0

    def write(self, data: bytes) -> int:
        """Write `data` and flush. Returns the number of bytes."""
        self._file.write(data)
        self._file.flush()
        self.size += len(data)
        return len(data)


def make_folder(path: str | os.PathLike[str]) -> Path:
    """Create the folder `path` and its parents if they do not exist. Raises `OutputError`."""
    folder = Path(path)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except (OSError, ValueError) as error:
        raise OutputError(f"{folder} cannot be created: {reason(error)}") from error
    return folder


@contextmanager
def whole_file(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Yield a temporary path to write to. When the block ends it replaces `path` and keeps the mode of the file that it
    replaces; if the block fails it is deleted. A device such as ``/dev/null`` is written to directly.

    Temporary files that a killed run left in the folder are deleted. Raises `OutputError` if `path` cannot be written
    or the disk is full.
    """
    if is_device(path):
        yield Path(path)
        return
    try:
        target = Path(os.path.realpath(path))
        if target.is_dir():
            raise OutputError(f"{path} is a folder; name a file in it")
        _sweep(target.parent)
        beside, fd = _unfinished_file(target)
    except (OSError, ValueError) as error:
        raise OutputError(f"{path} cannot be written: {reason(error)}") from error
    try:
        yield beside
        if target.exists():
            beside.chmod(stat.S_IMODE(target.stat().st_mode))
        beside.replace(target)
    except BrokenPipeError:  # of another output, a pipe that was closed
        raise
    except (OSError, av.FFmpegError) as error:
        raise OutputError(f"{path} cannot be written: {reason(error)}") from error
    finally:
        _delete(beside)
        os.close(fd)


def _unfinished_file(target: Path) -> tuple[Path, int]:
    """A new file beside `target`, and a descriptor that holds a lock on it until this process ends."""
    while True:
        beside = target.with_name(f".lowbeam-{secrets.token_hex(6)}{target.suffix}")
        _unfinished.add(beside)
        fd = os.open(beside, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o666)
        if _try_lock(fd) and os.fstat(fd).st_nlink:  # not deleted by another process before it was locked
            return beside, fd
        os.close(fd)


def _delete(beside: Path) -> None:
    with suppress(FileNotFoundError):
        beside.unlink()
    _unfinished.discard(beside)


@atexit.register
def _delete_unfinished() -> None:
    """Delete what is left if a signal came while a file was opened or deleted."""
    for beside in list(_unfinished):
        with suppress(OSError):
            _delete(beside)


def _sweep(folder: Path) -> None:
    """Delete unfinished files that no process holds a lock on."""
    if folder in _swept:
        return
    _swept.add(folder)
    with suppress(OSError):
        for left in [entry for entry in os.scandir(folder) if UNFINISHED.fullmatch(entry.name)]:
            with suppress(OSError):
                fd = os.open(left.path, os.O_RDWR)
                try:
                    if _try_lock(fd) and sys.platform != "win32":
                        os.unlink(left.path)  # noqa: PTH108
                finally:
                    os.close(fd)


def _try_lock(fd: int) -> bool:
    """Lock an open file; returns False if another process holds the lock, True if the system has no such locks."""
    try:
        import fcntl
    except ImportError:  # Windows
        return True
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:  # a file system without locks
        return True
    return True


@contextmanager
def binary_output(path: str | os.PathLike[str]) -> Iterator[Path | Pipe]:
    """Yield where to write bytes: a `Pipe` for standard output (``-``), a FIFO or a device, otherwise the temporary
    path of `whole_file`. Raises `OutputError`."""
    if os.fspath(path) == "-":
        yield Pipe(sys.stdout.buffer)
    elif is_device(path):
        try:
            file = Path(path).open("wb")  # noqa: SIM115  (closed below)
        except OSError as error:
            raise OutputError(f"{path} cannot be written: {reason(error)}") from error
        with file:
            yield Pipe(file)
    else:
        with whole_file(path) as beside:
            yield beside


def check_outputs(source: str | os.PathLike[str], *outputs: str | os.PathLike[str] | None) -> None:
    """Check outputs before the work begins; an output of None is skipped. Raises `UsageError` if two outputs, or an
    output and the source, are the same file, `OutputError` if an output cannot be written."""
    taken = {os.path.realpath(source): "the source"}
    for output in outputs:
        if output is None or os.fspath(output) == "-":
            continue
        place = os.path.realpath(output)
        if place in taken and not is_device(output):
            raise UsageError(f"{output} is {taken[place]} too; name another file")
        taken[place] = "another output"
        if not is_device(output):
            with suppress(_Tried), whole_file(output):
                raise _Tried


class _Tried(Exception):  # noqa: N818
    """Leaves `whole_file` without writing, once it is known that the output can be written."""


def is_device(path: str | os.PathLike[str]) -> bool:
    """Whether `path` exists and is neither a regular file nor a folder: a device, a FIFO or a pipe."""
    try:
        mode = os.stat(path).st_mode  # noqa: PTH116  (`path` may be an invalid path)
    except (OSError, ValueError):
        return False
    return not stat.S_ISREG(mode) and not stat.S_ISDIR(mode)


@contextmanager
def exclusive(path: Path, wait: bool) -> Iterator[bool]:
    """Hold an exclusive lock on the file `path`; yields whether it was acquired. With `wait` it waits for other
    processes. The system releases the lock when this process ends.

    Raises `OutputError` if the file cannot be created or the file system has no locks.
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
