"""Outputs for estimates: one class per kind of output, each with `write` and `close`."""

import os
from collections.abc import Callable
from functools import partial
from pathlib import Path

from lowbeam.files import is_device
from lowbeam.sinks.overlay import OverlaySink, check_overlay_format
from lowbeam.sinks.parquet import ParquetSink
from lowbeam.sinks.replay import replay
from lowbeam.sinks.sink import Sink
from lowbeam.sinks.text import STDOUT, CsvSink, JsonLinesSink
from lowbeam.sinks.whole_trace import JsonSink, PlotSink, TraceSink
from lowbeam.trace import check_format

__all__ = [
    "CsvSink",
    "JsonLinesSink",
    "JsonSink",
    "OverlaySink",
    "ParquetSink",
    "PlotSink",
    "Sink",
    "TraceSink",
    "check_overlay_format",
    "replay",
    "trace_sink",
]


def trace_sink(path: str | os.PathLike[str], *, live: bool, expressions: bool = False) -> Sink:
    """The sink that writes a trace to `path`, in the format of its suffix, with `expressions` if wanted; ``-``, a
    device and a FIFO get CSV. With `live` rows of text files are flushed at once. Raises `UsageError` or
    `OutputError`."""
    if os.fspath(path) == STDOUT or is_device(path):
        return CsvSink(path, live=live, expressions=expressions)
    check_format(path)
    kinds: dict[str, Callable[..., Sink]] = {
        ".csv": partial(CsvSink, live=live), ".jsonl": partial(JsonLinesSink, live=live), ".json": JsonSink,
        ".parquet": ParquetSink,
    }  # fmt: skip
    return kinds[Path(path).suffix.lower()](path, expressions=expressions)
