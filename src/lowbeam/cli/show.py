"""What the commands show: progress, tables and notes."""

import logging
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, Progress, ProgressColumn, SpinnerColumn, Task, TextColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text

from lowbeam.errors import UsageError


@contextmanager
def needs(extra: str) -> Iterator[None]:
    """Say which extra brings what cannot be imported in this block."""
    try:
        yield
    except ImportError as error:
        raise UsageError(f"this needs {error.name}: pip install 'lowbeam[{extra}]'") from error


class _Rate(ProgressColumn):
    """How many of a `unit` are done in a second, or in a minute where that is less than one."""

    def __init__(self, unit: str) -> None:
        super().__init__()
        self._unit = unit

    def render(self, task: Task) -> Text:
        speed = task.speed or 0.0
        if 0 < speed < 1:
            return Text(f"{60 * speed:.1f} {self._unit}/min")
        return Text(f"{speed:.0f} {self._unit}/s")


@contextmanager
def progress_bar(doing: str, unit: str = "frames") -> Iterator[Any]:
    """A progress bar on standard error, which counts `unit` (a plural), as the `progress` argument of `pack` and
    whatever else takes one; None where that is no terminal."""
    if not sys.stderr.isatty():
        yield None
        return
    columns = (SpinnerColumn(), TextColumn("{task.description}"), BarColumn(), _Rate(unit), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(doing, total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)


def say(text: str) -> None:
    """A note to the user, on standard error, unless only errors are asked for."""
    if not logging.getLogger("lowbeam").isEnabledFor(logging.WARNING):
        return
    with suppress(OSError):
        print(text, file=sys.stderr)


def print_table(headings: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> None:
    """A table on standard output, as wide as it needs to be."""
    grid = Table(box=None, pad_edge=False, header_style="bold")
    for index, heading in enumerate(headings):
        grid.add_column(heading, justify="left" if index == 0 else "right", no_wrap=True)
    for row in rows:
        grid.add_row(*row)
    Console(width=None if sys.stdout.isatty() else 160, highlight=False).print(grid)


def print_results(results: dict[str, Any], only: str | None = None) -> None:
    """The table of `lowbeam.evaluate.table.table`."""
    rows = []
    for system, by_scale in results["systems"].items():
        if only is not None and system != only:
            continue
        for scale, scored in by_scale.items():
            cells = [f"{scored[v][m]:.3f}" for v in ("valence", "arousal") for m in ("rmse", "cc", "ccc")]
            rows.append((system, scale, f"{96 // int(scale)}", *cells))
    print(f"{results['corpus']} {results['split']}, {results['faces']} faces")
    headings = ("system", "s", "px", "V rmse", "V cc", "V ccc", "A rmse", "A cc", "A ccc")
    print_table(headings, rows)
