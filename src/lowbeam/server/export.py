"""Exports what a sender sent in a span of time, as CSV or Parquet, while it is read from the store."""

import io
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any

from lowbeam.server.store import Row, Store
from lowbeam.trace.estimate import DIGITS
from lowbeam.trace.store import arrow

MEASURED = ("time_s", "valence", "arousal", "valence_std", "arousal_std", "x", "y", "side")
COLUMNS = ("utc", "recording", "face", *MEASURED, "number")
GROUP = 65536  # rows of Parquet that are written at once


async def csv_lines(store: Store, sender_id: int, since_utc: float, until_utc: float) -> AsyncIterator[str]:
    """The rows of a sender in [since, until) as CSV with `COLUMNS`: `utc` in ISO 8601, floats to 4 decimals. Yields the
    heading, then many lines at once. Raises `OutputError` if the store fails."""
    yield ",".join(COLUMNS) + "\n"
    async for page in store.recordings.rows(sender_id, since_utc, until_utc):
        yield "".join(_line(utc, recording, row) for utc, recording, row in page)


def _line(utc: float, recording: int, row: Row) -> str:
    time = datetime.fromtimestamp(utc, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    measured = (f"{getattr(row.estimate, name):.{DIGITS}f}" for name in MEASURED)
    return f"{time},{recording},{row.estimate.face},{','.join(measured)},{row.number}\n"


def parquet_chunks(store: Store, sender_id: int, since_utc: float, until_utc: float) -> AsyncIterator[bytes]:
    """The rows of a sender in [since, until) as one Parquet file with `COLUMNS`, in chunks of bytes: `utc` as a
    timestamp. Raises `UsageError` at once if pyarrow (the `tables` extra) is not installed, and `OutputError` while it
    is read if the store fails."""
    return _parquet(arrow(), store, sender_id, since_utc, until_utc)


async def _parquet(
    modules: tuple[Any, Any], store: Store, sender_id: int, since_utc: float, until_utc: float
) -> AsyncIterator[bytes]:
    pyarrow, parquet = modules
    types = {"utc": pyarrow.timestamp("us", tz="UTC")} | dict.fromkeys(("recording", "face", "number"), pyarrow.int64())
    schema = pyarrow.schema([(name, types.get(name, pyarrow.float64())) for name in COLUMNS])
    sink = _Chunks()
    with parquet.ParquetWriter(pyarrow.PythonFile(sink, "w"), schema) as writer:
        rows: list[tuple[float, ...]] = []
        async for page in store.recordings.rows(sender_id, since_utc, until_utc):
            rows += [_cells(utc, recording, row) for utc, recording, row in page]
            if len(rows) >= GROUP:
                writer.write_table(_table(pyarrow, schema, rows))
                rows = []
                yield sink.take()
        writer.write_table(_table(pyarrow, schema, rows))
    yield sink.take()


def _cells(utc: float, recording: int, row: Row) -> tuple[float, ...]:
    measured = (getattr(row.estimate, name) for name in MEASURED)
    return round(utc * 1e6), recording, row.estimate.face, *measured, row.number


def _table(pyarrow: Any, schema: Any, rows: list[tuple[float, ...]]) -> Any:
    columns = zip(*rows, strict=True) if rows else [()] * len(COLUMNS)
    arrays = [pyarrow.array(column, field.type) for column, field in zip(columns, schema, strict=True)]
    return pyarrow.table(arrays, schema=schema)


class _Chunks(io.RawIOBase):
    """A file that is only written to; `take` returns what was written since the last call."""

    def __init__(self) -> None:
        self._written = bytearray()

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        self._written += data
        return len(data)

    def take(self) -> bytes:
        taken, self._written = bytes(self._written), bytearray()
        return taken
