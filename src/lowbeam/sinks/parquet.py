"""Writes Parquet, one row group at a time."""

import os
from collections.abc import Sequence
from types import TracebackType

import numpy as np

from lowbeam.faces import FrameFaces
from lowbeam.sinks.sink import WholeFileSink
from lowbeam.trace import Estimate, Provenance, Trace, columns_of, row_of
from lowbeam.trace.store import arrow

GROUP = 65536  # rows


class ParquetSink(WholeFileSink):
    """Estimates as Parquet (the `tables` extra), with the provenance in the file's metadata under ``lowbeam``."""

    def __init__(self, path: str | os.PathLike[str], *, expressions: bool = False) -> None:
        self._arrow, self._parquet = arrow()
        self._expressions, self._names = expressions, columns_of(expressions)
        super().__init__(path)
        types = [(name, self._arrow.int64() if name == "face" else self._arrow.float64()) for name in self._names]
        self._schema = self._arrow.schema(types)
        self._writer = self._parquet.ParquetWriter(self._beside, self._schema)
        self._rows: list[Estimate] = []

    def write(self, seen: FrameFaces, estimates: Sequence[Estimate]) -> None:
        """Collect rows, and write each complete group."""
        self._rows += estimates
        if len(self._rows) >= GROUP:
            self._write_group()

    def _write_group(self) -> None:
        rows = [row_of(estimate, self._expressions) for estimate in self._rows]
        trace = Trace.from_table(np.array(rows, np.float64).reshape(-1, len(self._names)))
        self._writer.write_table(self._arrow.table(trace.columns, schema=self._schema))
        self._rows = []

    def close(self, provenance: Provenance) -> None:
        """Write the remaining rows and finish the file."""
        self._write_group()
        self._writer.add_key_value_metadata({"lowbeam": provenance.as_json()})
        self._writer.close()
        self._publish()

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self._is_open:
            self._writer.close()
        super().__exit__(kind, error, trace)
