"""Outputs that appear whole or not at all."""

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

import av

from lowbeam.errors import OutputError
from lowbeam.media import reason


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


@contextmanager
def whole_file(path: str | os.PathLike) -> Iterator[Path]:
    """Write to the path that this yields: it becomes `path` when the block ends, and is gone when the block fails.

    Raises `OutputError` where `path` cannot be written, or the disk is full.
    """
    target = Path(path)
    if target.is_dir():
        raise OutputError(f"{target} is a folder; name a file in it")
    try:
        handle, name = tempfile.mkstemp(suffix=target.suffix, prefix=f".{target.stem}-", dir=target.parent)
    except OSError as error:
        raise OutputError(f"{target} cannot be written: {reason(error)}") from error
    os.close(handle)
    beside = Path(name)
    try:
        yield beside
        umask = os.umask(0)
        os.umask(umask)
        beside.chmod(0o666 & ~umask)  # mkstemp makes files that only their owner may read
        beside.replace(target)
    except (OSError, av.FFmpegError) as error:
        raise OutputError(f"{target} cannot be written: {reason(error)}") from error
    finally:
        with suppress(FileNotFoundError):
            beside.unlink()
