"""A recording that is received, what of it waits, and how its link is doing."""

import time
from collections import deque
from dataclasses import dataclass, field

from lowbeam.link.incoming import RATE_S, Incoming, Item
from lowbeam.link.messages import Ask as LinkAsk
from lowbeam.server.followed import Followed
from lowbeam.server.hub import Ask, LinkState, LiveStream
from lowbeam.server.layered import LayeredEstimates
from lowbeam.server.store import Recording

PRESENT_S = 60.0  # seconds for which the newest estimate shows that the recording is on, not one that is filled in


@dataclass
class LinkStream:
    """A recording that is received. The faces before number `stored` are stored for good; `away_s` is when its sender
    was cut off (Unix time), None while it is connected."""

    recording: Recording
    followed: Followed
    live: LiveStream
    stored: int
    layered: LayeredEstimates = field(default_factory=LayeredEstimates)
    incoming: Incoming | None = None
    waiting: deque[Item] = field(default_factory=deque)
    is_in_batch: bool = False
    is_flooded: bool = False  # more came than may wait: the stream ends after the present batch
    away_s: float | None = None
    _times: deque[float] = field(default_factory=deque)

    @property
    def is_busy(self) -> bool:
        """Whether faces of it are in a batch or wait for one."""
        return self.is_in_batch or bool(self.waiting)

    def count(self, faces: int) -> None:
        """So many faces were estimated now."""
        self._times.extend([time.time()] * faces)

    def is_present(self, now: float) -> bool:
        """Whether the stream is on: not an earlier recording that is filled in."""
        people = self.live.people.values()
        newest = max((person.estimates[-1].time_s for person in people if person.estimates), default=None)
        return newest is None or now - self.live.started_utc - newest < PRESENT_S

    def tell(self, now: float) -> None:
        """Put how the link is doing into `live`."""
        incoming, live = self.incoming, self.live
        assert incoming is not None
        is_connected, report = incoming.is_connected, incoming.report
        live.ask = (lambda ask: incoming.ask(_link_ask(ask))) if is_connected else None
        while self._times and now - self._times[0] > RATE_S:
            self._times.popleft()
        live.link = LinkState(
            "live" if is_connected else "away", incoming.rate_bps(), report.estimate_bps if report else None,
            report.budget_bps if report else None, report.loss_permille / 1000 if report else 0.0, incoming.delay_s,
            len(self._times) / RATE_S, report.point if report else "", report.behind if report else 0,
        )  # fmt: skip
        self.away_s = None if is_connected else self.away_s or now


def _link_ask(ask: Ask) -> LinkAsk:
    budget = None if ask.budget_bps is None else round(ask.budget_bps)
    return LinkAsk(ask.key, budget, None if ask.look_s is None else round(ask.look_s))
