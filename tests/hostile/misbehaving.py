"""A reader that does whatever is wrong, as its file says: by it a campaign shows that it would notice."""

import os
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from lowbeam import StreamError
from tests.hostile.child import Job


def make_reader(work: Path) -> Callable[[Job], None]:
    """What reads a job of which the file's text names what is to go wrong."""
    deeds: dict[str, Callable[[], object]] = {
        "well": lambda: None,
        "refused": lambda: _refuse("there is no face"),
        "crash": lambda: os.kill(os.getpid(), signal.SIGSEGV),
        "exit": lambda: os._exit(3),
        "hang": lambda: time.sleep(60),
        "traceback": lambda: {}["key"],
        "escapes": lambda: _refuse("\x1b[2J is no scale"),
        "long": lambda: _refuse(1000 * "a"),
        "noise": lambda: os.write(2, b"[h264] error while decoding\n"),
        "print": lambda: print("something", file=sys.stderr, flush=True),
        "memory": lambda: np.ones(300 * 2**20, np.uint8).sum(),
        "wrong": _wrong,
    }
    return lambda job: deeds[Path(job["path"]).read_text()]() and None


def _refuse(message: str) -> None:
    raise StreamError(message)


def _wrong() -> None:
    raise AssertionError("an output is left after an error")
