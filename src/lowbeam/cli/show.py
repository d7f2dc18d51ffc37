"""What the commands show: progress, tables and notes."""

import logging
import math
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any

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
FEW_RECORDINGS = 12  # that are printed without being asked for, where there are several
RECORDING_SCALES = (1, 4, 8)  # that a recording's row has room for


class Commands(typer.Typer):
    """Commands of which lists give the whole description, on as many lines as it takes, not what fits on one."""

    def command(self, *args: Any, **options: Any) -> Any:
        """As of `typer.Typer`."""
        return super().command(*args, cls=_Command, **options)


class _Command(TyperCommand):
    def get_short_help_str(self, limit: int = 45) -> str:
        return " ".join((self.help or "").partition("\n\n")[0].split())


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
    Console(width=MOST_COLUMNS, highlight=False).print(grid)  # a terminal may break a line, but loses no figure


def print_results(results: dict[str, Any], only: str | None = None, all_recordings: bool = False) -> None:
    """The table of `lowbeam.evaluate.table.table`, or of the system called `only`; beneath it that of its recordings
    where they are few, or `all_recordings` are asked for."""
    for system, by_scale in results["systems"].items():
        if only is not None and system != only:
            continue
        sure = all("ccc_interval" in scored["valence"] for scored in by_scale.values())
        rows = []
        for scale, scored in by_scale.items():
            cells = [(*(_figure(scored[v][m]) for m in METRICS), _ends(scored[v])) for v in AFFECT_NAMES]
            rows.append((scale, f"{side_of(int(scale))}", *(cell for part in cells for cell in part[: 3 + sure])))
        print(f"{_about(results)}, {system}")
        headings = [f"{v} {m}" for v in "VA" for m in (*METRICS, "95 %")[: 3 + sure]]
        print_table(("s", "px", *headings), rows, words=0)
        recordings = results.get("recordings", [])
        if recordings and (all_recordings or 1 < len(recordings) <= FEW_RECORDINGS):
            _print_recordings(recordings, system)


def _print_recordings(recordings: list[dict[str, Any]], system: str) -> None:
    rows = []
    for found in recordings:
        name, scored = found["recording"], found["systems"][system]
        cells = [_figure(scored[str(scale)][v]["ccc"]) for scale in RECORDING_SCALES for v in AFFECT_NAMES]
        rows.append((name if len(name) <= 20 else f"…{name[-19:]}", f"{found['faces']}", *cells))
    headings = [f"{v} {side_of(scale)} px" for scale in RECORDING_SCALES for v in "VA"]
    print("CCC of each recording")
    print_table(("recording", "faces", *headings), rows)


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
            cells = [_figure(scored[v][m]) for m in ("ccc", "within_1_std") for v in AFFECT_NAMES]
            point = (f"{side_of(row['scale'])}", row["codec"], f"{row['qp']}", f"{row['fps']:g}")
            rows.append((system, *point, *cells))
    print(f"{_about(results)}: CCC, and the share of truths within one standard deviation (0.68 where it is right)")
    print_table(("system", "px", "codec", "QP", "fps", "V ccc", "A ccc", "V within", "A within"), rows)


def print_checks(checks: list[dict[str, Any]]) -> None:
    """What `check_corpus` found: CCC of each corpus by a model that was trained on the other."""
    rows = [(c["trained_on"], c["tested_on"], *(_figure(c["scores"][v]["ccc"]) for v in AFFECT_NAMES)) for c in checks]
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


def _figure(value: float | None) -> str:
    """To three digits; a dash for what has no value."""
    return f"{value:.3f}" if value is not None and math.isfinite(value) else "–"


def _ends(scored: dict[str, Any]) -> str:
    """The confidence interval of a CCC; a dash where there is none."""
    ends = scored.get("ccc_interval")
    return "–" if ends is None else f"{ends[0]:.2f} to {ends[1]:.2f}"
