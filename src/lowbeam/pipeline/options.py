"""Options that `pack` and `read` share."""

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Generic, Literal, Protocol, TypeVar, get_args

from lowbeam.codec.operating_point import MAX_FPS, FrameRateLimiter
from lowbeam.errors import UsageError
from lowbeam.progress import Progress

FacesChoice = Literal["primary", "all"]


class Timed(Protocol):
    """An item with a time."""

    @property
    def time_s(self) -> float:
        """Seconds from the source's first frame."""


Item = TypeVar("Item", bound=Timed)


@dataclass(frozen=True)
class Section:
    """The section of a source that is read: from `start_s` for `duration_s` (seconds), at most `fps` frames per second.
    Times remain those of the source. Raises `UsageError` if a value is out of range."""

    start_s: float = 0.0
    duration_s: float = math.inf
    fps: float = math.inf

    def __post_init__(self) -> None:
        if not 0 <= self.start_s < math.inf:
            raise UsageError(f"start {self.start_s:g} is out of range: 0 or more seconds")
        if not self.duration_s > 0:
            raise UsageError(f"duration {self.duration_s:g} is out of range: more than 0 seconds")
        if not (0 < self.fps <= MAX_FPS or self.fps == math.inf):
            raise UsageError(f"fps {self.fps:g} is out of range: above 0, up to {MAX_FPS:g}")

    def of(self, items: Iterable[Item]) -> Iterator[Item]:
        """Those of `items`, which are in order of time, that are in the section."""
        limiter = FrameRateLimiter(self.fps)
        for item in items:
            if item.time_s >= self.start_s + self.duration_s:
                return
            if item.time_s >= self.start_s and limiter.takes(item.time_s - self.start_s):
                yield item


def check_faces(faces: str) -> None:
    """Raise `UsageError` if `faces` is not one of `FacesChoice`."""
    if faces not in get_args(FacesChoice):
        raise UsageError(f"faces {faces} is not one of {', '.join(get_args(FacesChoice))}")


class Counted(Generic[Item]):
    """Iterates over frames or faces and reports their number to `progress`; `last_s` is the time of the last in
    seconds."""

    def __init__(self, items: Iterable[Item], progress: Progress | None, total: int | None) -> None:
        self._items, self._progress, self._total = items, progress, total
        self.last_s = 0.0

    def __iter__(self) -> Iterator[Item]:
        for done, item in enumerate(self._items, 1):
            self.last_s = item.time_s
            yield item
            if self._progress is not None:
                self._progress(done, self._total)
