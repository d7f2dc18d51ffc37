"""The answer at the head of the page: each claim, its verdict, and the contrast that speaks most against it."""

from typing import Any

from lowbeam.evaluate.paper.claims import CLAIMS
from lowbeam.evaluate.paper.verdicts import MeasuredContrasts, measured_contrasts
from lowbeam.evaluate.table import markdown_table
from lowbeam.metrics import AFFECT_NAMES
from research.paper.verdict_section import reliability_row, seeds_behind, shown_verdict
from research.result_files import shown_command

RANKS = ("fails", "undecided", "holds")
ABOUT = (
    "Beside each verdict is the contrast, a difference between CCCs of valence, that speaks most against the claim, "
    "with its simultaneous 95 % interval (see *Evaluation*). *Open*: no contrast fails, and some are not measured yet. "
    "With one seed, intervals cover the choice of test faces, not that of the initial weights. All contrasts are "
    "below, in the section on the networks."
)


def answer_section(result: dict[str, Any], title: str) -> str:
    """In Markdown, by the networks of one result file, whose section has the `title`."""
    sureness, seeds = result["sureness"], result["experiment"]["seeds"]
    rows = []
    for number, claim in enumerate(CLAIMS):
        by_affect = [measured_contrasts(sureness, number, affect) for affect in AFFECT_NAMES]
        valence = by_affect[0]
        behind = seeds_behind(valence.found, seeds) if valence.found else []
        rows.append([
            f"{claim.text} ({claim.whose})", *map(shown_verdict, by_affect), _most_against(valence),
            ", ".join(map(str, behind)),
        ])  # fmt: skip
    rows.append([*reliability_row(sureness), ""])
    headings = ["claim (source)", *AFFECT_NAMES, "contrast most against it, CCC of valence", "seeds"]
    link = f"[{title[0].lower()}{title[1:]}](#{title.lower().replace(' ', '-')})"
    parts = [
        "## The answer",
        f"By the networks of the experiment that are {link}. {ABOUT}",
        markdown_table(headings, rows),
    ]
    if result["unfinished"]:
        done, left = len(result["jobs"]), len(result["unfinished"])
        parts.append(
            f"**What is missing**: {left} of {done + left} networks are not trained yet; the section lists them. "
            f"`{shown_command(result['command'])}` goes on where it stopped."
        )
    return "\n\n".join(parts)


def _most_against(measured: MeasuredContrasts) -> str:
    """A contrast that fails before one that is undecided before one that holds, and of these the least on the claimed
    side."""
    if not measured.found:
        return ""
    contrasts = measured.claim.contrasts
    ranked = [
        (RANKS.index(verdict), contrasts[found["contrast"]].margin(found["value"]), place)
        for place, (found, verdict) in enumerate(zip(measured.found, measured.verdicts, strict=True))
    ]
    worst = measured.found[min(ranked)[2]]
    label = contrasts[worst["contrast"]].label
    return f"{label}: {worst['value']:+.3f} ({worst['low']:+.3f} to {worst['high']:+.3f})"
