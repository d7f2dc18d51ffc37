"""Resamples a trace before it is written."""

from collections.abc import Sequence

from lowbeam.faces import FrameFaces
from lowbeam.sinks.sink import Sink
from lowbeam.sinks.whole_trace import TraceSink
from lowbeam.trace import How, Provenance


class ResampledSink(TraceSink):
    """Collects the trace and, at the end, writes it at `fps` rows per second and face to `sinks`."""

    def __init__(self, sinks: Sequence[Sink], fps: float, how: How, *, expressions: bool = False) -> None:
        super().__init__(expressions)
        self._sinks, self._fps, self._how = sinks, fps, how

    def close(self, provenance: Provenance) -> None:
        """Write the resampled trace."""
        trace = self.trace(provenance).resample(self._fps, self._how)
        for sink in self._sinks:
            for estimate in trace:
                sink.write(FrameFaces(estimate.time_s, []), [estimate])
            sink.close(provenance)
