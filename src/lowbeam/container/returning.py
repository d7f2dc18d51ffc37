"""Consecutive face streams on one pipe, read as one; a restarted encoder side produces them."""

import logging
import time
from collections.abc import Iterator
from dataclasses import replace
from types import TracebackType

from lowbeam.container.layout import EBML_MAGIC
from lowbeam.container.reader import FaceStreamReader
from lowbeam.errors import StreamError
from lowbeam.face import Face
from lowbeam.media.inputs import PipeInput
from lowbeam.media.stopping import StopOnSignal

DOC_TYPE = b"\x42\x82\x88matroska"  # the DocType element of an EBML header
HEADER_BYTES = 64  # within which the DocType is found

log = logging.getLogger(__name__)


class StreamSplitter(PipeInput):
    """A pipe that ends where another Matroska file begins; `go_on` continues with that file."""

    def __init__(self, pipe: PipeInput) -> None:
        self.name, self.head = pipe.name, pipe.head
        self._pipe = pipe
        self._is_at_start = True
        self._is_split = False

    def wake_by(self, wake_fd: int | None) -> None:
        """As for the underlying pipe."""
        self._pipe.wake_by(wake_fd)

    def go_on(self) -> bool:
        """Continue with the next file; returns whether there is one."""
        found, self._is_split, self._is_at_start = self._is_split, False, True
        return found

    def read(self, size: int) -> bytes:
        """Up to `size` bytes of the current file; empty at its end."""
        if self._is_split:
            return b""
        data = self._pipe.read(size)
        at = _candidate(data, 1 if self._is_at_start else 0)
        self._is_at_start = self._is_at_start and not data
        if at == 0:
            while len(data) < HEADER_BYTES and (more := self._pipe.read(HEADER_BYTES)):
                data += more
            if data.startswith(EBML_MAGIC) and DOC_TYPE in data[:HEADER_BYTES]:
                self._pipe.unread(data)
                self._is_split = True
                return b""
            at = _candidate(data, 1)
        end = min(size, len(data) if at is None else at)
        self._pipe.unread(data[end:])
        return data[:end]


def _candidate(data: bytes, first: int) -> int | None:
    """Where an EBML header may begin in `data`, from `first` on, possibly incomplete; None if nowhere."""
    at = data.find(EBML_MAGIC, first)
    if at >= 0:
        return at
    tails = (len(data) - n for n in (3, 2, 1) if len(data) - n >= first and data.endswith(EBML_MAGIC[:n]))
    return next(tails, None)


class ReturningReader:
    """Reads the consecutive face streams of a pipe as one, with the interface of `FaceStreamReader`. Times continue
    across streams and include the pauses between them; attributes are those of the current stream. If a later stream
    cannot be opened, reading ends there, as for a stream that was cut."""

    def __init__(self, pipe: PipeInput, primary_only: bool = False) -> None:
        self._splitter = StreamSplitter(pipe)
        self._primary_only = primary_only
        self._stop = StopOnSignal()
        with self._stop.closed_on_error():
            self._reader = FaceStreamReader(self._splitter, primary_only, self._stop)
        self._pipe = pipe
        self._offset_s = 0.0  # added to the times of the current stream
        self._broke_off_s: float | None = None  # set if a later stream cannot be opened
        self.name, self.is_live = pipe.name, True

    def __enter__(self) -> "ReturningReader":
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._reader.__exit__(kind, error, trace)
        self._stop.close()
        self._pipe.close()

    @property
    def size(self) -> tuple[int, int]:
        """Width and height of the source in pixels."""
        return self._reader.size

    @property
    def fps(self) -> float:
        """Approximate frame rate in frames per second."""
        return self._reader.fps

    @property
    def may_change(self) -> bool:
        """Whether scale and frame rate can change."""
        return self._reader.may_change

    @property
    def has_layers(self) -> bool:
        """Whether a face can come in several layers."""
        return self._reader.has_layers

    @property
    def cut_at_s(self) -> float | None:
        """The time in seconds, over all streams, at which the last stream was cut; None if it is complete."""
        if self._broke_off_s is not None:
            return self._broke_off_s
        return None if self._reader.cut_at_s is None else self._reader.cut_at_s + self._offset_s

    @property
    def is_stopped(self) -> bool:
        """Whether a signal ended the streams."""
        return self._stop.stopped

    def __iter__(self) -> Iterator[Face]:
        last_s, arrived_s = 0.0, time.monotonic()
        while True:
            is_first = True
            for face in self._reader:
                if is_first and self._offset_s:
                    self._offset_s = last_s + max(1 / self.fps, time.monotonic() - arrived_s) - face.time_s
                is_first = False
                last_s, arrived_s = face.time_s + self._offset_s, time.monotonic()
                yield replace(face, time_s=last_s)
            self._drain()
            if self.is_stopped or not self._splitter.go_on() or not self._begin_next(last_s):
                return

    def _drain(self) -> None:
        """Skip the rest of a damaged stream, up to the next."""
        while not self.is_stopped and self._splitter.read(65536):
            pass

    def _begin_next(self, last_s: float) -> bool:
        """Open the next stream, after `last_s`; returns whether it can be read."""
        log.warning("%s: another face stream follows after %.2f s; reading continues with it", self.name, last_s)
        self._reader.__exit__(None, None, None)
        try:
            self._reader = FaceStreamReader(self._splitter, self._primary_only, self._stop)
        except StreamError as error:  # the faces before are valid
            if not self.is_stopped:
                log.warning("%s", error)
                self._broke_off_s = last_s
            return False
        self._offset_s = last_s + 1 / self.fps
        return True
