"""The time series of readings: its columns, its files, its plot."""

import csv
import json
import math
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

import numpy as np
from numpy.typing import NDArray

from lowbeam.errors import SourceError, UsageError
from lowbeam.files import whole_file

if TYPE_CHECKING:
    import pandas
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Row = tuple[float, int, float, float, float, float, float, float, float]

# Seconds from the source's first frame; id of the face; readings in [-1, 1] and their standard deviations; upper left
# corner and side of the face's square in source pixels.
COLUMNS = ("time_s", "face", "valence", "arousal", "valence_std", "arousal_std", "x", "y", "side")
FORMATS = (".csv", ".parquet", ".json")
AFFECT_COLOURS = {"valence": "#c2410c", "arousal": "#1d4ed8"}
MAX_FACES = 8  # rows of a figure
GAP_S = 0.5  # a face that is away for longer, and for more than two frames, leaves a gap in its line
FIGURE_FORMATS = (".png", ".svg", ".pdf")


@dataclass
class Trace:
    """Readings over time, a row for each face in each frame; frames without a face are absent.

    `columns` maps each of `COLUMNS` to a float64 array (n,), `face` to int64. `source` names what was read, `model`
    what read it; `cut_at_s` is the time at which a cut source breaks off, None where it was whole.
    """

    columns: dict[str, NDArray[Any]]
    source: str = ""
    model: str = ""
    cut_at_s: float | None = None

    @classmethod
    def from_rows(cls, rows: Iterable[Row], **about: Any) -> "Trace":
        """A trace from tuples in the order of `COLUMNS`."""
        return cls.from_table(np.array(list(rows), np.float64), **about)

    @classmethod
    def from_table(cls, values: NDArray[np.float64], **about: Any) -> "Trace":
        """A trace from the values of its rows, one row after the other."""
        table = values.reshape(-1, len(COLUMNS))
        columns: dict[str, NDArray[Any]] = {name: table[:, i].copy() for i, name in enumerate(COLUMNS)}
        columns["face"] = columns["face"].astype(np.int64)
        return cls(columns, **about)

    def __len__(self) -> int:
        return len(self.columns["time_s"])

    def __getattr__(self, name: str) -> NDArray[Any]:
        """A column by its name: ``trace.valence``."""
        if name in COLUMNS:
            return self.columns[name]
        raise AttributeError(f"a trace has no {name}")

    def of_face(self, face: int) -> "Trace":
        """The rows of one face."""
        mask = self.columns["face"] == face
        columns = {name: values[mask] for name, values in self.columns.items()}
        return Trace(columns, self.source, self.model, self.cut_at_s)

    def faces(self) -> list[int]:
        """Ids of the faces, the most present (sum of areas) first."""
        ids, index = np.unique(self.columns["face"], return_inverse=True)
        presence = np.bincount(index, weights=self.columns["side"] ** 2, minlength=len(ids))
        return [int(i) for i in ids[np.argsort(-presence, kind="stable")]]

    def to_pandas(self) -> "pandas.DataFrame":
        """A `pandas.DataFrame` with `COLUMNS` (the `tables` extra)."""
        try:
            import pandas
        except ImportError as error:
            raise UsageError("to_pandas needs pandas: pip install 'lowbeam[tables]'") from error
        return pandas.DataFrame(self.columns)

    def save(self, path: str | os.PathLike) -> None:
        """Write the trace as ``.csv`` (4 decimals), ``.json`` or ``.parquet`` (the `tables` extra), by its suffix.

        Raises `UsageError` for another suffix, `OutputError` where the file cannot be written.
        """
        writers = {".csv": self._save_csv, ".json": self._write_json, ".parquet": self._write_parquet}
        check_format(path)
        with whole_file(path) as beside:
            writers[Path(path).suffix.lower()](beside)

    def rows(self) -> Iterator[Row]:
        """The rows as tuples in the order of `COLUMNS`."""
        return zip(*(self.columns[name].tolist() for name in COLUMNS), strict=True)

    def write_csv(self, file: TextIO) -> None:
        """Write the trace as CSV, floats to 4 decimals, to an open file."""
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(COLUMNS)
        for row in self.rows():
            writer.writerow([v if isinstance(v, int) else f"{v:.4f}" for v in row])

    def _save_csv(self, path: Path) -> None:
        with path.open("w", newline="") as file:
            self.write_csv(file)

    def _about(self) -> dict[str, Any]:
        return {"source": self.source, "model": self.model, "cut_at_s": self.cut_at_s}

    def _write_json(self, path: Path) -> None:
        rounded = {name: np.round(values, 4).tolist() for name, values in self.columns.items()}
        path.write_text(json.dumps(self._about() | {"columns": rounded}) + "\n")

    def _write_parquet(self, path: Path) -> None:
        arrow, parquet = _arrow()
        table = arrow.table(self.columns).replace_schema_metadata({"lowbeam": json.dumps(self._about())})
        parquet.write_table(table, path)

    def plot(self, path: str | os.PathLike | None = None) -> "Figure":
        """Valence and arousal over time, each within two standard deviations, as a Matplotlib figure; written to
        `path` (PNG, SVG or PDF by its suffix) where one is given."""
        figure = plot_trace(self)
        if path is not None:
            save_figure(figure, path)
        return figure


