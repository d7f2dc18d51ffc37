"""Children, and what is noticed of them: answers, deaths, silence, memory, and what they write to standard error."""

import json
import os
import re
import select
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

from tests.hostile.child import READ, REFUSED

ROOT = Path(__file__).parents[2]
LOWBEAM = "tests.hostile.child:make_reader"
CRASH, HANG, MEMORY, UNCLEAR = "crash", "hang", "memory", "unclear"
GOOD = (READ, REFUSED)
START_S = 120.0  # for a child to be ready
MAX_LINE = 500  # characters of a line that says what is wrong
ADDRESS_SPACE = 8 * 2**30  # bytes: a child that would take more is stopped before the machine is


@dataclass(frozen=True)
class Limits:
    """What reading one file may take."""

    time_s: float = 20.0
    peak_bytes: int = 2**30


@dataclass(frozen=True)
class Outcome:
    """What came of a file: `kind` is one of `GOOD`, or tells what is wrong; `peak_bytes` is 0 where it is not known."""

    kind: str
    detail: str
    time_s: float
    peak_bytes: int = 0

    @property
    def is_good(self) -> bool:
        """Whether it was read, or refused in one clear line."""
        return self.kind in GOOD


class Child:
    """A process that reads one file after another, and is started anew where it died. A context manager; `work` is a
    folder of its own."""

    def __init__(self, work: Path, limits: Limits, reader: str = LOWBEAM) -> None:
        self._work, self._limits, self._reader = work, limits, reader
        self._errors = work / "errors.txt"
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> "Child":
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.stop()

    def stop(self) -> None:
        """End the process; the next file starts another."""
        if self._process is not None:
            self._process.kill()
            for pipe in (self._process.stdin, self._process.stdout):
                if pipe is not None:
                    pipe.close()
            self._process.wait()
            self._process = None

    def _start(self) -> subprocess.Popen[bytes]:
        with self._errors.open("ab") as errors:
            command = [sys.executable, "-m", "tests.hostile.child", self._reader, str(self._work), str(ADDRESS_SPACE)]
            self._process = subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors, cwd=ROOT, start_new_session=True
            )
        if self._answer(self._process, START_S) is None:
            raise RuntimeError(f"no child can be started: {self._errors.read_text(errors='replace')}")
        return self._process

    def read(self, job: dict[str, Any]) -> Outcome:
        """Have a file read, and judge what comes of it."""
        process = self._process or self._start()
        noise_at = self._errors.stat().st_size
        began = time.monotonic()
        assert process.stdin is not None
        process.stdin.write(json.dumps(job).encode() + b"\n")
        process.stdin.flush()
        found = self._answer(process, self._limits.time_s)
        took_s = time.monotonic() - began
        if found is None:
            kind, detail = _how_it_ended(process)
            self.stop()
            return Outcome(kind, detail, took_s)
        said = self._errors.read_bytes()[noise_at:]
        if noise_at + len(said) > 10**6:
            self._errors.write_bytes(b"")
        kind, detail = found["outcome"], found["detail"]
        if kind in GOOD and (problem := unclear(said, kind)) is not None:
            kind, detail = UNCLEAR, problem
        if kind in GOOD and found["peak"] > self._limits.peak_bytes:
            kind, detail = MEMORY, f"{found['peak'] / 2**20:.0f} MiB"
            self.stop()
        return Outcome(kind, detail, took_s, found["peak"])

    @staticmethod
    def _answer(process: subprocess.Popen[bytes], within_s: float) -> dict[str, Any] | None:
        """The next line that `process` answers, or None where it ends, or `within_s` have passed."""
        assert process.stdout is not None
        until_s, line = time.monotonic() + within_s, b""
        while not line.endswith(b"\n"):
            ready, _, _ = select.select([process.stdout], [], [], max(0.0, until_s - time.monotonic()))
            part = os.read(process.stdout.fileno(), 65536) if ready else b""
            if not part:
                return None
            line += part
        return json.loads(line)


def _how_it_ended(process: subprocess.Popen[bytes]) -> tuple[str, str]:
    try:
        status = process.wait(0.5)
    except subprocess.TimeoutExpired:
        return HANG, "no answer in time"
    return CRASH, signal.Signals(-status).name if status < 0 else f"exit status {status}"


def unclear(said: bytes, kind: str) -> str | None:
    """What is wrong with what was written to standard error, where each line should be one of ours, short and plain,
    and a refusal one of them; None where nothing is."""
    text = said.decode("utf-8", "replace")
    lines = re.split(r"\n", text)[:-1]
    if not text.endswith("\n") and text:
        return f"half a line: {text[-MAX_LINE:]!r}"
    for line in lines:
        if not line.startswith("lowbeam: ") or not line.isprintable() or len(line) > MAX_LINE:
            return f"not one plain line of ours: {line[:MAX_LINE]!r}"
    return "nothing is said" if kind == REFUSED and not lines else None
