"""Results of ``python -m research``, printed as tables."""

from collections.abc import Callable
from typing import Any

from lowbeam.cli.show import describe_faces, figure, print_table
from lowbeam.metrics import AFFECT_NAMES
from lowbeam.scale import side_of


def print_by_side(results: dict[str, Any], heading: str, condition: Callable[[dict[str, Any]], str]) -> None:
    """Print results of `measure_stills` or `measure_framing`: the mean CCC of valence and arousal, by system and
    `condition` of a row (under `heading`), with a column for each side of the face."""
    scales = list(dict.fromkeys(row["scale"] for row in results["rows"]))
    found: dict[tuple[str, str], dict[int, str]] = {}
    for row in results["rows"]:
        for system, scored in row["scores"].items():
            mean = (scored["valence"]["ccc"] + scored["arousal"]["ccc"]) / 2
            found.setdefault((system, condition(row)), {})[row["scale"]] = figure(mean)
    print(f"{describe_faces(results)}: CCC, mean of valence and arousal")
    ordered = sorted(found, key=lambda key: list(results["systems"]).index(key[0]))
    rows = [(*key, *(found[key].get(scale, "") for scale in scales)) for key in ordered]
    print_table(("system", heading, *(f"{side_of(scale)} px" for scale in scales)), rows, words=2)


def print_boxes(results: dict[str, Any]) -> None:
    """Print results of `measure_boxes`: the mean and the standard deviation of each measure, by corpus."""
    rows = []
    for corpus, found in results["corpora"].items():
        cells = [f"{100 * found['mean'][name]:+.1f} ± {100 * found['std'][name]:.1f}" for name in found["mean"]]
        rows.append((corpus, f"{found['found']} of {found['faces']}", *cells))
    print_table(("corpus", "faces found", "right, %", "down, %", "larger, %"), rows, words=1)


def print_domains(results: dict[str, Any]) -> None:
    """Print results of `measure_domains`: the CCC of valence by corpus and system, with a column for each side."""
    for corpus, found in results["corpora"].items():
        print(
            f"{corpus}, {found['faces']} faces of split {results['split']}: CCC of valence, and smiles told from rest"
        )
        by_system = found["systems"]
        scales = list(next(iter(by_system.values())))
        rows = [
            (system, *(figure(scored[s]["valence"]["ccc"]) for s in scales), figure(scored[scales[0]]["smile_auc"]))
            for system, scored in by_system.items()
        ]
        print_table(("system", *(f"{side_of(int(s))} px" for s in scales), "AUC"), rows)


def print_nuisances(results: dict[str, Any]) -> None:
    """Print results of `measure_nuisances`: CCC and bias of valence, by system and condition, for each side."""
    scales = list(dict.fromkeys(row["scale"] for row in results["rows"]))
    found: dict[tuple[str, str, str], list[str]] = {}
    for row in results["rows"]:
        for system, scored in row["scores"].items():
            cells = found.setdefault((system, row["nuisance"], row["level"]), [])
            cells.append(f"{figure(scored['valence']['ccc'])} {scored['valence']['bias']:+.2f}")
    ordered = sorted(found, key=lambda key: list(results["systems"]).index(key[0]))
    print(f"{results['people']} rendered people, {results['frames']} frames each: CCC and bias of valence")
    rows = [(*key, *found[key]) for key in ordered]
    print_table(("system", "nuisance", "level", *(f"{side_of(scale)} px" for scale in scales)), rows, words=3)


def print_blinks(results: dict[str, Any]) -> None:
    """Print results of `measure_blinks`: the CCC, and how far blinks dent the estimates, by model, side and median."""
    print(f"{results['people']} rendered people of split {results['split']}, {results['seconds']:g} s each at "
          f"{results['fps']:g} fps")  # fmt: skip
    rows = [
        (
            row["model"], f"{side_of(row['scale'])}", "memory" if row["memory"] else "each", f"{row['window_s']:g}",
            *(figure(row[name][measure]) for name in AFFECT_NAMES for measure in ("ccc", "dent_rms", "jitter")),
        )
        for row in results["rows"]
    ]  # fmt: skip
    heads = (f"{letter} {measure}" for letter in "VA" for measure in ("CCC", "dent", "jitter"))
    print_table(("model", "px", "faces", "median, s", *heads), rows, words=3)


