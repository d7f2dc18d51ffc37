"""Reads what it is told to, and says what came of it: ``python -m tests.hostile.child READER WORK BYTES``.

Jobs are lines of JSON on standard input, answers lines of JSON on standard output. A job that ends this process, or
never ends, is for whoever started it to notice.
"""

import importlib
import json
import logging
import os
import resource
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np

from lowbeam import LowbeamError, Reader, Trace

READ, REFUSED, TRACEBACK, WRONG = "read", "refused", "traceback", "wrong"
WAYS = ("file", "pipe", "url", "overlay")
UNFINISHED = ".lowbeam-*"

Job = dict[str, Any]  # path, way, url (where that is the way), faces


def make_reader(work: Path) -> Callable[[Job], None]:
    """What reads a job as the command does, with outputs in `work`. `AssertionError` says that what was read, or what
    was left in `work`, cannot be."""
    reader = Reader()

    def read(job: Job) -> None:
        way, faces = job["way"], job["faces"]
        out = {"file": {"out": work / "out.csv"}, "overlay": {"overlay": work / "out.mp4"}}.get(way, {})
        outputs = list(out.values())
        for output in outputs:
            output.unlink(missing_ok=True)
        try:
            if way == "pipe":
                _check_trace(_piped(reader, Path(job["path"]), faces))
            else:
                _check_trace(reader.read(job["url"] if way == "url" else job["path"], faces=faces, **out))
            assert all(output.stat().st_size for output in outputs), "an output is missing or empty"
        except LowbeamError:
            assert not any(output.exists() for output in outputs), "an output is left after an error"
            raise
        finally:
            left = list(work.glob(UNFINISHED))
            assert not left, "an unfinished output is left"

    return read


def _piped(reader: Reader, path: Path, faces: Any) -> Trace:
    out, into = os.pipe()
    writer = threading.Thread(target=_write, args=(into, path.read_bytes()))
    os.dup2(out, 0)
    os.close(out)
    writer.start()
    try:
        return reader.read("-", faces=faces)
    finally:
        _nothing_on(0)
        writer.join()


def _write(into: int, data: bytes) -> None:
    with suppress(BrokenPipeError), os.fdopen(into, "wb") as file:
        file.write(data)


def _nothing_on(fd: int) -> None:
    null = os.open(os.devnull, os.O_RDWR)
    os.dup2(null, fd)
    os.close(null)


def _check_trace(trace: Trace) -> None:
    columns = (trace.time_s, trace.valence, trace.arousal, trace.valence_std, trace.arousal_std, trace.x, trace.side)
    assert len(trace), "an empty trace"
    assert all(np.isfinite(column).all() for column in columns), "a trace that is not finite"
    assert np.abs([trace.valence, trace.arousal]).max() < 1.5, "affect out of range"
    assert trace.time_s.min() >= 0, "a time before the first frame"


def answer(read: Callable[[Job], None], job: Job) -> dict[str, Any]:
    """What came of a job. An error of ours is written to standard error as the command writes it."""
    try:
        read(job)
    except LowbeamError as error:
        print(f"lowbeam: {' '.join(str(error).split())}", file=sys.stderr, flush=True)
        return {"outcome": REFUSED, "detail": f"{type(error).__name__}: {error}"}
    except AssertionError as error:
        return {"outcome": WRONG, "detail": str(error)}
    except Exception as error:
        return {"outcome": TRACEBACK, "detail": f"{type(error).__name__}: {error} ({_place(error)})"}
    return {"outcome": READ, "detail": ""}


def _place(error: BaseException) -> str:
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    return f"{Path(trace.tb_frame.f_code.co_filename).name}:{trace.tb_lineno}" if trace is not None else "?"


def peak_bytes() -> int:
    """The most memory that this process has held since `forget_peak`."""
    with suppress(OSError):
        for line in Path("/proc/self/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def forget_peak() -> None:
    """Begin to measure anew, where the system can."""
    with suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")


def main() -> None:
    """Answer jobs until there are no more."""
    module, _, name = sys.argv[1].partition(":")
    jobs, answers = os.fdopen(os.dup(0)), os.fdopen(os.dup(1), "w")
    _nothing_on(0)
    os.dup2(2, 1)  # whatever prints, it is seen
    limit = int(sys.argv[3])
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    logging.basicConfig(stream=sys.stderr, format="lowbeam: %(message)s", level=logging.WARNING)
    read = getattr(importlib.import_module(module), name)(Path(sys.argv[2]))
    print(json.dumps({"outcome": "ready"}), file=answers, flush=True)
    for line in jobs:
        forget_peak()
        found = answer(read, json.loads(line))
        print(json.dumps(found | {"peak": peak_bytes()}), file=answers, flush=True)


if __name__ == "__main__":
    main()
