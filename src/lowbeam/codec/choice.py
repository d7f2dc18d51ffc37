"""Chooses the policy for an operating point or a budget: which codec, and how it is controlled."""

from lowbeam.codec.budget import Budget
from lowbeam.codec.compact.policy import CompactBudget, CompactFixed
from lowbeam.codec.operating_point import OperatingPoint
from lowbeam.codec.operating_table import Entry, entry_for, ladder, lowest_budget
from lowbeam.codec.policy import Fixed
from lowbeam.codec.rate_control import RateControl
from lowbeam.codec.registry import KINDS, Kind, codec_named
from lowbeam.errors import UsageError

FEATURES_FROM_BPS = 200.0  # below, a packet of features has few samples, or waits for long


def parse_kinds(text: str, option: str) -> tuple[Kind, ...]:
    """The kinds in a comma-separated list, the value of `option`. Raises `UsageError`."""
    words = [word.strip() for word in text.split(",")]
    found = tuple(kind for word in words for kind in KINDS if kind == word)
    if not found or len(found) != len(words) or len(set(found)) < len(found):
        raise UsageError(f"{option} {text} is not a list of {', '.join(KINDS)}")
    return found


def parse_layers(text: str) -> tuple[Kind, Kind]:
    """The lean and the rich kind in ``LEAN,RICH``. Raises `UsageError`."""
    found = parse_kinds(text, "--layers")
    if len(found) != 2 or KINDS.index(found[0]) < KINDS.index(found[1]):
        raise UsageError(f"--layers {text} does not name two kinds, the lean one first, such as estimates,pixels")
    return found[0], found[1]


def fixed_policy(
    point: OperatingPoint, latency_s: float | None = None, *, has_key_face: bool = False
) -> Fixed | CompactFixed:
    """The policy of a fixed operating point."""
    if codec_named(point.codec).kind == "pixels":
        return Fixed(point)
    return CompactFixed(point, latency_s, has_key_face=has_key_face)


def budget_policy(
    budget: Budget,
    codec: str | None = None,
    kinds: tuple[Kind, ...] | None = None,
    latency_s: float | None = None,
    *,
    has_key_face: bool = False,
) -> RateControl | CompactBudget:
    """The policy for a budget: with `codec`, or the best of those of the `kinds` allowed; by default pixels, or what a
    smaller budget can carry. Raises `UsageError`."""
    if codec is not None and kinds is not None and codec_named(codec).kind not in kinds:
        raise UsageError(f"--codec {codec} sends {codec_named(codec).kind}, which --allow leaves out")
    rungs = ladder(budget.bps, codec, kinds=kinds or _usual_kinds(budget.bps))
    return controlled(budget, rungs, latency_s, has_key_face=has_key_face)


def controlled(
    budget: Budget, rungs: list[Entry], latency_s: float | None = None, *, has_key_face: bool = False
) -> RateControl | CompactBudget:
    """The policy for a budget with `rungs`, the entries of one codec in an operating table by rising budget."""
    if codec_named(rungs[0].point.codec).kind == "pixels":
        return RateControl(budget, rungs)
    entry = entry_for(rungs, budget.bps)
    expected = entry.kept if entry.bps <= budget.bps else None
    return CompactBudget(budget, entry.point, latency_s, expected, has_key_face=has_key_face)


def _usual_kinds(bps: float) -> tuple[Kind, ...]:
    """What lets the far side do most at a rate: pixels, or else features, or else estimates."""
    if lowest_budget("pixels") <= bps:
        return ("pixels",)
    return ("features",) if bps >= FEATURES_FROM_BPS else ("estimates",)
