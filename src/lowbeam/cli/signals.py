"""Ctrl-C, SIGTERM and SIGHUP end a command by an exception, which no callback can lose.

C code drops an exception that is raised in a Python function which it calls: a destructor, a callback of FFmpeg, an
attribute that it looks up. A signal that comes at such a moment is sent again until its exception has reached the end
of the command.
"""

import os
import signal
import sys
from threading import Timer
from types import FrameType

from lowbeam.errors import Terminated

AGAIN_S = 0.2  # after which a signal whose exception did not arrive is sent again


class AnsweredSignals:
    """From its start, SIGINT raises `KeyboardInterrupt`, and SIGTERM and SIGHUP raise `Terminated`, except those that
    the parent process set to be ignored. To be entered in the main thread; left where the exception arrives."""

    def __init__(self) -> None:
        self._timer: Timer | None = None
        self._is_again = False  # the next signal is one that was sent again
        self._has_arrived = False
        self._tell = sys.unraisablehook

    def __enter__(self) -> None:
        if signal.getsignal(signal.SIGINT) is not signal.SIG_IGN:
            signal.signal(signal.SIGINT, self._answer)
        for name in ("SIGTERM", "SIGHUP"):
            number = getattr(signal, name, None)
            if number is not None and signal.getsignal(number) == signal.SIG_DFL:
                signal.signal(number, self._answer)
        sys.unraisablehook = self._tell_unless_signal

    def __exit__(self, *error: object) -> None:
        self._has_arrived = True
        self._cancel()

    def _cancel(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _answer(self, number: int, frame: FrameType | None) -> None:
        is_again, self._is_again = self._is_again, False
        self._cancel()
        if not self._has_arrived:
            self._timer = Timer(AGAIN_S, self._send_again, [number])
            self._timer.daemon = True
            self._timer.start()
        if not is_again or not (self._has_arrived or _is_ending()):
            raise KeyboardInterrupt if number == signal.SIGINT else Terminated(number)

    def _send_again(self, number: int) -> None:
        self._is_again = True
        os.kill(os.getpid(), number)

    def _tell_unless_signal(self, dropped: "sys.UnraisableHookArgs") -> None:
        if not issubclass(dropped.exc_type, KeyboardInterrupt | Terminated):
            self._tell(dropped)


def _is_ending() -> bool:
    """Whether the exception of a signal is on its way: blocks that clean up are running."""
    error = sys.exc_info()[1]
    while error is not None and not isinstance(error, KeyboardInterrupt | Terminated):
        error = error.__context__
    return error is not None