def check_format(path: str | os.PathLike) -> None:
    """Raise `UsageError` where a trace cannot be written as `path`, before work is done for nothing."""
    suffix = Path(path).suffix.lower()
    if suffix not in FORMATS:
        raise UsageError(f"{path}: a trace is written as one of {', '.join(FORMATS)}")
    if suffix == ".parquet":
        _arrow()


def _arrow() -> tuple[Any, Any]:
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError as error:
        raise UsageError("Parquet needs pyarrow: pip install 'lowbeam[tables]', or write .csv") from error
    return pyarrow, pyarrow.parquet


def load_csv(path: str | os.PathLike) -> Trace:
    """Read a trace that was saved as CSV. Raises `SourceError` where it is not one."""
    try:
        with Path(path).open(newline="") as file:
            reader = csv.reader(file)
            if tuple(next(reader, ())) != COLUMNS:
                raise SourceError(f"{path} is not a trace: its first line is not {','.join(COLUMNS)}")
            rows = [tuple(map(float, row)) for row in reader]
            if not all(len(row) == len(COLUMNS) and all(map(math.isfinite, row)) for row in rows):
                raise ValueError("a row is damaged")
            return Trace.from_rows(rows, source=os.fspath(path))  # type: ignore[arg-type]
    except (OSError, ValueError, csv.Error) as error:
        raise SourceError(f"{path} cannot be read as a trace: {error}") from error


def plot_trace(trace: Trace) -> "Figure":
    """Valence and arousal over time, one row a face (the eight most present), each within two standard deviations."""
    faces = trace.faces()[:MAX_FACES]
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 1 + 2 * max(len(faces), 1)), layout="constrained")
    axes = figure.subplots(max(len(faces), 1), sharex=True, squeeze=False)[:, 0]
    for axis, face in zip(axes, faces, strict=False):
        part = trace.of_face(face)
        for name, colour in AFFECT_COLOURS.items():
            draw_reading(axis, part, name, colour, label=name)
        dress(axis, f"face {face}" if len(faces) > 1 else "")
    if faces:
        axes[0].legend(loc="upper right", ncols=2, frameon=False)
    axes[-1].set_xlabel("time (s)")
    if trace.cut_at_s is not None:
        for axis in axes:
            axis.axvline(trace.cut_at_s, color="black", linestyle=":", linewidth=1)
        axes[0].annotate("cut here", (trace.cut_at_s, 0.95), ha="right", va="top")
    return figure


def draw_reading(axis: "Axes", trace: Trace, name: str, colour: str, label: str) -> None:
    """Draw one of a trace's readings with its band of two standard deviations, leaving gaps where there is no face."""
    time_s, value = _with_gaps(trace.time_s, trace.columns[name])
    _, std = _with_gaps(trace.time_s, trace.columns[f"{name}_std"])
    if len(trace) == 1:
        axis.plot(time_s, value, ".", color=colour)
    axis.fill_between(time_s, value - 2 * std, value + 2 * std, color=colour, alpha=0.12, linewidth=0)
    axis.plot(time_s, value, color=colour, linewidth=1.2, label=label)


def dress(axis: "Axes", title: str) -> None:
    """Bounds and labels that all readings share."""
    axis.set_ylim(-1, 1)
    axis.axhline(0, color="0.7", linewidth=0.6)
    axis.spines[["top", "right"]].set_visible(False)
    axis.set_ylabel("reading")
    if title:
        axis.set_title(title, loc="left", fontsize=10)


def _with_gaps(time_s: NDArray, values: NDArray) -> tuple[NDArray, NDArray]:
    """Put a NaN wherever no face was seen for long, so that no line is drawn across."""
    steps = np.diff(time_s)
    usual = float(np.median(steps)) if len(steps) else 0.0
    breaks = np.flatnonzero(steps > max(GAP_S, 2.5 * usual)) + 1
    return np.insert(time_s, breaks, time_s[breaks]), np.insert(values.astype(float), breaks, np.nan)


def save_figure(figure: "Figure", path: str | os.PathLike) -> None:
    """Write a figure whole or not at all. Raises `UsageError` for a suffix other than .png, .svg or .pdf."""
    check_figure_format(path)
    with whole_file(path) as beside:
        figure.savefig(beside, dpi=144)


def check_figure_format(path: str | os.PathLike) -> None:
    """Raise `UsageError` where a figure cannot be written as `path`."""
    if Path(path).suffix.lower() not in FIGURE_FORMATS:
        raise UsageError(f"{path}: a plot is written as one of {', '.join(FIGURE_FORMATS)}")
