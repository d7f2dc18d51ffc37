"""Outputs that appear whole or not at all."""

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

UNFINISHED = re.compile(r"\.lowbeam-[0-9a-f]{12}(\..*)?")  # names of outputs that are being written
_swept: set[Path] = set()  # folders that this process has rid of what killed runs left


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


def make_folder(path: str | os.PathLike[str]) -> Path:
    """Make a folder, and those above it, where it is not there. Raises `OutputError`."""
    folder = Path(path)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except (OSError, ValueError) as error:
        raise OutputError(f"{folder} cannot be made: {reason(error)}") from error
    return folder


@contextmanager
def whole_file(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Write to the path that this yields: it becomes `path`, with the mode of what it replaces, when the block ends,
    and is gone when the block fails. What is no regular file, such as ``/dev/null``, is written to directly.

    What a run that was killed has left in the folder is deleted. Raises `OutputError` where `path` cannot be written,
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
    except BrokenPipeError:  # of another output: whoever read it has gone
        raise
    except (OSError, av.FFmpegError) as error:
        raise OutputError(f"{path} cannot be written: {reason(error)}") from error
    finally:
        with suppress(FileNotFoundError):
            beside.unlink()
        os.close(fd)


def _unfinished_file(target: Path) -> tuple[Path, int]:
    """A new file beside `target`, and a descriptor by which it is locked for as long as this process lives."""
    while True:
        beside = target.with_name(f".lowbeam-{secrets.token_hex(6)}{target.suffix}")
        fd = os.open(beside, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o666)
        if _try_lock(fd) and os.fstat(fd).st_nlink:  # it was not swept before it was locked
            return beside, fd
        os.close(fd)


def _sweep(folder: Path) -> None:
    """Delete unfinished files whose process is gone: nobody holds their lock."""
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
    """Lock an open file; True too where the system has no such locks."""
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
    """Where to write bytes: a `Pipe` of standard output (``-``), a FIFO or a device; else the path of a `whole_file`.
    Raises `OutputError`."""
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
    """Before work is done for nothing: raise `UsageError` where two outputs, or an output and the source, are the same
    file, and `OutputError` where an output cannot be written. An output that is None is not asked for."""
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
    """That an output could be written, had there been anything to write."""


def is_device(path: str | os.PathLike[str]) -> bool:
    """Whether `path` is there, and neither a regular file nor a folder: a device, a FIFO, a pipe."""
    try:
        mode = os.stat(path).st_mode  # noqa: PTH116  (what is no path at all may be asked about)
    except (OSError, ValueError):
        return False
    return not stat.S_ISREG(mode) and not stat.S_ISDIR(mode)


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
