"""What every sink is: it is written to as estimates come, and closed at the end."""

import os
from collections.abc import Sequence
from contextlib import AbstractContextManager
from types import TracebackType

from lowbeam.faces import FrameFaces
from lowbeam.files import whole_file
from lowbeam.trace import Estimate, Provenance


class Sink(AbstractContextManager["Sink"]):
    """Where estimates go. A context manager: when the block ends `close` has been called, or what was begun is gone."""

    def write(self, seen: FrameFaces, estimates: Sequence[Estimate]) -> None:
        """Take the estimates of the faces of a frame, in the order of the faces. Raises `OutputError`."""
        raise NotImplementedError

    def close(self, provenance: Provenance) -> None:
        """Finish; `provenance` says where the estimates came from. Raises `OutputError`."""
        raise NotImplementedError

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        pass


class WholeFileSink(Sink):
    """A sink whose file appears whole when it is closed, and else not at all: `_beside` is where it is written."""

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self._path = path
        self._whole = whole_file(path)
        self._beside = self._whole.__enter__()
        self._is_open = True

    def _publish(self) -> None:
        self._is_open = False
        self._whole.__exit__(None, None, None)

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self._is_open:
            self._is_open = False
            unfinished = error or GeneratorExit()  # closed early, without an error: no file either
            self._whole.__exit__(type(unfinished), unfinished, trace)
