"""How a live source is ended by a signal: the source ends as if its stream did, and what was read is kept."""

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

from lowbeam.errors import Terminated

SIGNALS = tuple(getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name))
_last: list[int] = []  # the signal that ended a live source of this process


def stopped_by() -> int | None:
    """The number of the signal that last ended a live source of this process; None where none did."""
    return _last[-1] if _last else None


class StopOnSignal:
    """While it is begun, SIGINT, SIGTERM and SIGHUP set `stopped` and make `wake_fd` readable, and raise nothing:
    an exception inside a callback of FFmpeg would be lost there.

    Only signals that Python handles already are taken over, and only in the main thread: a process that ignores
    SIGHUP goes on ignoring it. A second signal is handled as before.
    """

    def __init__(self) -> None:
        self.stopped = False
        self.wake_fd, self._wake_out = os.pipe()
        os.set_blocking(self._wake_out, False)
        self._before: dict[int, Any] = {}
        if threading.current_thread() is threading.main_thread():
            for number in SIGNALS:
                if callable(signal.getsignal(number)):
                    self._before[number] = signal.signal(number, self._stop)

    def _stop(self, number: int, _: FrameType | None) -> None:
        self.stopped = True
        _last.append(number)
        os.write(self._wake_out, b"\0")
        self._restore()

    @contextmanager
    def closed_on_error(self) -> Iterator[None]:
        """Close where the block fails, as where a source cannot be opened. Where a signal came it is that which ended
        it, and what the signal would have raised is raised: nothing was read that could be kept."""
        try:
            yield
        except BaseException:
            self.close()
            if self.stopped:
                number = _last.pop()
                raise (KeyboardInterrupt if number == signal.SIGINT else Terminated(number)) from None
            raise

    def close(self) -> None:
        """Handle signals as before."""
        self._restore()
        for fd in (self.wake_fd, self._wake_out):
            if fd >= 0:
                os.close(fd)
        self.wake_fd = self._wake_out = -1

    def _restore(self) -> None:
        while self._before:
            number, handler = self._before.popitem()
            signal.signal(number, handler)
