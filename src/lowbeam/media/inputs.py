"""The kinds of source: a path, a camera, a URL or a pipe."""

import os
import re
import select
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from lowbeam.errors import SourceError, reason

VIDEO_SUFFIXES = (  # of files in a folder that are taken for videos
    ".3gp", ".avi", ".flv", ".m2ts", ".m4v", ".mkv", ".mov", ".mp4", ".mpeg", ".mpg", ".mts", ".ogv", ".ts", ".webm",
    ".wmv",
)  # fmt: skip
HEAD_BYTES = 1024  # of a pipe, from which its kind is detected
CHUNK = 65536  # bytes
STDIN_NAME = "standard input"
CREDENTIALS = re.compile(r"^([a-z0-9+.-]+://)[^/@]*@", re.IGNORECASE)


class PipeInput:
    """A pipe, read by its file descriptor without seeking.

    `head` is its first `HEAD_BYTES` bytes, or fewer if `is_enough` accepts them; `read` returns them again. `close`
    closes the descriptor if it is `owned`.
    """

    def __init__(
        self, fd: int, name: str, is_enough: Callable[[bytes], bool] = lambda head: False, owned: bool = False
    ) -> None:
        self.name = name
        self._fd, self._owned = fd, owned
        self._wake_fd: int | None = None
        head = b""
        while len(head) < HEAD_BYTES and not is_enough(head):
            part = os.read(fd, HEAD_BYTES - len(head))
            if not part:
                break
            head += part
        self.head = self._waiting = head

    def wake_by(self, wake_fd: int | None) -> None:
        """From now on, `read` returns the end of the pipe once `wake_fd` is readable."""
        self._wake_fd = wake_fd

    def read(self, size: int) -> bytes:
        """Up to `size` bytes, as soon as any are available; empty at the end."""
        if self._waiting:
            data, self._waiting = self._waiting[:size], self._waiting[size:]
            return data
        if self._wake_fd is not None and self._wake_fd in _readable(self._fd, self._wake_fd):
            return b""
        return os.read(self._fd, min(size, CHUNK))

    def close(self) -> None:
        """Close the descriptor if it is owned."""
        if self._owned:
            self._owned = False
            os.close(self._fd)

    def unread(self, data: bytes) -> None:
        """Put `data` back; it is read next."""
        self._waiting = data + self._waiting


def _readable(*fds: int) -> list[int]:
    """Wait until at least one of `fds` can be read or has ended; returns those."""
    if not hasattr(select, "poll"):
        return select.select(fds, [], [])[0]
    poll = select.poll()
    for fd in fds:
        poll.register(fd, select.POLLIN)
    return [fd for fd, _ in poll.poll()]


Source = str | os.PathLike[str] | PipeInput


def name_of(source: Source) -> str:
    """The name of `source` for messages; a URL without user name and password."""
    if isinstance(source, PipeInput):
        return source.name
    return CREDENTIALS.sub(r"\1", os.fspath(source)) if is_url(source) else os.fspath(source)


def is_url(source: Source) -> bool:
    """Whether `source` is read over the network."""
    return not isinstance(source, PipeInput) and "://" in os.fspath(source)


def opened(source: str | os.PathLike[str], is_enough: Callable[[bytes], bool] = lambda head: False) -> Source:
    """`source` itself, or a `PipeInput` if it is ``-`` or a named pipe. Raises `SourceError`."""
    if os.fspath(source) == "-":
        try:
            return PipeInput(sys.stdin.fileno(), STDIN_NAME, is_enough)
        except OSError as error:  # in a notebook
            raise SourceError(f"{STDIN_NAME} cannot be read here: {reason(error)}") from error
    path = Path(source)
    with suppress(OSError, ValueError):  # an invalid path is reported when it is opened
        if path.is_fifo():
            return PipeInput(os.open(path, os.O_RDONLY), os.fspath(source), is_enough, owned=True)
    return source
