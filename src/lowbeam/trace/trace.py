"""The trace: estimates over time."""

import base64
import html
import math
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, overload

import numpy as np
from numpy.typing import NDArray

import lowbeam
from lowbeam.errors import UsageError
from lowbeam.face import Expressions
from lowbeam.trace import plot, store
from lowbeam.trace.estimate import COLUMNS, EXPRESSION_COLUMNS, Estimate, columns_of, row_of
from lowbeam.trace.median import MEDIAN_S, with_medians
from lowbeam.trace.resample import How, resampled
from lowbeam.trace.store import Provenance

if TYPE_CHECKING:
    import pandas
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


@dataclass(eq=False)
class Trace:
    """Estimates over time, one row for each face in each frame; frames without a face have no row.

    `columns` maps each name of `COLUMNS` to a float64 array (n,), `face` to int64; in a trace with expressions also
    each of `EXPRESSION_COLUMNS`, with nan for faces of which no pixels came. ``trace["valence"]`` and
    ``trace.valence`` are columns, ``trace[10.0:20.0]`` is the trace from 10 s up to, but excluding, 20 s, and iteration
    yields `Estimate`. Traces are equal if their columns and provenance are. `source` and `model` are the names of what
    was read and of the recognizer; `cut_at_s` is the time in seconds at which a cut source ends, None if it is
    complete.
    """

    columns: dict[str, NDArray[Any]]
    source: str = ""
    model: str = ""
    cut_at_s: float | None = None

    __hash__ = None  # type: ignore[assignment]  # compared by value, and mutable

    @classmethod
    def from_estimates(cls, estimates: Iterable[Estimate], **about: Any) -> "Trace":
        """A trace of `estimates`, each an `Estimate` or a tuple in the order of `COLUMNS`; with the columns of
        expressions if one has them. `about` are `source`, `model` and `cut_at_s`."""
        found = [one if isinstance(one, Estimate) else Estimate(*one) for one in estimates]
        expressions = any(estimate.expressions is not None for estimate in found)
        rows = np.array([row_of(one, expressions) for one in found], np.float64)
        return cls.from_table(rows.reshape(-1, len(columns_of(expressions))), **about)

    @classmethod
    def from_table(cls, values: NDArray[np.float64], **about: Any) -> "Trace":
        """A trace from a table of values, float64 (n, len(COLUMNS)), or so many and those of `EXPRESSION_COLUMNS`;
        `about` as in `from_estimates`. Raises `ValueError` for another shape."""
        names = columns_of(expressions=values.shape[1:] == (len(COLUMNS + EXPRESSION_COLUMNS),))
        if values.shape[1:] != (len(names),):
            raise ValueError(f"a table of {values.shape} is not (n, {len(COLUMNS)}), nor with columns of expressions")
        columns: dict[str, NDArray[Any]] = {name: values[:, i].copy() for i, name in enumerate(names)}
        columns["face"] = columns["face"].astype(np.int64)
        return cls(columns, **about)

    def __len__(self) -> int:
        return len(self.columns["time_s"])

    def __iter__(self) -> Iterator[Estimate]:
        rows = zip(*(self.columns[name].tolist() for name in COLUMNS), strict=True)
        if not self.has_expressions:
            return (Estimate(*row) for row in rows)
        found = zip(*(self.columns[name].tolist() for name in EXPRESSION_COLUMNS), strict=True)
        known = (None if math.isnan(one[0]) else Expressions(*one) for one in found)
        return (Estimate(*row).with_expressions(one) for row, one in zip(rows, known, strict=True))

    @overload
    def __getitem__(self, key: str) -> NDArray[Any]: ...
    @overload
    def __getitem__(self, key: slice) -> "Trace": ...
    def __getitem__(self, key: str | slice) -> "NDArray[Any] | Trace":
        if isinstance(key, str):
            return self.columns[key]
        if not isinstance(key, slice) or key.step is not None:
            raise TypeError('a trace is indexed by a column, trace["valence"], or by time in seconds, trace[10.0:20.0]')
        begin, end = (math.nan if bound is None else float(bound) for bound in (key.start, key.stop))
        times = self.columns["time_s"]
        return self._where(~(times < begin) & ~(times >= end))

    def __getattr__(self, name: str) -> NDArray[Any]:
        """A column by its name: ``trace.valence``."""
        if name in COLUMNS or (name in EXPRESSION_COLUMNS and self.has_expressions):
            return self.columns[name]
        raise AttributeError(f"a trace has no {name}")

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Trace):
            return NotImplemented
        same = self.columns.keys() == other.columns.keys() and all(
            np.array_equal(values, other.columns[name], equal_nan=True) for name, values in self.columns.items()
        )
        return same and self.provenance == other.provenance

    def __repr__(self) -> str:
        faces = len(np.unique(self.columns["face"]))
        span = f", {self.time_s[0]:.2f} to {self.time_s[-1]:.2f} s" if len(self) else ""
        count = f"{len(self)} estimates of {faces} face{'s' * (faces != 1)}"
        return f"<Trace of {self.source or 'unnamed source'}: {count}{span}>"

    def _repr_png_(self) -> bytes | None:
        """The plot, for a notebook; None if Matplotlib is not installed."""
        try:
            return plot.png_of(self.plot())
        except UsageError:
            return None

    def _repr_html_(self) -> str:
        """A summary and the plot, for a notebook."""
        picture = self._repr_png_()
        shown = "" if picture is None else f'<img src="data:image/png;base64,{base64.b64encode(picture).decode()}">'
        return f"<p>{html.escape(repr(self))}</p>{shown}"

    @property
    def has_expressions(self) -> bool:
        """Whether there are columns of expressions."""
        return EXPRESSION_COLUMNS[0] in self.columns

    def _where(self, mask: NDArray[np.bool_]) -> "Trace":
        columns = {name: values[mask] for name, values in self.columns.items()}
        return Trace(columns, self.source, self.model, self.cut_at_s)

    @property
    def provenance(self) -> Provenance:
        """Source, model, `cut_at_s` and the version of lowbeam."""
        return Provenance(self.source, self.model, self.cut_at_s, lowbeam.__version__)

    def of_face(self, face: int) -> "Trace":
        """The trace of the face with the id `face`."""
        return self._where(self.columns["face"] == face)

    def faces(self) -> list[int]:
        """Ids of the faces, the most present (largest sum of box areas) first."""
        ids, index = np.unique(self.columns["face"], return_inverse=True)
        presence = np.bincount(index, weights=self.columns["side"] ** 2, minlength=len(ids))
        return [int(i) for i in ids[np.argsort(-presence, kind="stable")]]

    def resample(self, fps: float, how: How = "smooth") -> "Trace":
        """The trace at the multiples of 1 / `fps` seconds: a row for each face from its first to its last estimate,
        except while it was away. ``smooth`` estimates the values between from all estimates before and after,
        ``linear`` joins estimates by straight lines, ``hold`` keeps each until the next. Standard deviations grow with
        the distance from an estimate; boxes are interpolated, with ``hold`` held.

        Raises `UsageError` if `fps` or `how` is out of range.
        """
        return Trace.from_table(
            resampled(self.columns, fps, how), source=self.source, model=self.model, cut_at_s=self.cut_at_s
        )

    def median(self, window_s: float = MEDIAN_S) -> "Trace":
        """The trace with valence and arousal replaced by their median over `window_s` seconds around each estimate,
        each face by itself: it mostly removes blinks and frames that were read wrongly. Standard deviations remain.

        Raises `UsageError` if `window_s` is out of range.
        """
        return Trace(with_medians(self.columns, window_s), self.source, self.model, self.cut_at_s)

    def to_pandas(self) -> "pandas.DataFrame":
        """A `pandas.DataFrame` with the columns of the trace (the `tables` extra). Raises `UsageError` if pandas is not
        installed."""
        try:
            import pandas
        except ImportError as error:
            raise UsageError("to_pandas needs pandas: pip install 'lowbeam[tables]'") from error
        return pandas.DataFrame(self.columns)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the trace in the format of the suffix of `path`: ``.csv`` or ``.jsonl`` (4 decimals; provenance in
        ``NAME-metadata.json``), ``.json``, or ``.parquet`` (the `tables` extra).

        Raises `UsageError` for another suffix, `OutputError` if the file cannot be written.
        """
        store.save(self, path)

    def plot(self, path: str | os.PathLike[str] | None = None, *, ax: "Axes | None" = None) -> "Figure":
        """Plot valence and arousal over time with bands of two standard deviations; returns a Matplotlib figure (the
        `plot` extra). With `path` it is written as PNG, SVG or PDF, by the suffix. With `ax` the most present face is
        drawn on these axes.

        Raises `UsageError` or `OutputError`.
        """
        if ax is not None:
            plot.draw_on(ax, self)
            figure = ax.get_figure(root=True)
            assert figure is not None  # axes belong to a figure
        else:
            figure = plot.plot_trace(self)
        if path is not None:
            plot.save_figure(figure, path)
        return figure


def load_csv(path: str | os.PathLike[str]) -> Trace:
    """Read a trace that was saved as CSV; `source` and `model` come from ``NAME-metadata.json`` beside it, if present.
    Raises `SourceError` if the file is not a trace."""
    table, provenance = store.load_table(path)
    return Trace.from_table(
        table, source=provenance.source, model=provenance.model, cut_at_s=provenance.cut_at_s
    )  # fmt: skip
