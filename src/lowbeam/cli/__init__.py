"""The command line: each command is a thin call of the function of the same name.

Signals are answered from the first moment on; all else is imported after that.
"""

import os
import signal
import sys
from contextlib import suppress
from pathlib import Path
from types import FrameType

from lowbeam.errors import LowbeamError, Terminated

INTERRUPTED = 128 + signal.SIGINT  # exit status after Ctrl-C: 128 and the signal's number
PIPE_CLOSED = 128 + 13  # as after SIGPIPE


def main() -> None:
    """Entry point: every error is one line on standard error and exit status 2. Ctrl-C exits 130, SIGTERM 143."""
    _answer_signals()
    for name in ("stdin", "stdout", "stderr"):
        if getattr(sys, name) is None:  # closed by whoever started us
            setattr(sys, name, Path(os.devnull).open("r+"))  # noqa: SIM115  (for as long as the program runs)
    try:
        from lowbeam.cli.app import run

        status = run(sys.argv[1:])
        sys.stdout.flush()
    except LowbeamError as error:
        _fail(str(error))
    except (KeyboardInterrupt, Terminated) as error:
        status = 128 + error.signal if isinstance(error, Terminated) else INTERRUPTED
    except BrokenPipeError:
        _drop_stdout()
        status = PIPE_CLOSED
    except OSError as error:
        _drop_stdout()
        _fail(f"{error.filename or 'standard output'}: {(error.strerror or str(error)).lower()}")
    if status in (INTERRUPTED, 128 + signal.SIGTERM):
        _say("lowbeam: interrupted; no half file is left")
    sys.exit(status)


def _answer_signals() -> None:
    """SIGTERM and SIGHUP end the program as Ctrl-C does, unless whoever started it had them ignored."""
    for name in ("SIGTERM", "SIGHUP"):
        number = getattr(signal, name, None)
        if number is not None and signal.getsignal(number) == signal.SIG_DFL:
            signal.signal(number, _terminate)


def _terminate(number: int, _: FrameType | None) -> None:
    raise Terminated(number)


def _drop_stdout() -> None:
    """What is left in standard output's buffer has nowhere to go."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _fail(message: str) -> None:
    _say(f"lowbeam: {' '.join(message.split())}")
    sys.exit(2)


def _say(text: str) -> None:
    with suppress(OSError):
        print(text, file=sys.stderr)
