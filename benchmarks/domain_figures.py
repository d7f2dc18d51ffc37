"""Tables of real domains side by side, expressions, box errors and nuisances, for README, docs and cards."""

from typing import Any

from lowbeam.evaluate.table import markdown_table
from lowbeam.metrics import AFFECT_NAMES
from lowbeam.scale import side_of
from lowbeam.trace.median import MEDIAN_S

SHOWN = (1, 3, 4, 6, 8, 12, 16)
EXPRESSIONS_AT = (1, 4, 8, 16)  # scales of the table of expressions
BLINK_MEASURES = {"ccc": 3, "dent_mean": 2, "dent_rms": 2, "jitter": 3}  # and their digits
WAYS = {"right": "to the right", "down": "down", "larger": "larger"}


def domains_table(domains: dict[str, Any]) -> str:
    """CCC of each system on each corpus of real stills, smiles told from rest, and the shares of labels within one and
    two deviations."""
    headings = ["CCC", *(f"{side_of(s)} px" for s in SHOWN)]
    headings += ["AUC of smiles, 96 px", "12 px", "within 1/2 std, 96 px", "12 px"]
    rows = []
    for corpus, found in domains["corpora"].items():
        for system, scored in found["systems"].items():
            for name in AFFECT_NAMES:
                cells = [f"{scored[str(s)][name]['ccc']:.3f}" for s in SHOWN]
                auc = [_auc(scored[str(s)]["smile_auc"]) if name == "valence" else "" for s in (1, 8)]
                within = [_within(scored[str(s)][name]) for s in (1, 8)]
                rows.append([f"{corpus}, {system}, {name}", *cells, *auc, *within])
    return markdown_table(headings, rows)


def _auc(value: float | None) -> str:
    return "" if value is None else f"{value:.3f}"


def _within(scored: dict[str, Any]) -> str:
    if "within_1_std" not in scored:
        return ""
    return f"{scored['within_1_std']:.0%}/{scored['within_2_std']:.0%}"


def domains_described(domains: dict[str, Any]) -> str:
    """What the corpora are."""
    said = [
        f"{corpus}: {found['faces']:,} stills" + (f" of {found['people']:,} people" if _has_people(found) else "")
        for corpus, found in domains["corpora"].items()
    ]
    return f"Split *{domains['split']}*. " + "; ".join(said) + "."


def _has_people(found: dict[str, Any]) -> bool:
    return bool(found["people"] < found["faces"])


def expressions_table(domains: dict[str, Any]) -> str:
    """Accuracy and macro-averaged F1 of seven expressions, and the calibration error."""
    headings = ["faces, system", *(f"{side_of(s)} px, accuracy / F1" for s in EXPRESSIONS_AT)]
    headings += ["calibration error: 96 px", "12 px"]
    rows = []
    for corpus, found in domains["corpora"].items():
        for system, scored in found["systems"].items():
            told = {s: scored[str(s)].get("expressions") for s in EXPRESSIONS_AT}
            if any(value is None for value in told.values()):
                continue
            cells = [f"{told[s]['accuracy']:.3f} / {told[s]['macro_f1']:.3f}" for s in EXPRESSIONS_AT]
            errors = [f"{told[s]['calibration_error']:.3f}" for s in (1, 8)]
            rows.append([f"{corpus}, {system}", *cells, *errors])
    return markdown_table(headings, rows)


def boxes_table(boxes: dict[str, Any]) -> str:
    """How far the detector's boxes are from the framing of the stills."""
    rows = []
    for corpus, found in boxes["corpora"].items():
        cells = [f"{100 * found['mean'][name]:+.1f} ± {100 * found['std'][name]:.1f}" for name in WAYS]
        rows.append([corpus, f"{found['found']:,} of {found['faces']:,}", *cells])
    return markdown_table(["stills", "faces found", *(f"{way}, % of the side" for way in WAYS.values())], rows)


def nuisances_table(nuisances: dict[str, Any], model: str) -> str:
    """CCC and bias by condition and size."""
    scales = list(dict.fromkeys(row["scale"] for row in nuisances["rows"]))
    found: dict[tuple[str, str], list[str]] = {}
    for row in nuisances["rows"]:
        cells = found.setdefault((row["nuisance"], row["level"]), [])
        for name in AFFECT_NAMES:
            scored = row["scores"][model][name]
            cells.append(f"{scored['ccc']:.2f} ({scored['bias']:+.2f})")
    headings = ["what is changed", "to", *(f"{name}, {side_of(s)} px" for s in scales for name in AFFECT_NAMES)]
    return markdown_table(headings, [[*key, *cells] for key, cells in found.items()])


def blinks_table(blinks: dict[str, Any], model: str) -> str:
    """CCC, the dent of blinks and the jitter of a model, with and without a running median of `MEDIAN_S`."""
    rows = []
    for row in blinks["rows"]:
        if row["model"] == model and row["window_s"] in (0, MEDIAN_S):
            faces = "with memory" if row["memory"] else "each by itself"
            median = f"{row['window_s']:g} s" if row["window_s"] else "none"
            cells = [
                " / ".join(f"{round(row[name][of], n) + 0.0:.{n}f}" for name in AFFECT_NAMES)
                for of, n in BLINK_MEASURES.items()
            ]
            within = " / ".join(f"{row[name]['within_1_std']:.0%}" for name in AFFECT_NAMES)
            rows.append([f"{side_of(row['scale'])} px, {faces}", median, *cells, within])
    headings = ["faces", "median", "CCC", "dent of a blink, mean", "root mean square", "jitter", "within 1 std"]
    return markdown_table([headings[0], headings[1], *(f"{what}, V / A" for what in headings[2:])], rows)


