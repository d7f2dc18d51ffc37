"""Verdicts on the claims, from the contrasts in a result file of `lowbeam replicate`."""

from dataclasses import dataclass
from typing import Any

from lowbeam.evaluate.paper.claims import CLAIMS, Claim, Verdict, verdict_of
from lowbeam.metrics import AFFECT_NAMES


@dataclass(frozen=True)
class MeasuredContrasts:
    """The measured contrasts of a `claim` for valence or arousal: the entries of the result file, each with its own
    verdict in `verdicts`."""

    claim: Claim
    found: list[dict[str, Any]]
    verdicts: list[Verdict]

    @property
    def verdict(self) -> Verdict | None:
        """The verdict on the claim: one contrast that fails decides it. Otherwise None where not all its contrasts were
        measured."""
        is_decided = "fails" in self.verdicts or len(self.found) == len(self.claim.contrasts)
        return verdict_of(self.verdicts) if is_decided else None


def measured_contrasts(sureness: dict[str, Any], number: int, affect: str) -> MeasuredContrasts:
    """Those of claim `number`; `sureness` is the entry of that name in a result file."""
    claim = CLAIMS[number]
    found = [contrast for contrast in sureness[affect]["contrasts"] if contrast["claim"] == number]
    verdicts = [claim.contrasts[c["contrast"]].verdict(c["low"], c["high"]) for c in found]
    return MeasuredContrasts(claim, found, verdicts)


def verdict_table(sureness: dict[str, Any]) -> str:
    """A plain-text table with a line for each claim of which contrasts were measured: the verdicts for valence and
    arousal, "open" where contrasts are missing, and the claim. Empty where no contrast was measured."""
    rows = []
    for number, claim in enumerate(CLAIMS):
        measured = [measured_contrasts(sureness, number, affect) for affect in AFFECT_NAMES]
        if any(contrasts.found for contrasts in measured):
            rows.append((*(contrasts.verdict or "open" for contrasts in measured), claim.text))
    lines = [(*AFFECT_NAMES, "claim"), *rows] if rows else []
    return "\n".join(f"{valence:<13}{arousal:<13}{text}" for valence, arousal, text in lines)
