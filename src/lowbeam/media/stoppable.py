"""The base of sources that a signal ends."""

from contextlib import AbstractContextManager, nullcontext

from lowbeam.media.inputs import PipeInput, Source, name_of
from lowbeam.media.stopping import StopOnSignal


class StoppableSource:
    """A source that SIGINT, SIGTERM and SIGHUP end if it is live.

    `stop` is one that several sources share; without it a live source has its own, which `_close_stop` closes.
    `cut_at_s` is the time in seconds at which the source was cut, None if it was not.
    """

    def __init__(self, source: Source, is_live: bool, stop: StopOnSignal | None = None) -> None:
        self.name = name_of(source)
        self.is_live = is_live
        self.cut_at_s: float | None = None
        self._own_stop = StopOnSignal() if is_live and stop is None else None
        self._stop = stop or self._own_stop
        if isinstance(source, PipeInput) and self._stop is not None:
            source.wake_by(self._stop.wake_fd)

    @property
    def is_stopped(self) -> bool:
        """Whether a signal ended the source."""
        return self._stop is not None and self._stop.stopped

    def _stop_closed_on_error(self) -> AbstractContextManager[None]:
        """For the block that opens the source."""
        return nullcontext() if self._own_stop is None else self._own_stop.closed_on_error()

    def _close_stop(self) -> None:
        if self._own_stop is not None:
            self._own_stop.close()