def real_jitter_table(blinks: dict[str, Any]) -> str:
    """The jitter of each model on videos of real people, without and with the median."""
    windows = ("0", f"{MEDIAN_S:g}")
    rows = [
        [model, *(" / ".join(f"{found[window][name]:.3f}" for name in AFFECT_NAMES) for window in windows)]
        for model, found in blinks["real"].items()
    ]
    return markdown_table(["jitter on real people, V / A", "no median", f"median over {MEDIAN_S:g} s"], rows)


def domain_tries_table(tries: dict[str, dict[str, Any]], described: dict[str, str]) -> str:
    """Mean CCC of valence and arousal over the sizes on each corpus, what box errors and little light leave, and, where
    it was measured, the mean over all conditions of the nuisances on rendered people."""
    rows = []
    for name, what in described.items():
        corpora = tries[name]["corpora"]
        means = [_mean_ccc(found["systems"]) for found in corpora.values()]
        off = [_mean_affect(tries[f"{name}-framing"], "error", "moved and sized up to 10 %", s) for s in (1, 8)]
        dark = [_mean_affect(tries[f"{name}-light"], "gain", 0.1, s) for s in (1, 8)]
        within = _row(tries[f"{name}-light"], "gain", 0.1, 1)["valence"]["within_1_std"]
        cells = [f"{sum(means) / len(means):.4f}", *(f"{mean:.4f}" for mean in means)]
        nuisances = tries.get(f"{name}-nuisances")
        on_rendered = [_mean_of_conditions(nuisances, s) for s in (1, 8)] if nuisances else []
        rows.append([what, *cells, " / ".join(off), " / ".join(dark), f"{within:.0%}", " / ".join(on_rendered)])
    corpora = tries[next(iter(described))]["corpora"]
    first = next(iter(corpora))
    headings = [
        "try", "mean of both", *corpora, f"{first}, boxes off by up to 10 %: 96 / 12 px",
        f"{first}, a tenth of the light: 96 / 12 px", "within 1 std there, 96 px",
        "rendered people, one thing changed at a time: 96 / 12 px",
    ]  # fmt: skip
    return markdown_table(headings, rows)


def shares_table(tries: dict[str, dict[str, Any]]) -> str:
    """CCC on each corpus by the share of its earlier weights that a model keeps: the mean over valence, arousal and all
    sizes, and valence at some sizes. `tries` has them as ``share-MODEL-SHARE``."""
    shown, rows, found = (1, 4, 8, 16), [], {}
    for name, measured in tries.items():
        if name.startswith("share-"):
            _, model, share = name.split("-")
            found[model, float(share)] = measured["corpora"]
    for (model, kept), corpora in sorted(found.items()):
        means = [_mean_ccc(measured["systems"]) for measured in corpora.values()]
        cells = [f"{sum(means) / len(means):.4f}"]
        for measured, mean in zip(corpora.values(), means, strict=True):
            (scored,) = measured["systems"].values()
            cells += [f"{mean:.4f}", " / ".join(f"{scored[str(s)]['valence']['ccc']:.3f}" for s in shown)]
        rows.append([model, f"{kept:.0%}", *cells])
    sides = " / ".join(str(side_of(s)) for s in shown)
    corpora = next(iter(found.values()))
    headings = [heading for name in corpora for heading in (f"{name}, mean of all", f"valence, {sides} px")]
    return markdown_table(["model", "share of the weights before", "mean of both", *headings], rows)


def memory_tries_table(tries: dict[str, dict[str, Any]], described: dict[str, str]) -> str:
    """Mean CCC of valence and arousal on recordings of ``valid`` at each frame rate, of each frame by itself and with
    memory, by what memory was trained on. `tries` are what `lowbeam train` writes as ``NAME-valid.json``."""
    rates = sorted(next(iter(tries.values()))["ccc"]["with memory"], key=float)
    rows = []
    for name, what in described.items():
        alone, followed = (tries[name]["ccc"][how] for how in ("each frame by itself", "with memory"))
        cells = [f"{alone[fps]:.3f} / {followed[fps]:.3f} ({followed[fps] - alone[fps]:+.3f})" for fps in rates]
        rows.append([what, *cells])
    return markdown_table(["memory trained on", *(f"{float(fps):g} fps" for fps in rates)], rows)


def _mean_of_conditions(nuisances: dict[str, Any], scale: int) -> str:
    cccs = [
        found[name]["ccc"]
        for row in nuisances["rows"] if row["scale"] == scale
        for found in row["scores"].values() for name in AFFECT_NAMES
    ]  # fmt: skip
    return f"{sum(cccs) / len(cccs):.3f}"


def _mean_ccc(systems: dict[str, Any]) -> float:
    (scored,) = systems.values()
    values = [found[name]["ccc"] for found in scored.values() for name in AFFECT_NAMES]
    return sum(values) / len(values)


def _row(results: dict[str, Any], key: str, value: object, scale: int) -> dict[str, Any]:
    row = next(row for row in results["rows"] if row[key] == value and row["scale"] == scale)
    (scored,) = row["scores"].values()
    found: dict[str, Any] = scored
    return found


def _mean_affect(results: dict[str, Any], key: str, value: object, scale: int) -> str:
    scored = _row(results, key, value, scale)
    return f"{sum(scored[name]['ccc'] for name in AFFECT_NAMES) / len(AFFECT_NAMES):.3f}"