def print_followed(results: dict[str, Any]) -> None:
    """Print results of `measure_followed`: CCC, and the share of labels within one standard deviation, by point."""
    rows = []
    for system in results["systems"]:
        for row in results["rows"]:
            scored = row["scores"][system]
            cells = [figure(scored[v][m]) for m in ("ccc", "within_1_std") for v in AFFECT_NAMES]
            point = (f"{side_of(row['scale'])}", row["codec"], f"{row['qp']}", f"{row['fps']:g}")
            rows.append((system, *point, *cells))
    print(f"{describe_faces(results)}: CCC, and the share of labels within one standard deviation (nominal: 0.68)")
    print_table(("system", "px", "codec", "QP", "fps", "V ccc", "A ccc", "V within", "A within"), rows)


def print_checks(checks: list[dict[str, Any]]) -> None:
    """Print results of `check_corpus`: CCC on each corpus of a model trained on the other."""
    rows = [(c["trained_on"], c["tested_on"], *(figure(c["scores"][v]["ccc"]) for v in AFFECT_NAMES)) for c in checks]
    print_table(("trained on", "tested on", "V ccc", "A ccc"), rows, words=2)


def print_detectors(results: dict[str, Any]) -> None:
    """Print results of `measure_detectors`: the share of frames in which a face was found, and the jitter of its centre
    in sides, by condition and finder; then milliseconds per call."""
    finders = [row["finder"] for row in results["framing"]]
    rows = [
        (row["condition"], *(figure(row[name][key]) for key in ("found", "centre_jitter") for name in finders))
        for row in results["conditions"]
    ]
    print_table(("condition", *(f"{name} {what}" for what in ("found", "jitter") for name in finders)), rows)
    times = [(row["finder"], row["what"], row["size"], f"{row['ms']:.2f}") for row in results["times"]]
    print_table(("finder", "task", "pixels", "ms"), times, words=2)


def print_anchors(results: dict[str, Any]) -> None:
    """Print results of `measure_corpora`: bits per second and CCC, held and joined by lines, by cut and frame rate."""
    for corpus in results["corpora"]:
        against = "their own uncoded estimates" if corpus["truth"] == "self" else "the labels"
        print(f"{corpus['corpus']}, {corpus['recordings']} recordings: CCC with {against}")
        rows = []
        for row in corpus["rows"]:
            point = (f"{row['bits']}", f"{row['fps']:g}", f"{row['face_bytes']:.0f}", f"{row['bps'] / 1000:.2f}")
            cells = [figure(row[how][name]) for how in ("hold", "linear") for name in AFFECT_NAMES]
            rows.append((row["model"], "×".join(map(str, row["shape"])), *point, *cells))
        heads = ("held V", "held A", "linear V", "linear A")
        print_table(("model", "cut", "bits", "fps", "bytes", "kbit/s", *heads), rows, words=2)


def print_identity(results: dict[str, Any]) -> None:
    """Print results of `measure_identity`: AUC of any, hard and matched pairs, then equal-error rates, by source."""
    rows = []
    for row in results["rows"]:
        for attacker, found in ((row["chosen"], row["trained"]), ("untrained", row["untrained"])):
            cells = [
                f"{kind[m]:.3f} [{kind[f'{m}_95'][0]:.3f}, {kind[f'{m}_95'][1]:.3f}]"
                for m in ("auc", "eer")
                for kind in found.values()
            ]
            rows.append((row["source"], attacker, f"{row['numbers']}", *cells))
    heads = tuple(f"{kind} {m}" for m in ("AUC", "EER") for kind in results["rows"][0]["trained"])
    print_table(("sent", "attacker", "numbers", *heads), rows, words=2)


def operating_table_line(table: dict[str, Any]) -> str:
    """A summary of an operating table (see `make_operating_table`) in one line."""
    entries = table["entries"]
    rates = [entry["bps"] / 1000 for entry in entries]
    codecs = ", ".join(dict.fromkeys(entry["codec"] for entry in entries))
    return f"{len(entries)} entries ({codecs}), for budgets from {min(rates):g} to {max(rates):g} kbit/s on the wire"
