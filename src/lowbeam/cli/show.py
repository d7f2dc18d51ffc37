"""What the commands show: progress, tables and notes."""

import logging
import math
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, Progress, ProgressColumn, SpinnerColumn, Task, TextColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text

from lowbeam.errors import UsageError
from lowbeam.scale import side_of


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


def print_table(headings: tuple[str, ...], rows: Sequence[tuple[str, ...]], words: int = 1) -> None:
    """A table on standard output, as wide as it needs to be; the first `words` columns hold words, the rest figures."""
    grid = Table(box=None, pad_edge=False, header_style="bold")
    for index, heading in enumerate(headings):
        grid.add_column(heading, justify="left" if index < words else "right", no_wrap=True)
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


def print_by_side(results: dict[str, Any], heading: str, condition: Callable[[dict[str, Any]], str]) -> None:
    """What `measure_stills` or `measure_framing` found: CCC, the mean of valence and arousal, by system and `condition`
    of a row (under `heading`), with a column for each side of the face."""
    scales = list(dict.fromkeys(row["scale"] for row in results["rows"]))
    found: dict[tuple[str, str], dict[int, str]] = {}
    for row in results["rows"]:
        for system, scored in row["scores"].items():
            mean = (scored["valence"]["ccc"] + scored["arousal"]["ccc"]) / 2
            found.setdefault((system, condition(row)), {})[row["scale"]] = _figure(mean)
    print(f"{_about(results)}: CCC, mean of valence and arousal")
    ordered = sorted(found, key=lambda key: list(results["systems"]).index(key[0]))
    rows = [(*key, *(found[key].get(scale, "") for scale in scales)) for key in ordered]
    print_table(("system", heading, *(f"{side_of(scale)} px" for scale in scales)), rows, words=2)


def print_followed(results: dict[str, Any]) -> None:
    """What `measure_followed` found: CCC, and the share of truths within one standard deviation, at each point."""
    rows = []
    for system in results["systems"]:
        for row in results["rows"]:
            scored = row["scores"][system]
            cells = [_figure(scored[v][m]) for m in ("ccc", "within_1_std") for v in ("valence", "arousal")]
            point = (f"{side_of(row['scale'])}", row["codec"], f"{row['qp']}", f"{row['fps']:g}")
            rows.append((system, *point, *cells))
    print(f"{_about(results)}: CCC, and the share of truths within one standard deviation (0.68 where it is right)")
    print_table(("system", "px", "codec", "QP", "fps", "V ccc", "A ccc", "V within", "A within"), rows)


def print_checks(checks: list[dict[str, Any]]) -> None:
    """What `check_corpus` found: CCC of each corpus by a model that was trained on the other."""
    rows = [
        (c["trained_on"], c["tested_on"], *(_figure(c["scores"][v]["ccc"]) for v in ("valence", "arousal")))
        for c in checks
    ]
    print_table(("trained on", "tested on", "V ccc", "A ccc"), rows, words=2)


def operating_table_line(table: dict[str, Any]) -> str:
    """What `operating_table` found, in a line."""
    points = table["points"]
    rates = [point["wire_bps"] / 1000 for point in points]
    cccs = [point["ccc"] for point in points]
    codecs = ", ".join(dict.fromkeys(point["codec"] for point in points))
    return (
        f"{len(points)} points ({codecs}), {min(rates):.2f} to {max(rates):.1f} kbit/s on the wire: "
        f"{table['system']} has a CCC of {min(cccs):.3f} to {max(cccs):.3f}, uncoded {table['uncoded_ccc']:.3f}"
    )


def _about(results: dict[str, Any]) -> str:
    return f"{results['corpus']} {results['split']}, {results['faces']:,} faces"


def _figure(value: float) -> str:
    """To three digits; a dash for what could not be measured."""
    return f"{value:.3f}" if math.isfinite(value) else "–"
