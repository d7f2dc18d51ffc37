"""Outputs that need the complete trace: JSON and the plot."""

import os
from array import array
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from lowbeam.errors import UsageError
from lowbeam.faces import FrameFaces
from lowbeam.sinks.sink import Sink
from lowbeam.trace import Estimate, Provenance, Trace, check_figure_format, check_format, columns_of, row_of


class TraceSink(Sink):
    """Collects a trace in memory, 72 bytes per estimate (nine float64), and 64 more with `expressions`."""

    def __init__(self, expressions: bool = False) -> None:
        self._values, self._expressions = array("d"), expressions

    def write(self, seen: FrameFaces, estimates: Sequence[Estimate]) -> None:
        """Collect the estimates."""
        for estimate in estimates:
            self._values.extend(row_of(estimate, self._expressions))

    def trace(self, provenance: Provenance) -> Trace:
        """The trace so far."""
        about = {"source": provenance.source, "model": provenance.model, "cut_at_s": provenance.cut_at_s}
        table = np.asarray(self._values, np.float64).reshape(-1, len(columns_of(self._expressions)))
        return Trace.from_table(table, **about)

    def close(self, provenance: Provenance) -> None:
        """Does nothing; `trace` returns the estimates."""


class JsonSink(TraceSink):
    """Writes a trace as one JSON object."""

    def __init__(self, path: str | os.PathLike[str], *, expressions: bool = False) -> None:
        if Path(path).suffix.lower() != ".json":
            raise UsageError(f"{path}: a JSON trace needs the suffix .json")
        check_format(path)
        super().__init__(expressions)
        self._path = path

    def close(self, provenance: Provenance) -> None:
        """Write the file."""
        self.trace(provenance).save(self._path)


class PlotSink(TraceSink):
    """Writes the plot of a trace as PNG, SVG or PDF, by the suffix of `path` (the `plot` extra)."""

    def __init__(self, path: str | os.PathLike[str]) -> None:
        check_figure_format(path)
        super().__init__()
        self._path = path

    def close(self, provenance: Provenance) -> None:
        """Draw and write the plot."""
        self.trace(provenance).plot(self._path)
