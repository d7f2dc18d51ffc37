"""The interface of a sink: `write` for each frame, `close` at the end."""

import os
from collections.abc import Sequence
from contextlib import AbstractContextManager
from types import TracebackType

from lowbeam.faces import FrameFaces
from lowbeam.files import whole_file
from lowbeam.trace import Estimate, Provenance


class Sink(AbstractContextManager["Sink"]):
    """An output for estimates. A context manager: if its block ends before `close`, the output is
    discarded, except for rows of a live source."""

    def write(self, seen: FrameFaces, estimates: Sequence[Estimate]) -> None:
        """Write the estimates of the faces of the frame `seen`, in the order of its faces. Raises `OutputError`."""
        raise NotImplementedError

    def close(self, provenance: Provenance) -> None:
        """Finish the output; `provenance` states where the estimates came from. Raises `OutputError`."""
        raise NotImplementedError

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        pass


class WholeFileSink(Sink):
    """A sink whose file appears complete when it is closed, or not at all; `_beside` is the temporary file."""

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
            unfinished = error or GeneratorExit()  # left early, without an error: no file either
            self._whole.__exit__(type(unfinished), unfinished, trace)
