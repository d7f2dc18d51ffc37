"""Long recordings are read in spans, side by side, which are then joined.

Each span begins early, so that the tracker and the memory have settled where it counts. All faces of a span are read:
who is the primary person depends on all that came before, which is known only where the spans are joined.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lowbeam.archive.records import Key
from lowbeam.archive.rows import FACE, SIDE, TIME, Rows, Table, X, Y
from lowbeam.faces.track import PRIMARY_AWAY_S
from lowbeam.pipeline.options import FacesChoice, Section

SPAN_S = 600.0  # length; a recording of twice that is cut
MOST_SPANS = 1000  # a week: a longer duration is stated by mistake
LEAD_S = 20.0  # by which a span begins early
NEAR_S = 0.25  # between two sightings of a person
NEAR_SIDES = 0.5  # the same, in sides of the smaller box


@dataclass(frozen=True)
class Span:
    """The span `number` (from 0) of `count` of the recording `source`, whose content has the `key`; `fingerprint` is
    that of `About`."""

    source: str
    fingerprint: str
    key: Key
    number: int
    count: int

    @property
    def name(self) -> str:
        """What tells this span from those of other contents, settings and cuts."""
        return f"{self.key.digest()}-{self.number}of{self.count}"

    @property
    def begin_s(self) -> float:
        """Where the span begins, in seconds of the recording."""
        return self.number * SPAN_S

    def section(self, fps: float) -> Section:
        """What is read for the span: to its end, which is open for the last, and from `LEAD_S` before."""
        start_s = max(self.begin_s - LEAD_S, 0.0)
        is_last = self.number == self.count - 1
        return Section(start_s, float("inf") if is_last else self.begin_s + SPAN_S - start_s, fps)


@dataclass(frozen=True)
class Join:
    """Joins the spans of the recording `source`, all of which were read."""

    source: str
    spans: tuple[Span, ...]


def spans_of(source: str, fingerprint: str, key: Key, duration_s: float | None) -> list[Span]:
    """The spans of a recording of `duration_s` (seconds; None if it must be read as a whole); none if it is short."""
    if duration_s is None or not 2 * SPAN_S <= duration_s <= MOST_SPANS * SPAN_S:
        return []
    count = int(duration_s / SPAN_S)  # the last is the longest
    return [Span(source, fingerprint, key, number, count) for number in range(count)]


def joined(parts: Sequence[Rows], faces: FacesChoice) -> Rows:
    """The rows of a recording from those of its spans, in order, each of which was read with all faces."""
    whole = parts[0]
    estimates, light, times_s = [whole.estimates], [whole.light], [whole.times_s]
    for number, part in enumerate(parts[1:], 1):
        begin_s = number * SPAN_S
        before = np.concatenate(estimates)
        is_own = part.estimates[:, TIME] >= begin_s
        own = part.estimates[is_own].copy()
        own[:, FACE] = _renamed(own[:, FACE], _same_people(before, part.estimates[~is_own]), before)
        estimates.append(own)
        light.append(part.light[is_own])
        times_s.append(part.times_s[part.times_s >= begin_s])
    table, lights = np.concatenate(estimates), np.concatenate(light)
    if faces == "primary":
        is_primary = _primary(table)
        table, lights = table[is_primary], lights[is_primary]
    return Rows(table, lights, np.concatenate(times_s), whole.size)


def _same_people(before: Table, lead: Table) -> dict[float, float]:
    """The ids of the people in `lead`, the rows that a span began early with, by the ids that the same people have in
    the rows `before`: those who were seen at the same places at the same times most often."""
    if not len(lead):
        return {}
    recent = before[before[:, TIME] >= lead[0, TIME] - NEAR_S]
    votes: Counter[tuple[float, float]] = Counter()
    for row in lead:
        near = recent[np.abs(recent[:, TIME] - row[TIME]) <= NEAR_S]
        half = row[SIDE] / 2 - near[:, SIDE] / 2
        away = np.hypot(near[:, X] - row[X] - half, near[:, Y] - row[Y] - half)
        for same in near[away < NEAR_SIDES * np.minimum(near[:, SIDE], row[SIDE])]:
            votes[row[FACE], same[FACE]] += 1
    people: dict[float, float] = {}
    for (new, old), _ in sorted(votes.items(), key=lambda vote: (-vote[1], vote[0])):
        if new not in people and old not in people.values():
            people[new] = old
    return people


def _renamed(ids: Table, people: dict[float, float], before: Table) -> Table:
    """`ids`, with those of known people, and for the others the ids that follow."""
    after = max([before[:, FACE].max(initial=-1), *people.values()]) + 1
    known = dict(people)
    for new in ids:
        if new not in known:
            known[new] = after
            after += 1
    return np.array([known[new] for new in ids])


def _primary(table: Table) -> NDArray[np.bool_]:
    """Which rows are of the primary person, by the rule of the tracker: the largest area, summed over time so far;
    nobody, while that person has been away for less than `PRIMARY_AWAY_S`."""
    is_primary = np.zeros(len(table), bool)
    if not len(table):
        return is_primary
    presence: dict[float, float] = {}
    seen_s: dict[float, float] = {}  # of people who were seen a moment ago
    _, begins = np.unique(table[:, TIME], return_index=True)
    for frame in np.split(np.arange(len(table)), begins[1:]):
        for row in table[frame]:
            presence[row[FACE]] = presence.get(row[FACE], 0.0) + row[SIDE] ** 2
            seen_s[row[FACE]] = row[TIME]
        largest = max(frame, key=lambda index: presence[table[index, FACE]])
        now_s, most = table[largest, TIME], presence[table[largest, FACE]]
        seen_s = {face: last_s for face, last_s in seen_s.items() if now_s - last_s < PRIMARY_AWAY_S}
        is_away = any(last_s < now_s and presence[face] > most for face, last_s in seen_s.items())
        is_primary[largest] = not is_away
    return is_primary
