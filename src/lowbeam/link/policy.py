"""The policies of a live link: a budget that changes, and faces of pixels so small that they are early."""

from collections.abc import Sequence
from dataclasses import replace

from lowbeam.codec.budget import Budget
from lowbeam.codec.choice import parse_layers
from lowbeam.codec.compact.policy import CompactBudget
from lowbeam.codec.layers import Layers, shares
from lowbeam.codec.operating_point import OperatingPoint
from lowbeam.codec.operating_table import Entry, entry_for, ladder
from lowbeam.codec.rate_control import RateControl
from lowbeam.codec.registry import Kind, codec_named
from lowbeam.face import Face
from lowbeam.link.bandwidth import START_BPS

LADDER_BPS = 4000.0  # at which the codec is chosen: it stays the same while the rate changes
LOOK_FACTOR = 2.0  # of the budget during a better look
CHANGE = 0.08  # share by which the budget must differ to be changed
# At budgets beyond `SMALLER_FROM_BPS`, scale and QP are those of the budget divided by `SMALLER`, chosen on rendered
# validation people: ``python -m benchmarks.link.points``.
SMALLER_FROM_BPS, SMALLER = 2000.0, 2.0


def for_delay(rungs: Sequence[Entry], smaller: float = SMALLER, from_bps: float = SMALLER_FROM_BPS) -> list[Entry]:
    """The entries of the operating table by rising budget, with the budgets at which a live link takes them. The table
    is made for what is kept in the end; on a link, a face of half the size is there in half the time."""
    return [replace(one, bps=one.bps * (smaller if one.bps > from_bps else 1.0)) for one in rungs]


class LinkPolicy:
    """A `lowbeam.codec.policy.Policy`: rate control within the budget of a link, which changes while it runs, and no
    face while the link is choked. `is_fast` is for a recording, of which no face is late."""

    may_change = True

    def __init__(self, codec: str | None = None, *, is_fast: bool = False) -> None:
        table = ladder(LADDER_BPS, codec)
        rungs = table if is_fast else for_delay(table)
        self._control = RateControl(Budget(START_BPS, "link"), rungs)
        self._bps = START_BPS
        self._look_until_s = 0.0
        self._is_choked = False
        self.held_back = 0

    @property
    def point(self) -> OperatingPoint:
        """The current operating point."""
        return self._control.point

    def follow(self, bps: float, is_choked: bool, time_s: float) -> None:
        """Take the link's budget, and whether it is choked, at `time_s` of the source."""
        self._is_choked = is_choked
        wanted = bps * (LOOK_FACTOR if time_s < self._look_until_s else 1.0)
        if abs(wanted / self._bps - 1) > CHANGE:
            self._bps = wanted
            self._control.change_budget(wanted)

    def look_closer(self, until_s: float) -> None:
        """Spend more until `until_s` (seconds of the source)."""
        self._look_until_s = until_s

    def looks_at(self, time_s: float) -> bool:
        """Whether the frame at `time_s` is due, and the link free."""
        is_due = self._control.looks_at(time_s)
        self.held_back += is_due and self._is_choked
        return is_due and not self._is_choked

    def wants(self, face: Face, debt: float, is_key: bool) -> bool:
        """As `RateControl.wants`."""
        return self._control.wants(face, debt, is_key)

    def admits(self, face: Face, face_bytes: int, cue_bytes: int, is_key: bool) -> bool:
        """As `RateControl.admits`."""
        return self._control.admits(face, face_bytes, cue_bytes, is_key)


class CompactLinkPolicy(CompactBudget):
    """The same for a compact codec. Samples are gathered while the link is choked, too: they are few bytes, and their
    packets wait."""

    def __init__(self, codec: str, latency_s: float | None = None, has_key_face: bool = False) -> None:
        entry = entry_for(ladder(START_BPS, codec), START_BPS)
        super().__init__(Budget(START_BPS, "link"), entry.point, latency_s, has_key_face=has_key_face)
        self._bps = START_BPS

    def follow(self, bps: float, is_choked: bool, time_s: float) -> None:
        """Take the link's budget."""
        if abs(bps / self._bps - 1) > CHANGE:
            self._bps = bps
            self.change_budget(bps)

    def look_closer(self, until_s: float) -> None:
        """Nothing: a packet has all there is."""


class LinkLayers(Layers):
    """The layers of a live link, which share its budget; often there is one."""

    policies: list[LinkPolicy | CompactLinkPolicy]  # type: ignore[assignment]  # narrower

    @property
    def held_back(self) -> int:
        """Frames or samples that were not sent."""
        return sum(policy.held_back for policy in self.policies)

    def follow(self, bps: float, is_choked: bool, time_s: float) -> None:
        """Take the link's budget, and whether it is choked, at `time_s` of the source."""
        lean = codec_named(self.policies[0].point.codec).kind
        budgets = [bps] if len(self.policies) == 1 else [*shares(bps, lean)]
        for policy, one in zip(self.policies, budgets, strict=True):
            policy.follow(one, is_choked, time_s)

    def look_closer(self, until_s: float) -> None:
        """Spend more until `until_s` (seconds of the source)."""
        for policy in self.policies:
            policy.look_closer(until_s)


def link_layers(
    codec: str | None = None, layers: str | None = None, *, is_fast: bool = False, latency_s: float | None = None,
    key_face: bool = False,
) -> LinkLayers:  # fmt: skip
    """One layer of `codec` (None: of pixels, the best at 4 kbit/s), or two `layers` such as ``"estimates,pixels"``; the
    other arguments are those of the policies. Raises `UsageError`."""

    def policy(kind: Kind) -> LinkPolicy | CompactLinkPolicy:
        if kind == "pixels":
            return LinkPolicy(codec, is_fast=is_fast)
        return CompactLinkPolicy(codec if codec is not None and layers is None else kind, latency_s, key_face)

    if layers is None:
        return LinkLayers([policy("pixels" if codec is None else codec_named(codec).kind)])
    return LinkLayers([policy(kind) for kind in parse_layers(layers)])
