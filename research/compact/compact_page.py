"""The page ``docs/compact.md``, written from its result files: what pixels, features and estimates keep at a rate."""

import json
from itertools import pairwise
from pathlib import Path
from string import Template
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from lowbeam.errors import SourceError, reason
from lowbeam.evaluate.curve.envelope import Curve, bd_rate_of_curves
from lowbeam.evaluate.table import markdown_table
from lowbeam.metrics import AFFECT_NAMES
from research.result_files import earlier_weights, shown_command, write_page

TEMPLATE = Path(__file__).with_name("compact_page_template.md")
WAYS = {  # name in files: name on the page, colour
    "pixels": ("pixels", "#1d4ed8"), "layers": ("estimates and pixels", "#7c3aed"),
    "features": ("features", "#c2410c"), "estimates": ("estimates", "#15803d"),
}  # fmt: skip
OTHERS = ("feature-anchors", "identity", "pictures", "reread")  # of the default model too
PEOPLE = {"real": "real people", "rendered": "rendered people"}
SHARES = (0.90, 0.92, 0.95, 0.96)  # of the uncoded CCC
MATCHED, FINEST = "matched", "latents, level 0"  # pairs, and a source, of the study of identity
DOES = {  # what the far side can do, and the source of the study of identity that comes closest
    "pixels": ("look, estimate again", "pixels, 24 px"), "features": ("estimate again", "latents, level 10"),
    "estimates": ("nothing more", "estimates"),
}  # fmt: skip
Results = dict[str, Any]


def write_compact_page(results: str | Path, page: str | Path, *, plots: bool = True) -> Path:
    """Write `page` (Markdown) from the folder `results`: ``compact-WAY-PEOPLE.json`` of ``lowbeam budgets`` for each of
    `WAYS` and `PEOPLE` (``budgets-PEOPLE.json`` for pixels), ``feature-anchors.json``, ``identity.json``,
    ``identity-terms.json``, ``pictures.json`` and ``reread.json``; and, of the networks before they were trained
    against an adversary, ``compact-features-real.json`` and ``identity.json`` in the folder ``without-adversary``. The
    plot is drawn into `results` unless `plots` is False. Raises `SourceError` if a file is missing or damaged, and
    `OutputError`."""
    folder, page = Path(results), Path(page)
    kept = {people: {way: _read(folder / _name(way, people)) for way in WAYS} for people in PEOPLE}
    anchors, identity, reread = (_read(folder / f"{name}.json") for name in ("feature-anchors", "identity", "reread"))
    pictures, terms = _read(folder / "pictures.json"), _read(folder / "identity-terms.json")
    earlier = folder / "without-adversary"
    before = _read(earlier / "compact-features-real.json"), _read(earlier / "identity.json")
    try:
        if plots:
            _plot(kept, anchors, identity, folder / "compact.png")
        text = Template(TEMPLATE.read_text(encoding="utf-8")).substitute(
            aims=aims_table(kept), kept_real=kept_table(kept["real"]), kept_rendered=kept_table(kept["rendered"]),
            rates=rates_table(kept), bd_rates=bd_rates_table(kept), anchors=anchors_table(anchors),
            identity=identity_table(identity), terms=terms_table(terms),
            adversary=adversary_lines((kept["real"]["features"], identity), before),
            earlier=earlier_weights([*sorted(folder.glob("compact-*.json")), *(folder / f"{n}.json" for n in OTHERS)]),
            pictures=pictures_table(pictures), reread=reread_table(reread), speed=speed_line(reread),
            commands="\n".join(f"    {line}" for line in _commands(kept, anchors, identity, terms, pictures, reread)),
        )  # fmt: skip
    except (KeyError, TypeError, IndexError, ValueError, StopIteration) as error:
        raise SourceError(f"{folder} has results of another version: {reason(error)}") from error
    return write_page(page, text)


def _name(way: str, people: str) -> str:
    """The result file of a codec; those of pixels are shared with the page on rate and distortion."""
    return f"budgets-{people}.json" if way == "pixels" else f"compact-{way}-{people}.json"


def _read(path: Path) -> Results:
    try:
        found: Results = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise SourceError(f"{path} cannot be read: {reason(error)}") from error
    return found


