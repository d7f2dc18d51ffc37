"""Ends a live source on a signal, as if its stream had ended, so that everything read so far is kept."""

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from types import FrameType
from typing import Any, NoReturn

from lowbeam.errors import Terminated

SIGNALS = tuple(getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name))
_open: list["StopOnSignal"] = []  # instances of this process
_before: dict[int, Any] = {}  # the replaced handlers, while an instance is open
_last: list[int] = []  # signals that ended live sources


def stopped_by() -> int | None:
    """The number of the signal that last ended a live source in this process; None if there was none."""
    return _last[-1] if _last else None


def raise_stop() -> NoReturn:
    """Raise `KeyboardInterrupt` or `Terminated` for the signal that ended a live source, if nothing was read to
    keep."""
    number = _last.pop()
    raise KeyboardInterrupt if number == signal.SIGINT else Terminated(number)


class StopOnSignal:
    """While it is open, SIGINT, SIGTERM and SIGHUP set `stopped` and make `wake_fd` readable instead of raising: an
    exception inside a callback of FFmpeg would be lost.

    Only signals that Python handles are replaced, and only in the main thread: a process that ignores SIGHUP continues
    to ignore it. A signal stops all open instances; a second signal is handled as before.
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
        """Close if the block fails, for example because a source cannot be opened; after a signal, raise for it
        instead."""
        try:
            yield
        except BaseException:
            self.close()
            if self.stopped:
                raise_stop()
            raise

    def close(self) -> None:
        """Close it; the last open instance restores the signal handlers."""
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
    elif callable(handler):  # the last instance was closed in another thread
        handler(number, frame)


def _restore() -> None:
    while _before:
        number, handler = _before.popitem()
        signal.signal(number, handler)
