"""Fuses the layers of a recording as they arrive: the estimates of the rich layer, which are shown at once, with those
of the lean one, which are gathered into packets and come seconds later.

`lowbeam.pipeline.fuse` does the same for files, whose faces are in order of time.
"""

from bisect import bisect_left
from collections.abc import Iterable
from dataclasses import dataclass, field, replace

from lowbeam.estimator import NEAR_S, fuse
from lowbeam.face import FaceEstimate
from lowbeam.server.store import Row

KEPT_S = 75.0  # seconds of a person that are remembered: the longest packet, and its way
MOST_KEPT = 4096  # estimates of a layer


class LayeredEstimates:
    """The latest estimates of each person in each layer of a recording."""

    def __init__(self) -> None:
        self._people: dict[int, dict[int, _Layer]] = {}  # by person, then by richness

    def take(self, seen: Iterable[tuple[Row, int]]) -> list[Row]:
        """Take new rows, each with the richness of its face; returns those of richer layers, new or earlier ones, whose
        estimates are now fused with the nearest one of a leaner layer, `NEAR_S` away at most."""
        fused: dict[tuple[int, int], Row] = {}
        for row, richness in seen:
            layers = self._people.setdefault(row.estimate.face, {})
            layers.setdefault(richness, _Layer()).add(row)
            leanest, richest = min(layers), max(layers)
            if leanest == richest:
                continue
            near = [row] if richness == richest else layers[richest].near(row.estimate.time_s)
            for one in near:
                if lean := layers[leanest].nearest(one.estimate.time_s):
                    fused[one.number, one.place] = _fused(one, lean)
        self._forget()
        return [*fused.values()]

    def _forget(self) -> None:
        newest_s = max((layer.times_s[-1] for layers in self._people.values() for layer in layers.values()), default=0)
        for person, layers in [*self._people.items()]:
            if all(newest_s - layer.times_s[-1] > KEPT_S for layer in layers.values()):
                del self._people[person]


@dataclass
class _Layer:
    """The rows of a person in a layer, in order of time."""

    rows: list[Row] = field(default_factory=list)
    times_s: list[float] = field(default_factory=list)

    def add(self, row: Row) -> None:
        place = bisect_left(self.times_s, row.estimate.time_s)
        if self.times_s[place : place + 1] == [row.estimate.time_s]:
            self.rows[place] = row
            return
        self.rows.insert(place, row)
        self.times_s.insert(place, row.estimate.time_s)
        gone = max(bisect_left(self.times_s, self.times_s[-1] - KEPT_S), len(self.rows) - MOST_KEPT)
        del self.rows[:gone], self.times_s[:gone]

    def near(self, time_s: float) -> list[Row]:
        """Those that are `NEAR_S` from `time_s` at most."""
        begin = bisect_left(self.times_s, time_s - NEAR_S)
        return [row for row in self.rows[begin:] if row.estimate.time_s <= time_s + NEAR_S]

    def nearest(self, time_s: float) -> Row | None:
        """The one of those that is nearest to `time_s`."""
        return min(self.near(time_s), key=lambda row: abs(row.estimate.time_s - time_s), default=None)


def _fused(rich: Row, lean: Row) -> Row:
    together = fuse(_told(rich), _told(lean))
    return replace(rich, estimate=rich.estimate._replace(**together._asdict()))


def _told(row: Row) -> FaceEstimate:
    return FaceEstimate(*row.estimate[2:6])
