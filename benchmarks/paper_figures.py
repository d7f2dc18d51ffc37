"""What the README says of the paper's experiment, and the restorer beside SR-FCN, from their result files."""

from collections import Counter
from typing import Any

from lowbeam.evaluate.paper.claims import CLAIMS, RELEASED
from lowbeam.evaluate.paper.verdicts import measured_contrasts
from lowbeam.evaluate.table import markdown_table
from lowbeam.scale import side_of
from research.paper.verdict_section import reliability_row

VERBS = {"holds": ("holds", "hold"), "fails": ("fails", "fail"), "undecided": ("is undecided", "are undecided")}


def paper_sentences(converged: dict[str, Any], accurate: dict[str, Any]) -> str:
    """The verdicts on the paper's claims by the networks trained to convergence, what the released mixture is worth,
    and what ships, by the table of `accurate` on the same faces."""
    counts = _counts(converged["sureness"])
    said = [f"{counts[verdict]} {verbs[counts[verdict] > 1]}" for verdict, verbs in VERBS.items() if counts[verdict]]
    needs = "needs" if counts[None] == 1 else "need"
    open_ = f"; {counts[None]} {needs} networks that are not trained yet" if counts[None] else ""
    planned = len(converged["experiment"]["seeds"])
    one, single, joint = (_ccc(converged, system) for system in ("lr-oa", "lr", "joint-oa"))
    seeds = sorted({job["seed"] for job in converged["jobs"]})
    ships = [accurate["systems"]["lowbeam accurate"][str(s)]["valence"]["ccc"] for s in RELEASED]
    done = f"seed{'s' * (len(seeds) > 1)} {', '.join(map(str, seeds))}; {planned} are planned"
    return (
        "**The paper's claims**, tested on FER+ with networks of a quarter of the published width, trained until they "
        f"stop improving ({done}): of {sum(counts.values())}, {', '.join(said)}{open_} ([each "
        f"claim](docs/replication.md)). One network for S = {_listed_scales()} has a CCC of valence of {_listed(one)}, "
        f"one network for each S {_listed(single)}, and one that starts from super-resolution, as in the paper, "
        f"{_listed(joint)}. lowbeam's `accurate`, one network for every size and codec, has {_listed(ships)}."
    )


def _listed_scales() -> str:
    *most, last = map(str, RELEASED)
    return f"{', '.join(most)} and {last}"


def _counts(sureness: dict[str, Any]) -> Counter[str | None]:
    """The number of the paper's claims by their verdict for valence, None where it is open; with that of RMSE's
    reliability."""
    verdicts: list[str | None] = [
        measured_contrasts(sureness, number, "valence").verdict
        for number, claim in enumerate(CLAIMS) if claim.whose == "paper"
    ]  # fmt: skip
    reliability = reliability_row(sureness)[1].strip("*")
    return Counter([*verdicts, reliability if reliability in VERBS else None])


def _ccc(converged: dict[str, Any], system: str) -> list[float]:
    """CCC of valence of a system at the scales of the released mixture, the mean over seeds."""
    found: dict[int, list[float]] = {}
    for job in converged["jobs"]:
        if job["system"] == system and (len(job["mixture"]) == 1 or tuple(job["mixture"]) == RELEASED):
            for scale, scored in job["scores"].items():
                found.setdefault(int(scale), []).append(scored["valence"]["ccc"])
    return [sum(found[s]) / len(found[s]) for s in RELEASED]


def _listed(values: list[float]) -> str:
    *most, last = (f"{value:.2f}" for value in values)
    return f"{', '.join(most)} and {last}"


def restorer_table(one_for_all: dict[str, Any], by_scale: dict[str, Any]) -> str:
    """PSNR and SSIM of the restorer that ships, of SR-FCN with a network a scale, and of bicubic interpolation."""
    ours = one_for_all["jobs"][0]["restoration"]
    sr_fcn = {scale: found for job in by_scale["jobs"] for scale, found in job["restoration"].items()}
    scales = [scale for scale in ours if scale in sr_fcn]
    rows = []
    for key, shown, form in (("psnr_db", "PSNR, dB", ".2f"), ("ssim", "SSIM", ".3f")):
        rows.append([f"bicubic, {shown}", *(f"{ours[s][f'bicubic_{key}']:{form}}" for s in scales)])
        rows.append([f"SR-FCN, one a scale, {shown}", *(f"{sr_fcn[s][key]:{form}}" for s in scales)])
        rows.append([f"lowbeam's restorer, {shown}", *(f"{ours[s][key]:{form}}" for s in scales)])
    return markdown_table(["test faces", *(f"{side_of(int(s))} px" for s in scales)], rows)
