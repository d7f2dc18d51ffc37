"""The tables of a dataset, as Parquet."""

import io
from dataclasses import asdict
from typing import Any

from lowbeam.archive.records import About, Failure
from lowbeam.trace import columns_of
from lowbeam.trace.store import arrow


def printable(text: str) -> str:
    """`text` without the surrogates that stand for the bytes of a file name that is not UTF-8, which are escaped."""
    return text.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")


def recordings_table(read: list[About]) -> bytes:
    """``recordings.parquet``: a row for each recording that was read."""
    pyarrow = arrow()[0]
    text, whole, number = pyarrow.string(), pyarrow.int64(), pyarrow.float64()
    schema = pyarrow.schema([
        ("source", text), ("model", text), ("content", text), ("duration_s", number), ("face_s", number),
        ("faces", whole), ("estimates", whole), ("side_px", number), ("light", number), ("width", whole),
        ("height", whole), ("point", text), ("cut_at_s", number),
    ])  # fmt: skip
    return _table([asdict(about) | {"content": about.key.content} for about in read], schema)


def failures_table(failed: list[Failure]) -> bytes:
    """``failures.parquet``: a row for each recording that could not be read."""
    text = arrow()[0].string()
    schema = arrow()[0].schema([(name, text) for name in ("source", "model", "error", "advice")])
    return _table([asdict(failure) for failure in failed], schema)


def estimates_schema(expressions: bool) -> Any:
    """The columns of a part: those of a trace, with `expressions` or without, the recording and the model."""
    pyarrow = arrow()[0]
    types = [(name, pyarrow.int64() if name == "face" else pyarrow.float64()) for name in columns_of(expressions)]
    return pyarrow.schema([*types, ("recording", pyarrow.string()), ("model", pyarrow.string())])


def _table(rows: list[dict[str, Any]], schema: Any) -> bytes:
    pyarrow, parquet = arrow()
    buffer = io.BytesIO()
    columns = {
        name: [printable(row[name]) if isinstance(row[name], str) else row[name] for row in rows]
        for name in schema.names
    }
    parquet.write_table(pyarrow.table(columns, schema=schema), buffer)
    return buffer.getvalue()
