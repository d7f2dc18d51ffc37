"""Trace files: CSV, JSON Lines, JSON and Parquet, with their provenance."""

import csv
import json
import math
import os
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from lowbeam.errors import SourceError, UsageError
from lowbeam.files import whole_file
from lowbeam.trace.estimate import COLUMNS, DIGITS, Estimate, columns_of, row_of

if TYPE_CHECKING:
    from lowbeam.trace.trace import Trace

FORMATS = (".csv", ".jsonl", ".json", ".parquet")


@dataclass(frozen=True)
class Provenance:
    """Where a trace came from: the `source`, the `model`, `cut_at_s` (the time in seconds at which a cut source ends,
    None if it is complete), and the version of `lowbeam`."""

    source: str = ""
    model: str = ""
    cut_at_s: float | None = None
    lowbeam: str = ""

    def as_json(self) -> str:
        """The fields as a JSON object."""
        return json.dumps(asdict(self))


def check_format(path: str | os.PathLike[str]) -> None:
    """Raise `UsageError` if `path` is not a supported trace format, or pyarrow is needed and not installed."""
    suffix = Path(path).suffix.lower()
    if suffix not in FORMATS:
        raise UsageError(f"{path}: a trace is written as one of {', '.join(FORMATS)}")
    if suffix == ".parquet":
        arrow()


def arrow() -> tuple[Any, Any]:
    """The modules ``pyarrow`` and ``pyarrow.parquet``. Raises `UsageError` if they are not installed."""
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError as error:
        raise UsageError("Parquet needs pyarrow: pip install 'lowbeam[tables]', or write .csv") from error
    return pyarrow, pyarrow.parquet


def side_file(path: str | os.PathLike[str]) -> Path:
    """The file with the provenance of the text file `path`, named as in the W3C's "CSV on the Web"."""
    return Path(f"{os.fspath(path)}-metadata.json")


def write_side_file(path: str | os.PathLike[str], provenance: Provenance) -> None:
    """Write the provenance of the text file `path` beside it. Raises `OutputError`."""
    with whole_file(side_file(path)) as beside:
        beside.write_text(provenance.as_json() + "\n")


@dataclass(frozen=True)
class TextFormat:
    """A text format with one line per estimate, after a `heading`; `line` gives the line of an estimate."""

    heading: str
    line: Callable[[Estimate], str]


def csv_format(expressions: bool) -> TextFormat:
    """CSV, floats to 4 decimals; cells of unknown values are empty."""

    def line(estimate: Estimate) -> str:
        return ",".join(map(_cell, row_of(estimate, expressions))) + "\n"

    return TextFormat(",".join(columns_of(expressions)) + "\n", line)


def _cell(value: float) -> str:
    if isinstance(value, int):
        return str(value)
    return "" if math.isnan(value) else f"{value:.{DIGITS}f}"


def json_lines_format(expressions: bool) -> TextFormat:
    """JSON Lines, floats to 4 decimals; unknown values are null."""
    names = columns_of(expressions)

    def line(estimate: Estimate) -> str:
        row = zip(names, row_of(estimate, expressions), strict=True)
        return json.dumps({name: _rounded(value) for name, value in row}) + "\n"

    return TextFormat("", line)


def _rounded(value: float) -> float | None:
    return None if math.isnan(value) else round(value, DIGITS)


def save(trace: "Trace", path: str | os.PathLike[str]) -> None:
    """Write a trace in the format of the suffix of `path`. Raises `UsageError` or `OutputError`."""
    check_format(path)
    suffix = Path(path).suffix.lower()
    with whole_file(path) as beside:
        if suffix in (".csv", ".jsonl"):
            form = (csv_format if suffix == ".csv" else json_lines_format)(trace.has_expressions)
            with beside.open("w", newline="") as file:
                file.write(form.heading)
                file.writelines(map(form.line, trace))
        elif suffix == ".json":
            rounded = {name: list(map(_rounded, values.tolist())) for name, values in trace.columns.items()}
            beside.write_text(json.dumps(asdict(trace.provenance) | {"columns": rounded}) + "\n")
        else:
            pyarrow, parquet = arrow()
            about = {"lowbeam": trace.provenance.as_json()}
            parquet.write_table(pyarrow.table(trace.columns).replace_schema_metadata(about), beside)
    if suffix in (".csv", ".jsonl"):
        write_side_file(path, trace.provenance)


def load_table(path: str | os.PathLike[str]) -> tuple[NDArray[np.float64], Provenance]:
    """The values of a trace saved as CSV, float64 (n, columns of its heading), and its provenance. Raises
    `SourceError`."""
    try:
        with Path(path).open(newline="") as file:
            reader = csv.reader(file)
            heading = tuple(next(reader, ()))
            if heading not in (COLUMNS, columns_of(expressions=True)):
                raise SourceError(f"{path} is not a trace: its first line is not {','.join(COLUMNS)}")
            rows = [_row(cells, len(heading)) for cells in reader]
    except (OSError, ValueError, csv.Error) as error:
        raise SourceError(f"{path} cannot be read as a trace: {error}") from error
    return np.array(rows, np.float64).reshape(-1, len(heading)), _provenance_beside(path)


def _row(cells: list[str], count: int) -> list[float]:
    """The values of a line with `count` cells, of which those of expressions may all be empty. Raises `ValueError`."""
    told = [cell for cell in cells[len(COLUMNS) :] if cell]
    values = [float(cell) for cell in cells[: len(COLUMNS)] + told]
    if len(cells) != count or len(values) not in (len(COLUMNS), count) or not all(map(math.isfinite, values)):
        raise ValueError("a row is damaged")
    return values + [math.nan] * (count - len(values))


def _provenance_beside(path: str | os.PathLike[str]) -> Provenance:
    try:
        return Provenance(**json.loads(side_file(path).read_text()))
    except (OSError, ValueError, TypeError):
        return Provenance(source=os.fspath(path))
