"""Lost faces repaired in different ways: ``python -m benchmarks.link.repair REAL_FOLDER``.

Writes ``benchmarks/results/link-repair.json``.
"""

import argparse
from pathlib import Path
from typing import Any

from benchmarks.link.material import Material, real
from benchmarks.link.trial import at_once, run_trial, save_results, summary
from lowbeam.link.recording_sender import Repair

KBPS, LOSSES = 4.0, (5.0, 20.0)


def point(material: Material, loss: float, repair: str) -> dict[str, Any]:
    """The figures of one way to repair."""
    told, faces, _ = run_trial(str(material.path), KBPS, loss, repair=repair)
    return {"repair": repair, "kbps": KBPS, "loss_percent": loss, **summary(told, faces, material)}


def main() -> None:
    """Measure, and write the results after each point."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    material = real(parser.parse_args().folder)
    points = [{"material": material, "loss": loss, "repair": way.value} for loss in LOSSES for way in Repair]
    at_once(point, points, lambda rows: save_results("link-repair", {"kbps": KBPS, "real": rows}))


if __name__ == "__main__":
    main()