def _mean(found: Results) -> float:
    return float(np.mean([found[name] for name in AFFECT_NAMES]))


def share(results: Results, row: Results, how: str) -> float:
    """The mean CCC of valence and arousal as a share of the uncoded one."""
    return _mean(row[how]) / _mean(results["uncoded"])


def best_share(results: Results, row: Results) -> float:
    """The same, held or joined, whichever is better: what is sent when something changes is better held."""
    return max(share(results, row, how) for how in ("hold", "linear"))


def _row(results: Results, bps: float) -> Results:
    return next(row for row in results["budgets"] if row["bps"] == bps)


def aims_table(kept: dict[str, dict[str, Results]]) -> str:
    """The aims of the codecs: at a budget, the share of the uncoded CCC that is kept, held and joined by lines."""
    aims = (("estimates", 150, 0.95), ("estimates", 500, 0.90), ("features", 300, 0.92), ("features", 1000, 0.96))
    rows = []
    for way, bps, aim in aims:
        cells = []
        for people in PEOPLE:
            results = kept[people][way]
            cells += [f"{share(results, _row(results, bps), how):.3f}" for how in ("hold", "linear")]
        rows.append([way, f"{bps / 1000:g} kbit/s", f"{aim:.2f}", *cells])
    heads = [f"{people}, {how}" for people in PEOPLE.values() for how in ("held", "joined")]
    return markdown_table(["codec", "budget", "aim", *heads], rows)


def kept_table(ways: dict[str, Results]) -> str:
    """CCC of valence and arousal, held and joined by lines, by codec and budget."""
    rows = [
        [
            WAYS[way][0], f"{row['bps'] / 1000:g} kbit/s", f"{row['used_bps'] / 1000:.3f}",
            *(" / ".join(f"{row[how][name]:.3f}" for name in AFFECT_NAMES) for how in ("hold", "linear")),
            *(f"{share(ways[way], row, how):.1%}" for how in ("hold", "linear")), f"{row['hold']['within_1_std']:.1%}",
        ]
        for way in WAYS
        for row in ways[way]["budgets"]
    ]  # fmt: skip
    return markdown_table(
        ["sent", "budget", "kbit/s used", "CCC held", "CCC joined", "share kept, held", "joined", "within 1 std"], rows
    )


def rate_for(results: Results, wanted: float) -> float | None:
    """The rate in bits per second at which a share of the uncoded CCC is kept: between budgets by the logarithm of the
    rate. None if it is not reached; the lowest rate measured if all keep more."""
    points = sorted((row["bps"], best_share(results, row)) for row in results["budgets"])
    if points[0][1] >= wanted:
        return float(points[0][0])
    for (low, below), (high, above) in pairwise(points):
        if below < wanted <= above:
            part = (wanted - below) / (above - below)
            return float(np.exp(np.log(low) + part * np.log(high / low)))
    return None


def rates_table(kept: dict[str, dict[str, Results]]) -> str:
    """The rate that each codec needs for a share of the uncoded CCC, and how much less it is than that of pixels."""
    rows = []
    for people, name in PEOPLE.items():
        pixels = kept[people]["pixels"]
        for wanted in SHARES:
            base = rate_for(pixels, wanted)
            cells = []
            for way in WAYS:
                found, results = rate_for(kept[people][way], wanted), kept[people][way]
                at_most = "≤ " if found == min(row["bps"] for row in results["budgets"]) else ""
                less = "" if way == "pixels" or base is None or found is None else f" ({found / base - 1:+.0%})"
                cells.append("–" if found is None else f"{at_most}{found / 1000:.2f}{less}")
            rows.append([name, f"{wanted:.0%}", *cells])
    return markdown_table(["people", "CCC kept", *(f"{name}, kbit/s" for name, _ in WAYS.values())], rows)


def _front(results: Results) -> Curve:
    """Rates that were used and the shares that were kept, without rates at which a lower one keeps as much."""
    found: list[tuple[float, float]] = []
    for bps, kept in sorted((row["used_bps"], best_share(results, row)) for row in results["budgets"]):
        if not found or kept > found[-1][1]:
            found.append((bps, kept))
    return found


