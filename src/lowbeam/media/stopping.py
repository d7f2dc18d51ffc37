"""How a live source is ended by a signal: the source ends as if its stream did, and what was read is kept."""

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from types import FrameType
from typing import Any, NoReturn

from lowbeam.errors import Terminated

SIGNALS = tuple(getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name))
_open: list["StopOnSignal"] = []  # of this process
_before: dict[int, Any] = {}  # handlers that were taken over while any is open
_last: list[int] = []  # signals that ended live sources


def stopped_by() -> int | None:
    """The number of the signal that last ended a live source of this process; None where none did."""
    return _last[-1] if _last else None


def raise_stop() -> NoReturn:
    """Raise what the signal that ended a live source would have raised: nothing was read that could be kept."""
    number = _last.pop()
    raise KeyboardInterrupt if number == signal.SIGINT else Terminated(number)


class StopOnSignal:
    """While it is open, SIGINT, SIGTERM and SIGHUP set `stopped` and make `wake_fd` readable, and raise nothing:
    an exception inside a callback of FFmpeg would be lost there.

    Only signals that Python handles already are taken over, and only from the main thread: a process that ignores
    SIGHUP goes on ignoring it. A signal stops all that are open; a second one is handled as before.
    """

    def __init__(self) -> None:
        self.stopped = False
        self.wake_fd, self._wake_out = os.pipe()
        os.set_blocking(self._wake_out, False)
        _open.append(self)
        if not _before and threading.current_thread() is threading.main_thread():
            for number in SIGNALS:
                if callable(signal.getsignal(number)):
                    _before[number] = signal.signal(number, _on_signal)

    def stop(self) -> None:
        """End the source."""
        self.stopped = True
        with suppress(OSError):
            os.write(self._wake_out, b"\0")

    @contextmanager
    def closed_on_error(self) -> Iterator[None]:
        """Close where the block fails, as where a source cannot be opened; where a signal came, raise as for that."""
        try:
            yield
        except BaseException:
            self.close()
            if self.stopped:
                raise_stop()
            raise

    def close(self) -> None:
        """With the last that is open, handle signals as before."""
        if self not in _open:
            return
        _open.remove(self)
        os.close(self.wake_fd)
        os.close(self._wake_out)
        if not _open and threading.current_thread() is threading.main_thread():
            _restore()


def _on_signal(number: int, frame: FrameType | None) -> None:
    handler = _before.get(number)
    _restore()
    if _open:
        _last.append(number)
        for each in _open:
            each.stop()
    elif callable(handler):  # the last was closed in another thread
        handler(number, frame)


def _restore() -> None:
    while _before:
        number, handler = _before.popitem()
        signal.signal(number, handler)
