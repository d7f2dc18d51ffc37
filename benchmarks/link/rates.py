"""What a live link keeps at each rate and loss: ``python -m benchmarks.link.rates FOLDER [--kbps …] [--loss …]``.

The folder has recordings of real people; with ``--rendered`` it is a corpus of ``lowbeam corpus render``. Writes
``benchmarks/results/link-rates.json`` or ``link-rates-rendered.json``.
"""

import argparse
import json
import os
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.link.material import Material, agreement, offline, own_estimates, real, rendered
from benchmarks.link.trial import RESULTS, at_once, run_trial, save_results, summary

RATES_KBPS = (1.0, 2.0, 4.0, 8.0, 16.0)
LOSSES = (0.0, 5.0, 20.0)
LATENCY_S = 0.2
DELAYS_S = (0.1, 0.2, 0.3, 0.5, 1.0, 2.0)


def point(material: Material, kbps: float, loss: float) -> dict[str, Any]:
    """The figures at one rate and loss."""
    told, faces, _ = run_trial(str(material.path), kbps, loss, latency_s=LATENCY_S)
    if "LINK_SEEN" in os.environ:  # a folder for what the link did, to look at
        Path(os.environ["LINK_SEEN"], f"{kbps:g}-{loss:g}.json").write_text(json.dumps(told))
        np.savez(Path(os.environ["LINK_SEEN"], f"{kbps:g}-{loss:g}.npz"), **faces)
    return {"kbps": kbps, "loss_percent": loss, **summary(told, faces, material)}


def main() -> None:
    """Measure all points, and write the results after each."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--kbps", type=float, nargs="+", default=RATES_KBPS)
    parser.add_argument("--loss", type=float, nargs="+", default=LOSSES)
    parser.add_argument("--pairs", nargs="+", metavar="KBPS,LOSS", help="instead of all of --kbps with all of --loss")
    parser.add_argument("--rendered", action="store_true", help="the folder is a corpus of rendered people")
    given = parser.parse_args()
    kind, name = ("rendered", "link-rates-rendered") if given.rendered else ("real", "link-rates")
    material = rendered(given.folder) if given.rendered else real(given.folder)
    kept = RESULTS / f"{name}.json"
    known = json.loads(kept.read_text())[kind] if kept.exists() else []
    wanted = [(kbps, loss) for loss in given.loss for kbps in given.kbps]
    if given.pairs:
        wanted = [(float(kbps), float(loss)) for kbps, loss in (pair.split(",") for pair in given.pairs)]
    others = [one for one in known if (one["kbps"], one["loss_percent"]) not in wanted]

    time_s, affect = own_estimates(material.path)
    late = {f"{one:g}": agreement(material, time_s + one, affect)["mean"] for one in (0.0, *DELAYS_S)}

    def save(found: list[dict[str, Any]]) -> None:
        rows = sorted([*others, *found], key=lambda one: (one["kbps"], one["loss_percent"]))
        figures = {f"{kbps:g}": offline(material, kbps) for kbps in sorted({one["kbps"] for one in rows})}
        save_results(name, {"latency_s": LATENCY_S, "offline": figures, "uncoded_late": late, kind: rows})

    at_once(point, [{"material": material, "kbps": kbps, "loss": loss} for kbps, loss in wanted], save)


if __name__ == "__main__":
    main()
