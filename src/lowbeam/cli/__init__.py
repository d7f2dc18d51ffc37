"""The command line: each command calls the API function of the same name.

Signal handling is set up first; everything else is imported after that.
"""

import os
import signal
import sys
from collections.abc import Callable

INTERRUPTED = 128 + signal.SIGINT  # exit status after Ctrl-C: 128 and the signal's number
PIPE_CLOSED = 128 + 13  # as after SIGPIPE

# During the imports no work has begun, and C extension modules may lose an exception: exit at once.
if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
    signal.signal(signal.SIGINT, lambda *_: os._exit(INTERRUPTED))


def main(run: Callable[[list[str]], int] | None = None) -> None:
    """Entry point: every error is one line on standard error and exit status 2. Ctrl-C exits 130, SIGTERM 143. `run`
    takes the arguments and returns the exit status; by default it is `lowbeam.cli.app.run`."""
    for name in ("stdin", "stdout", "stderr"):
        if getattr(sys, name) is None:  # closed by the parent process
            setattr(sys, name, open(os.devnull, "r+"))  # noqa: PTH123, SIM115  (open until the program ends)
    from lowbeam.cli.signals import AnsweredSignals
    from lowbeam.errors import LowbeamError, Terminated

    if run is None:
        from lowbeam.cli import app

        run = app.run

    try:
        with AnsweredSignals():
            status = run(sys.argv[1:])
        sys.stdout.flush()
    except LowbeamError as error:
        _fail(str(error))
    except KeyboardInterrupt:
        status = INTERRUPTED
    except Terminated as error:
        status = 128 + error.signal
    except BrokenPipeError:
        _drop_stdout()
        status = PIPE_CLOSED
    except OSError as error:
        _drop_stdout()
        _fail(f"{error.filename or 'standard output'}: {(error.strerror or str(error)).lower()}")
    if status in (INTERRUPTED, 128 + signal.SIGTERM):
        _say("lowbeam: interrupted; no incomplete file remains")
    sys.exit(status)


def _drop_stdout() -> None:
    """Discard what remains in the buffer of standard output, which cannot be written."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _fail(message: str) -> None:
    _say(f"lowbeam: {' '.join(message.split())}")
    sys.exit(2)


def _say(text: str) -> None:
    try:  # without contextlib: its import would delay signal handling
        print(text, file=sys.stderr)
    except OSError:
        return
