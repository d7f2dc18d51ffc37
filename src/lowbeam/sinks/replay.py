"""Writes a finished trace, such as one that was filtered or resampled, to outputs."""

from collections.abc import Iterable

from lowbeam.faces import FrameFaces
from lowbeam.sinks.sink import Sink
from lowbeam.trace import Trace


def replay(trace: Trace, sinks: Iterable[Sink]) -> None:
    """Write each estimate of `trace` to each of `sinks`, which need no picture. They are not closed. Raises
    `OutputError`."""
    for sink in sinks:
        for estimate in trace:
            sink.write(FrameFaces(estimate.time_s, []), [estimate])
