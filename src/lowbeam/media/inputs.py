"""What a source may be: a path, a camera, a URL or a pipe."""

import os
import select
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

HEAD_BYTES = 1024  # of a pipe, by which its kind is told
CHUNK = 65536  # bytes


class PipeInput:
    """A pipe that is opened once and read but never sought, by its file descriptor.

    `head` is its first `HEAD_BYTES` bytes, or fewer where `is_enough` says so; they stay to be read.
    """

    def __init__(self, fd: int, name: str, is_enough: Callable[[bytes], bool] = lambda head: False) -> None:
        self.name = name
        self._fd = fd
        self._wake_fd: int | None = None
        head = b""
        while len(head) < HEAD_BYTES and not is_enough(head):
            part = os.read(fd, HEAD_BYTES - len(head))
            if not part:
                break
            head += part
        self.head = self._waiting = head

    def wake_by(self, wake_fd: int | None) -> None:
        """From now on a read ends the pipe once `wake_fd` is readable."""
        self._wake_fd = wake_fd

    def read(self, size: int) -> bytes:
        """Up to `size` bytes, as soon as there are any; none at the end."""
        if self._waiting:
            data, self._waiting = self._waiting[:size], self._waiting[size:]
            return data
        if self._wake_fd is not None:
            readable, _, _ = select.select([self._fd, self._wake_fd], [], [])
            if self._wake_fd in readable:
                return b""
        return os.read(self._fd, min(size, CHUNK))

    def unread(self, data: bytes) -> None:
        """Put `data` back, to be read next."""
        self._waiting = data + self._waiting


Source = str | os.PathLike | PipeInput


def name_of(source: Source) -> str:
    """What to call `source` in a message."""
    return source.name if isinstance(source, PipeInput) else os.fspath(source)


def is_url(source: Source) -> bool:
    """Whether `source` is read over the network."""
    return not isinstance(source, PipeInput) and "://" in os.fspath(source)


def opened(source: str | os.PathLike, is_enough: Callable[[bytes], bool] = lambda head: False) -> Source:
    """`source` itself, or, where it is ``-`` or a named pipe, what is read from it."""
    if os.fspath(source) == "-":
        return PipeInput(sys.stdin.fileno(), "standard input", is_enough)
    path = Path(source)
    with suppress(OSError, ValueError):  # whoever opens it says what is wrong with it
        if path.is_fifo():
            return PipeInput(os.open(path, os.O_RDONLY), os.fspath(source), is_enough)
    return source