def bd_rates_table(kept: dict[str, dict[str, Results]]) -> str:
    """Bjøntegaard's delta of the rate against pixels."""
    rows = []
    for people, name in PEOPLE.items():
        pixels = _front(kept[people]["pixels"])
        cells = []
        for way in (way for way in WAYS if way != "pixels"):
            front = _front(kept[people][way])
            value = bd_rate_of_curves(pixels, front)
            above = front[0][1] > pixels[-1][1]
            cells.append(f"{value:+.0f} %" if value is not None else "all above" if above else "–")
        rows.append([name, *cells])
    return markdown_table(["people", *(name for way, (name, _) in WAYS.items() if way != "pixels")], rows)


def anchors_table(anchors: Results) -> str:
    """The leanest plain anchor of each model that keeps most, at a few rates."""
    rows = []
    for corpus in anchors["corpora"]:
        uncoded = corpus["uncoded"]
        for bps in (1000, 2500, 5000, 13_000):
            within = [row for row in corpus["rows"] if row["bps"] <= bps]
            if within:
                best = max(within, key=lambda row: _mean(row["linear"]))
                cut = f"{best['model']}, {'×'.join(map(str, best['shape']))}, {best['bits']} bits"
                rows.append([
                    corpus["corpus"], f"{bps / 1000:g} kbit/s", cut, f"{best['fps']:g}", f"{best['bps'] / 1000:.2f}",
                    " / ".join(f"{best['linear'][name]:.3f}" for name in AFFECT_NAMES),
                    f"{_mean(best['linear']) / _mean(uncoded[best['model']]):.1%}",
                ])  # fmt: skip
    return markdown_table(["people", "at most", "best cut", "faces/s", "kbit/s", "CCC joined", "share kept"], rows)


def identity_table(identity: Results) -> str:
    """AUC and equal-error rate of the best attacker, with 95 % intervals, by what is sent."""
    rows = []
    for row in identity["rows"]:
        told = [_with_interval(row["trained"][kind], what) for kind in ("any", MATCHED) for what in ("auc", "eer")]
        rows.append([row["source"], str(row["numbers"]), row["chosen"], *told])
    return markdown_table(
        ["sent", "numbers", "attacker", "AUC, any pairs", "EER, any", "AUC, matched", "EER, matched"], rows
    )


def terms_table(terms: Results) -> str:
    """What fewer latents, or latents trained against an adversary, tell of identity and keep of affect."""
    rows = [
        [
            str(row["latents"]), f"{row['weight']:g}", f"{row['kept']:.1%}", f"{row['emotion_accuracy']:.1%}",
            *(_with_interval(row["identity"]["trained"][kind], "auc") for kind in ("any", MATCHED)),
        ]
        for row in terms["rows"]
    ]  # fmt: skip
    return markdown_table(
        ["latents", "adversary's weight", "CCC kept", "emotion accuracy", "AUC, any pairs", "AUC, matched"], rows
    )


def adversary_lines(now: tuple[Results, Results], before: tuple[Results, Results]) -> str:
    """What the adversary took from identity, and its price: budgets and identity of the networks now and before."""

    def told(kept: Results, identity: Results) -> tuple[str, str, str]:
        row = next(row for row in identity["rows"] if row["source"] == FINEST)
        any_auc, matched_auc = (f"{row['trained'][kind]['auc']:.2f}" for kind in ("any", MATCHED))
        return any_auc, matched_auc, f"{share(kept, _row(kept, 300), 'hold'):.3f}"

    (any_now, matched_now, kept_now), (any_before, matched_before, kept_before) = told(*now), told(*before)
    return (
        f"Before that, the same networks had an AUC of {any_before} on any and {matched_before} on matched pairs "
        f"(level 0), now\n{any_now} and {matched_now}; at 0.3 kbit/s they kept {kept_before} of the CCC of real "
        f"people, now {kept_now}."
    )


def _with_interval(found: Results, what: str) -> str:
    low, high = found[f"{what}_95"]
    return f"{found[what]:.2f} [{low:.2f}, {high:.2f}]"


