"""Reads mutants by the thousand: ``python -m tests.hostile.campaign --count 100000 --seed 1``.

Prints what came of them, and exits with status 1 where any was neither read nor refused in one clear line. Ctrl-C ends
it with what it has found.
"""

import argparse
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

from tests.hostile.child import WAYS
from tests.hostile.mutants import mutant
from tests.hostile.seeds import Original, originals
from tests.hostile.server import Server
from tests.hostile.watch import Child, Limits, Outcome

STREAM_SHARE = 0.75  # of all mutants: face streams; videos take ten times as long
FILES_A_CHILD = 2000  # after which another is begun: what one leaks is not another's fault


@dataclass(frozen=True)
class Mutant:
    """A file to be read: the `index` by which it can be made again, what it is of, and how it is read."""

    index: int
    original: Original
    mutation: str
    data: bytes
    way: str
    faces: str

    @property
    def name(self) -> str:
        """A name for a file of it."""
        return f"{self.index}-{self.original.name}-{self.way}-{self.faces}.{self.original.suffix}"


def mutants(made_of: list[Original], seed: int, indices: Iterable[int]) -> Iterator[Mutant]:
    """Mutants by their indices: each depends on the seed and its index alone."""
    streams = [original for original in made_of if original.kind == "face stream"]
    videos = [original for original in made_of if original.kind != "face stream"]
    for index in indices:
        rng = Random(f"{seed} {index}")
        original = rng.choice(streams if rng.random() < STREAM_SHARE else videos)
        way, faces = rng.choice(WAYS), rng.choice(["primary", "all"])
        mutation, data = mutant(original.data, original.kind, rng)
        yield Mutant(index, original, mutation, data, way, faces)


@dataclass
class Tally:
    """What came of mutants so far."""

    counts: Counter[tuple[str, str]] = field(default_factory=Counter)  # of group by way, and outcome
    offenders: list[tuple[Mutant, Outcome]] = field(default_factory=list)
    slowest: tuple[float, str] = (0.0, "none")  # seconds
    largest: tuple[int, str] = (0, "none")  # bytes

    def add(self, one: Mutant, outcome: Outcome) -> None:
        """Count an outcome."""
        self.counts[f"{one.original.group} by {one.way}", outcome.kind] += 1
        self.slowest = max(self.slowest, (outcome.time_s, one.name))
        self.largest = max(self.largest, (outcome.peak_bytes, one.name))
        if not outcome.is_good:
            self.offenders.append((one, outcome))

    def table(self) -> str:
        """Outcomes by what was read and how."""
        kinds = sorted({kind for _, kind in self.counts}, key=lambda kind: (kind not in ("read", "refused"), kind))
        rows = sorted({row for row, _ in self.counts})
        lines = [["", *kinds], *([row, *(str(self.counts[row, kind]) for kind in kinds)] for row in rows)]
        lines.append(["all", *(str(sum(self.counts[row, kind] for row in rows)) for kind in kinds)])
        text = "\n".join(f"{line[0]:24}" + "".join(f"{cell:>11}" for cell in line[1:]) for line in lines)
        slowest = f"slowest: {self.slowest[0]:.1f} s, {self.slowest[1]}"
        return f"{text}\n{slowest}\nmost memory: {self.largest[0] / 2**20:.0f} MiB, {self.largest[1]}"


def run(to_read: Iterable[Mutant], work: Path, tally: Tally, limits: Limits, until_s: float = float("inf")) -> None:
    """Read mutants, one after the other, until `until_s` of the monotonic clock; `tally` is kept as they are read."""
    with Server() as server, Child(work, limits) as child:
        for count, one in enumerate(to_read, 1):
            if time.monotonic() > until_s:
                return
            path = work / f"mutant.{one.original.suffix}"
            path.write_bytes(one.data)
            job = {"path": str(path), "way": one.way, "faces": one.faces, "url": server.offer(one.data, path.suffix)}
            tally.add(one, child.read(job))
            if count % FILES_A_CHILD == 0:
                child.stop()


def main() -> int:
    """Run a campaign; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m tests.hostile.campaign", description=__doc__.splitlines()[0])
    parser.add_argument("--count", type=int, default=1000, help="how many mutants")
    parser.add_argument("--first", type=int, default=0, help="index of the first, to make one again")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--minutes", type=float, default=float("inf"), help="after which no further one is begun")
    parser.add_argument("--keep", type=Path, help="folder for those that are neither read nor well refused")
    given = parser.parse_args()
    tally, began_s = Tally(), time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        try:
            made_of = originals(Path(folder))
            to_read = mutants(made_of, given.seed, range(given.first, given.first + given.count))
            run(to_read, Path(folder), tally, Limits(), began_s + 60 * given.minutes)
        except KeyboardInterrupt:
            print("interrupted", file=sys.stderr)
    print(tally.table())
    print(f"{sum(tally.counts.values())} mutants of seed {given.seed} in {time.monotonic() - began_s:.0f} s")
    for one, outcome in tally.offenders:
        print(f"{one.name}: {outcome.kind}: {outcome.detail} [{one.mutation}]")
        if given.keep is not None:
            given.keep.mkdir(parents=True, exist_ok=True)
            (given.keep / one.name).write_bytes(one.data)
    return 1 if tally.offenders else 0


if __name__ == "__main__":
    sys.exit(main())
