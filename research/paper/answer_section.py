"""The answer at the head of the page: each claim, its verdict, and the contrast that speaks most against it."""

from typing import Any

from lowbeam.evaluate.paper.claims import CLAIMS, Claim
from lowbeam.evaluate.paper.verdicts import measured_contrasts
from lowbeam.evaluate.table import markdown_table
from lowbeam.metrics import AFFECT_NAMES
from research.paper.verdict_section import reliability_row, seeds_behind, shown_verdict
from research.result_files import shown_command

ABOUT = (
    "What decides a claim is the contrast, a difference between CCCs of valence, that speaks most against it, with its "
    "simultaneous 95 % interval (see *Evaluation*). With one seed, intervals cover the choice of test faces, not that "
    "of the initial weights. All contrasts are below, in the section on the networks."
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
            f"{claim.text} ({claim.whose})", *map(shown_verdict, by_affect), _decisive(claim, valence.found),
            ", ".join(map(str, behind)),
        ])  # fmt: skip
    rows.append([*reliability_row(sureness), ""])
    headings = ["claim (source)", *AFFECT_NAMES, "what decides it, CCC of valence", "seeds"]
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


def _decisive(claim: Claim, found: list[dict[str, Any]]) -> str:
    if not found:
        return ""
    worst = min(found, key=lambda one: claim.contrasts[one["contrast"]].margin(one["value"]))
    label = claim.contrasts[worst["contrast"]].label
    return f"{label}: {worst['value']:+.3f} ({worst['low']:+.3f} to {worst['high']:+.3f})"
