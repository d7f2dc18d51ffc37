"""What is made of a trace after its source has ended: a running median, and rows at regular times."""

from dataclasses import dataclass

from lowbeam.trace.median import check_window
from lowbeam.trace.resample import How, check_resampling
from lowbeam.trace.trace import Trace


@dataclass(frozen=True)
class Revision:
    """First the median over `median_s` seconds (`Trace.median`), then rows at `fps` (`Trace.resample`, by `how`); None
    leaves out either. Raises `UsageError` if a value is out of range."""

    median_s: float | None = None
    fps: float | None = None
    how: How = "smooth"

    def __post_init__(self) -> None:
        if self.median_s is not None:
            check_window(self.median_s)
        if self.fps is not None:
            check_resampling(self.fps, self.how)

    @property
    def needs_whole_trace(self) -> bool:
        """Whether it changes a trace, which it can only when the source has ended."""
        return self.median_s is not None or self.fps is not None

    def of(self, trace: Trace) -> Trace:
        """The revised trace."""
        if self.median_s is not None:
            trace = trace.median(self.median_s)
        return trace if self.fps is None else trace.resample(self.fps, self.how)
