"""Output of the commands: progress bars, tables and notes."""

import logging
import math
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any, TypeVar

import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, ProgressColumn, SpinnerColumn, Task, TextColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text
from typer.core import TyperCommand

from lowbeam.errors import UsageError
from lowbeam.metrics import AFFECT_NAMES
from lowbeam.scale import side_of

MOST_COLUMNS = 400  # of a table
METRICS = ("rmse", "cc", "ccc")
FEW_RECORDINGS = 12  # up to which a table of recordings is printed by default
RECORDING_SCALES = (1, 4, 8)  # shown in the row of a recording

Function = TypeVar("Function", bound=Callable[..., Any])


class Commands(typer.Typer):
    """Commands whose descriptions are shown completely in lists of commands, on several lines if needed."""

    def command(self, *args: Any, **options: Any) -> Callable[[Function], Function]:
        """As in `typer.Typer`."""
        return super().command(*args, cls=_Command, **options)


class _Command(TyperCommand):
    def get_short_help_str(self, limit: int = 45) -> str:
        return " ".join((self.help or "").partition("\n\n")[0].split())


@contextmanager
def needs(extra: str) -> Iterator[None]:
    """Raise `UsageError` that names the `extra` to install if an import in the block fails."""
    try:
        yield
    except ImportError as error:
        raise UsageError(f"this needs {error.name}: pip install 'lowbeam[{extra}]'") from error


class _Rate(ProgressColumn):
    """The rate in `unit` per second, or per minute if it is less than one per second."""

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
    """Yield a progress bar on standard error that counts `unit` (a plural), for the `progress` argument of `pack` and
    others; None if standard error is not a terminal."""
    if not sys.stderr.isatty():
        yield None
        return
    columns = (SpinnerColumn(), TextColumn("{task.description}"), BarColumn(), _Rate(unit), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(doing, total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)


def say(text: str) -> None:
    """Print a note on standard error, unless only errors are logged."""
    if not logging.getLogger("lowbeam").isEnabledFor(logging.WARNING):
        return
    with suppress(OSError):
        print(text, file=sys.stderr)


def print_table(headings: tuple[str, ...], rows: Sequence[tuple[str, ...]], words: int = 1) -> None:
    """Print a table on standard output at its full width; the first `words` columns are text, the others numbers."""
    grid = Table(box=None, pad_edge=False, header_style="bold")
    for index, heading in enumerate(headings):
        grid.add_column(heading, justify="left" if index < words else "right", no_wrap=True)
    for row in rows:
        grid.add_row(*row)
    Console(width=MOST_COLUMNS, highlight=False).print(grid)  # a terminal may wrap a line, but no column is cut


def print_budgets(results: dict[str, Any]) -> None:
    """Print results of `measure_budgets`: a row for each budget."""
    against = "their own uncoded estimates" if results["truth"] == "self" else "the labels"
    rows = [
        (
            f"{row['bps'] / 1000:g}", f"{row['used_bps'] / 1000:.2f}", f"{row['faces_per_s']:.2f}",
            *(f"{row[how][name]:.3f}" for how in ("hold", "linear", "smooth") for name in AFFECT_NAMES),
        )
        for row in results["budgets"]
    ]  # fmt: skip
    print(f"{results['recordings']} recordings, {results['seconds'] / 60:.1f} minutes; CCC with {against}")
    heads = (f"{how} {letter}" for how in ("held", "linear", "smooth") for letter in "VA")
    print_table(("kbit/s", "used", "faces/s", *heads), rows)


def print_results(results: dict[str, Any], only: str | None = None, all_recordings: bool = False) -> None:
    """Print results of `lowbeam.evaluate.table.table`, or those of the system called `only`, and a table of recordings
    if there are few, or if `all_recordings`."""
    for system, by_scale in results["systems"].items():
        if only is not None and system != only:
            continue
        sure = all("ccc_interval" in scored["valence"] for scored in by_scale.values())
        rows = []
        for scale, scored in by_scale.items():
            cells = [(*(figure(scored[v][m]) for m in METRICS), _ends(scored[v])) for v in AFFECT_NAMES]
            rows.append((scale, f"{side_of(int(scale))}", *(cell for part in cells for cell in part[: 3 + sure])))
        print(f"{describe_faces(results)}, {system}")
        headings = [f"{v} {m}" for v in "VA" for m in (*METRICS, "95 %")[: 3 + sure]]
        print_table(("s", "px", *headings), rows, words=0)
        recordings = results.get("recordings", [])
        if recordings and (all_recordings or 1 < len(recordings) <= FEW_RECORDINGS):
            _print_recordings(recordings, system)


def _print_recordings(recordings: list[dict[str, Any]], system: str) -> None:
    rows = []
    for found in recordings:
        name, scored = found["recording"], found["systems"][system]
        cells = [figure(scored[str(scale)][v]["ccc"]) for scale in RECORDING_SCALES for v in AFFECT_NAMES]
        rows.append((name if len(name) <= 20 else f"…{name[-19:]}", f"{found['faces']}", *cells))
    headings = [f"{v} {side_of(scale)} px" for scale in RECORDING_SCALES for v in "VA"]
    print("CCC of each recording")
    print_table(("recording", "faces", *headings), rows)


def describe_faces(results: dict[str, Any]) -> str:
    """The corpus, split and number of faces of `results`."""
    return f"{results['corpus']} {results['split']}, {results['faces']:,} faces"


def figure(value: float | None) -> str:
    """`value` with three digits; a dash for None and values that are not finite."""
    return f"{value:.3f}" if value is not None and math.isfinite(value) else "–"


def _ends(scored: dict[str, Any]) -> str:
    """The confidence interval of a CCC; a dash if there is none."""
    ends = scored.get("ccc_interval")
    return "–" if ends is None else f"{ends[0]:.2f} to {ends[1]:.2f}"
