"""The commands for archives: batch and report."""

import math
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.live import Live

import lowbeam
from lowbeam.cli.options import Expressions, Faces, ModelName, Ray
from lowbeam.cli.show import Commands, needs, progress_bar, say
from lowbeam.recognize import DEFAULT_MODEL

app = Commands()
SOME_FAILED = 3  # exit status
MOST_FAILURES = 10  # that are printed


@app.command(epilog="Example: lowbeam batch videos/ -o traces/ --workers 8")
def batch(
    sources: Annotated[
        list[str],
        typer.Argument(
            help="files, folders, patterns such as 'videos/**/*.mp4', text files with one of these per line, s3:// and "
            "other URLs"
        ),
    ],
    out: Annotated[str, typer.Option("-o", "--out", help="folder of the Parquet dataset, or a URL such as s3://…")],
    workers: Annotated[int | None, typer.Option(min=1, max=4096, help="processes [default: one per core]")] = None,
    ray: Ray = None,
    fps: Annotated[float, typer.Option(help="maximum frames per second [default: all]", show_default=False)] = math.inf,
    retry_failed: Annotated[
        bool, typer.Option("--retry-failed", help="also read what failed before and has not changed")
    ] = False,
    expressions: Expressions = False,
    faces: Faces = "primary",
    model: ModelName = DEFAULT_MODEL,
) -> int:
    """Read many recordings into one Parquet dataset, each of them once; a run that was ended goes on.

    Exit status 3: some recordings could not be read, and the others were.
    """
    tally, failures = _Tally(), list[str]()
    with needs("batch"):
        import fsspec  # noqa: F401
    outcomes = lowbeam.batch(
        sources, out, workers=workers, faces=faces, model=model, fps=fps, expressions=expressions,
        retry_failed=retry_failed, progress=tally.progress, ray=ray,
    )  # fmt: skip
    with _row(tally):
        for outcome in outcomes:
            tally.take(outcome)
            if outcome.state == "failed" and len(failures) < MOST_FAILURES:
                failures.append(f"{outcome.error}; {outcome.advice}")
    for failure in failures:
        say(f"lowbeam: {failure}")
    if tally.failed > len(failures):
        say(f"lowbeam: and {tally.failed - len(failures)} more, in failures.parquet")
    print(f"{out}: {tally.summary()}")
    return SOME_FAILED if tally.failed else 0


@app.command(epilog="Example: lowbeam report traces/ -o report.html")
def report(
    dataset: Annotated[str, typer.Argument(help="folder or URL of a dataset of lowbeam batch")],
    out: Annotated[Path, typer.Option("-o", "--out", help="the page, an HTML file")],
) -> None:
    """Make a page about a dataset: each recording's course, means and quality, beside its video."""
    with needs("batch"):
        import fsspec  # noqa: F401
    with progress_bar("summarizing", "recordings") as progress:
        count = lowbeam.report(dataset, out, progress=progress)
    say(f"{out}: {count:,} recordings; open it in a browser")


class _Tally:
    """Counts what became of recordings."""

    def __init__(self) -> None:
        self._begun_s = time.monotonic()
        self.read = self.kept = self.failed = self._done = self._total = 0
        self._estimates, self._duration_s = 0, 0.0  # of what was read now

    def progress(self, done: int, total: int | None) -> None:
        """The callback of `lowbeam.batch`."""
        self._done, self._total = done, total or done

    def take(self, outcome: "lowbeam.Outcome") -> None:
        """Count a recording."""
        if outcome.state == "read":
            self.read += 1
            self._estimates += outcome.estimates
            self._duration_s += outcome.duration_s
        elif outcome.state == "kept":
            self.kept += 1
        else:
            self.failed += 1

    def summary(self) -> str:
        """What was done, and how fast."""
        took_s = max(time.monotonic() - self._begun_s, 1e-3)
        speed = f", {self._estimates / took_s:.0f} faces/s, {self._duration_s / took_s:.1f} × real time"
        return (
            f"{self.read:,} read, {self.kept:,} read before, {self.failed:,} failed{speed if self.read else ''}, "
            f"{_clock(took_s)}"
        )

    def __rich__(self) -> str:
        took_s = time.monotonic() - self._begun_s
        left = f"{_clock(took_s * (self._total - self._done) / self._done)} left" if self._done else ""
        return f"{self._done:,} of {self._total:,}: {self.summary()}; {left}"


def _clock(seconds: float) -> str:
    """Hours, minutes and seconds."""
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes // 60}:{minutes % 60:02}:{rest:02}"


@contextmanager
def _row(tally: _Tally) -> Iterator[None]:
    """Show `tally` in one row, if standard error is a terminal."""
    if not sys.stderr.isatty():
        yield
        return
    with Live(tally, console=Console(stderr=True), transient=True, refresh_per_second=4):
        yield
