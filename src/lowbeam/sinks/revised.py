"""Revises a trace, filtered or resampled, before it is written."""

from collections.abc import Sequence

from lowbeam.faces import FrameFaces
from lowbeam.sinks.sink import Sink
from lowbeam.sinks.whole_trace import TraceSink
from lowbeam.trace import Provenance, Revision


class RevisedSink(TraceSink):
    """Collects the trace and, at the end, writes what `revision` makes of it to `sinks`."""

    def __init__(self, sinks: Sequence[Sink], revision: Revision, *, expressions: bool = False) -> None:
        super().__init__(expressions)
        self._sinks, self._revision = sinks, revision

    def close(self, provenance: Provenance) -> None:
        """Write the revised trace."""
        trace = self._revision.of(self.trace(provenance))
        for sink in self._sinks:
            for estimate in trace:
                sink.write(FrameFaces(estimate.time_s, []), [estimate])
            sink.close(provenance)
