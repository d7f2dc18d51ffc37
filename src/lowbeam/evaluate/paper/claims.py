"""The claims of Cheng et al. 2017, and two of our own, each as contrasts of CCCs that decide it."""

from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

from lowbeam.train.paper.recipe import LR_SCALES

Verdict = Literal["holds", "fails", "undecided"]
Cell = tuple[str, tuple[int, ...], int]  # system, mixture, scale at which it is tested

RELEASED, ALL = (3, 4, 6), tuple(LR_SCALES)
LITTLE = 0.05  # CCC: a gain below this is called little


@dataclass(frozen=True)
class Contrast:
    """A weighted sum of CCCs that a claim says lies above `above`, or else below `below`."""

    label: str
    terms: tuple[tuple[float, Cell], ...]
    above: float | None = 0.0
    below: float | None = None

    def margin(self, value: float) -> float:
        """How far the sum lies on the claimed side."""
        if self.below is not None:
            return self.below - value
        assert self.above is not None
        return value - self.above

    def verdict(self, low: float, high: float) -> Verdict:
        """The verdict from the ends of the interval of the sum."""
        if self.below is not None:
            return "holds" if high < self.below else "fails" if low > self.below else "undecided"
        assert self.above is not None
        return "holds" if low > self.above else "fails" if high < self.above else "undecided"


@dataclass(frozen=True)
class Claim:
    """A statement that holds if all its contrasts hold, and fails if one fails."""

    text: str
    whose: Literal["paper", "ours"]
    contrasts: tuple[Contrast, ...]


def verdict_of(verdicts: list[Verdict]) -> Verdict:
    """The verdict on a claim, from those on its contrasts."""
    if "fails" in verdicts:
        return "fails"
    return "holds" if all(verdict == "holds" for verdict in verdicts) else "undecided"


def _one(system: str, scale: int) -> Cell:
    return (system, (scale,), scale)


def _minus(label: str, first: Cell, second: Cell, **bound: float | None) -> Contrast:
    return Contrast(label, ((1.0, first), (-1.0, second)), **bound)


def _mean_minus(label: str, first: tuple[int, ...], second: tuple[int, ...], scales: tuple[int, ...]) -> Contrast:
    share = 1 / len(scales)
    terms = [(share, ("joint-oa", first, s)) for s in scales] + [(-share, ("joint-oa", second, s)) for s in scales]
    return Contrast(label, tuple(terms))


HR: Cell = ("hr", (1,), 1)
_LARGEST, _SMALLEST = ALL[-1], ALL[0]

CLAIMS = (
    Claim(
        "LR-S degrades as S grows", "paper",
        tuple(_minus(f"LR-{a} − LR-{b}", _one("lr", a), _one("lr", b)) for a, b in pairwise(ALL)),
    ),
    Claim(
        f"Non-Joint-S gains less than {LITTLE} CCC over LR-S at every S (both forms)", "paper",
        tuple(
            _minus(f"{name}, S={s}", _one(system, s), _one("lr", s), above=None, below=LITTLE)
            for system, name in (
                ("non-joint", "Non-Joint-S − LR-S"), ("non-joint-two-stage", "Non-Joint-S (two networks) − LR-S")
            )
            for s in ALL
        ),
    ),
    Claim(
        "Joint-S beats LR-S and Non-Joint-S at every S", "paper",
        tuple(
            _minus(f"Joint-S − {name}, S={s}", _one("joint", s), _one(system, s))
            for system, name in (
                ("lr", "LR-S"), ("non-joint", "Non-Joint-S"), ("non-joint-two-stage", "Non-Joint-S (two networks)")
            )
            for s in ALL
        ),
    ),
    Claim(
        "Joint-OA, tuned on the released mixture {3, 4, 6}, beats Joint-S at each S of it", "paper",
        tuple(
            _minus(f"Joint-OA {{3, 4, 6}} − Joint-S, S={s}", ("joint-oa", RELEASED, s), _one("joint", s))
            for s in RELEASED
        ),
    ),
    Claim(
        "Joint-OA, tuned on the mixture {3, …, 16}, beats Joint-S at every S", "paper",
        tuple(_minus(f"Joint-OA {{3, …, 16}} − Joint-S, S={s}", ("joint-oa", ALL, s), _one("joint", s)) for s in ALL),
    ),
    Claim(
        "the difference Joint-OA {3, …, 16} − Joint-S is larger at large S than at small S", "paper",
        (Contrast(
            f"Joint-OA − Joint-S: at {_LARGEST} less that at {_SMALLEST}",
            ((1.0, ("joint-oa", ALL, _LARGEST)), (-1.0, _one("joint", _LARGEST)),
             (-1.0, ("joint-oa", ALL, _SMALLEST)), (1.0, _one("joint", _SMALLEST))),
        ),),
    ),
    Claim(
        "Joint-OA at S = 3 beats HR", "paper",
        (_minus("Joint-OA {3, 4, 6} at 3 − HR at HR", ("joint-oa", RELEASED, 3), HR),
         _minus("Joint-OA {3, …, 16} at 3 − HR at HR", ("joint-oa", ALL, 3), HR)),
    ),
    Claim(
        "very small faces in the mixture lower the CCC at larger faces (mean of S = 3, 4, 6)", "paper",
        (_mean_minus("Joint-OA {3, 4, 6} − {3, 4, 6, 8}", RELEASED, (3, 4, 6, 8), RELEASED),
         _mean_minus("Joint-OA {3, 4, 6} − {3, …, 16}", RELEASED, ALL, RELEASED)),
    ),
    Claim(
        "transferred convolutions add to the mixture: Joint-OA beats LR-OA", "ours",
        tuple(
            _minus(f"Joint-OA − LR-OA, {name}, S={s}", ("joint-oa", mixture, s), ("lr-oa", mixture, s))
            for mixture, name in ((RELEASED, "{3, 4, 6}"), (ALL, "{3, …, 16}"))
            for s in mixture
        ),
    ),
    Claim(
        "the mixture alone helps: LR-OA {3, …, 16} beats LR-S at every S", "ours",
        tuple(_minus(f"LR-OA {{3, …, 16}} − LR-S, S={s}", ("lr-oa", ALL, s), _one("lr", s)) for s in ALL),
    ),
)  # fmt: skip