def pictures_table(pictures: Results) -> str:
    """PSNR and SSIM of what is seen at a budget, by corpus and codec."""
    rows = [
        [
            corpus["corpus"], name, f"{way['psnr_db']:.2f}", f"{way['ssim']:.3f}", f"{way['bps'] / 1000:.2f}",
            " to ".join(f"{first:.1f}" for first in dict.fromkeys(way["first_picture_s"])),
        ]
        for corpus in pictures["corpora"]
        for name, way in corpus["ways"].items()
    ]  # fmt: skip
    return markdown_table(["people", "sent", "PSNR, dB", "SSIM", "kbit/s", "first picture after, s"], rows)


def reread_table(reread: Results) -> str:
    """CCC on FER+ test of a new reader of latents beside the shipped one and the recognizer."""
    rows = [
        [
            str(row["scale"]), str(level["level"]),
            *(
                " / ".join(f"{found[name]:.3f}" for name in AFFECT_NAMES)
                for found in (level["reread"], level["readout"], row["pixels"])
            ),
        ]
        for row in reread["rows"]
        for level in row["levels"]
    ]  # fmt: skip
    return markdown_table(["scale", "level", "new reader", "shipped reader", "accurate, pixels"], rows)


def speed_line(reread: Results) -> str:
    """Speed and size of the encoder."""
    alone, together = (reread["encoder"][f"batches of {size}"] for size in (1, 32))
    return (
        f"The encoder has {reread['bytes']['encoder.onnx'] / 1e6:.2f} MB and runs at {alone['encoder']:,.0f} faces/s "
        f"one at a time and {together['encoder']:,.0f} in batches of 32, on one core; `accurate`, in the same run, at "
        f"{alone['accurate']:,.0f} and {together['accurate']:,.0f}."
    )


def _commands(kept: dict[str, dict[str, Results]], *others: Results) -> list[str]:
    found = [results["command"] for ways in kept.values() for results in ways.values()]
    for results in others:
        found += [results["command"]] if "command" in results else [row["command"] for row in results["rows"]]
    return [*dict.fromkeys(map(shown_command, found))]


def _plot(kept: dict[str, dict[str, Results]], anchors: Results, identity: Results, path: Path) -> None:
    figure = Figure(figsize=(10, 4.6), layout="constrained")
    axes = figure.subplots(1, 2, sharey=True)
    for axis, (people, name), corpus in zip(axes, PEOPLE.items(), anchors["corpora"], strict=True):
        _plot_people(axis, kept[people], corpus, _labels(identity))
        axis.set_title(name, fontsize=10)
    axes[0].set_ylabel("share of the uncoded CCC")
    handles, labels = axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, frameon=False, fontsize=8, loc="outside lower center", ncols=2)
    figure.savefig(path, dpi=150)


def _labels(identity: Results) -> dict[str, str]:
    """For each codec, what the far side can do, and how well an attacker tells people apart."""
    auc = {row["source"]: row["trained"][MATCHED]["auc"] for row in identity["rows"]}
    return {way: f": {does}; who it is: AUC {auc[source]:.2f}" for way, (does, source) in DOES.items()}


def _plot_people(axis: Axes, ways: dict[str, Results], corpus: Results, labels: dict[str, str]) -> None:
    for way, (name, colour) in WAYS.items():
        rows, label = ways[way]["budgets"], name + labels.get(way, ": as pixels")
        shares = [best_share(ways[way], row) for row in rows]
        axis.plot([row["bps"] for row in rows], shares, "o-", markersize=3.5, color=colour, label=label)
    at = [(row["bps"], _mean(row["linear"]) / _mean(corpus["uncoded"][row["model"]])) for row in corpus["rows"]]
    axis.plot(*zip(*at, strict=True), "x", color="0.55", markersize=4, label="a recognizer's features, deflated")
    axis.set_xscale("log")
    axis.set_xlim(40, 1e5)
    axis.set_ylim(0.65, 1.09)
    axis.set_xticks([100, 1000, 10_000, 100_000], ["0.1", "1", "10", "100"])
    axis.axhline(1.0, color="0.8", linewidth=0.8)
    axis.set_xlabel("kbit/s on the wire, RTP/UDP/IPv4")
    axis.grid(alpha=0.25)
    axis.spines[["top", "right"]].set_visible(False)
