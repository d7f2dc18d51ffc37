"""What a live link keeps at each rate and loss: ``python -m benchmarks.link.rates REAL_FOLDER [--kbps …] [--loss …]``.

Writes ``benchmarks/results/link-rates.json``.
"""

import argparse
import json
import os
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.link.material import Material, agreement, offline, real
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
    given = parser.parse_args()
    material = real(given.folder)
    kept = RESULTS / "link-rates.json"
    known = json.loads(kept.read_text())["real"] if kept.exists() else []
    wanted = [(kbps, loss) for loss in given.loss for kbps in given.kbps]
    if given.pairs:
        wanted = [(float(kbps), float(loss)) for kbps, loss in (pair.split(",") for pair in given.pairs)]
    others = [one for one in known if (one["kbps"], one["loss_percent"]) not in wanted]

    late = {f"{one:g}": agreement(material, material.time_s + one, material.affect)["mean"] for one in DELAYS_S}

    def save(found: list[dict[str, Any]]) -> None:
        rows = sorted([*others, *found], key=lambda one: (one["kbps"], one["loss_percent"]))
        figures = {f"{kbps:g}": offline(material, kbps) for kbps in sorted({one["kbps"] for one in rows})}
        save_results("link-rates", {"latency_s": LATENCY_S, "offline": figures, "uncoded_late": late, "real": rows})

    at_once(point, [{"material": material, "kbps": kbps, "loss": loss} for kbps, loss in wanted], save)


if __name__ == "__main__":
    main()
