"""Ctrl-C, SIGTERM and SIGHUP end a command by an exception, which no callback can lose.

C code drops an exception that is raised in a Python function which it calls: a destructor, a callback of FFmpeg, an
attribute that it looks up. If the exception is gone, and has not reached the end of the command, the signal is sent
again. As long as blocks that clean up are running, or are suspended, the exception is there.
"""

import os
import signal
import sys
import weakref
from threading import Timer
from types import FrameType

from lowbeam.errors import Terminated

AGAIN_S = 0.2  # after which a signal whose exception is gone is sent again


class Interrupted(KeyboardInterrupt):
    """Ctrl-C. Unlike its base it can be referred to weakly."""


class AnsweredSignals:
    """From its start, SIGINT raises `Interrupted`, and SIGTERM and SIGHUP raise `Terminated`, except those that the
    parent process set to be ignored. To be entered in the main thread; left where the exception arrives."""

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
        if self._timer is not None:
            self._timer.cancel()

    def _answer(self, number: int, frame: FrameType | None) -> None:
        is_again, self._is_again = self._is_again, False
        if self._has_arrived:
            if is_again:
                return
            raise KeyboardInterrupt if number == signal.SIGINT else Terminated(number)
        # Without a local variable: the exception's traceback refers to this call, which would keep it alive.
        raise self._watched(number, Interrupted() if number == signal.SIGINT else Terminated(number))

    def _watched(self, number: int, error: BaseException) -> BaseException:
        self._watch(number, weakref.ref(error))
        return error

    def _watch(self, number: int, error: "weakref.ref[BaseException]") -> None:
        """Look later whether the exception is still there."""
        if self._timer is not None:
            self._timer.cancel()
        self._timer = Timer(AGAIN_S, self._look, [number, error])
        self._timer.daemon = True
        self._timer.start()

    def _look(self, number: int, error: "weakref.ref[BaseException]") -> None:
        if self._has_arrived:
            return
        if error() is not None:
            self._watch(number, error)
            return
        self._is_again = True
        os.kill(os.getpid(), number)

    def _tell_unless_signal(self, dropped: "sys.UnraisableHookArgs") -> None:
        if not issubclass(dropped.exc_type, KeyboardInterrupt | Terminated):
            self._tell(dropped)
