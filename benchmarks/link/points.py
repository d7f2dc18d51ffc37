"""Whether a live link should take smaller faces than the operating table says: ``python -m benchmarks.link.points
PEOPLE_FOLDER REAL_FOLDER``.

Within each budget, faces are coded at the points of the table, and at those of half and of a quarter of the budget.
Each face is shown once its packet has passed a link of that rate. The choice is made on rendered validation people.
Writes ``benchmarks/results/link-points.json``.
"""

import argparse
from pathlib import Path
from typing import Any
from unittest.mock import patch

from benchmarks.link.material import Material, real, rendered, shown_after_link
from benchmarks.link.trial import save_results
from lowbeam.codec.operating_table import Entry, ladder
from lowbeam.link.policy import for_delay
from lowbeam.pipeline import packing

KBPS = (2.0, 4.0, 8.0, 16.0)
SMALLER = (1.0, 2.0, 4.0)


def measure(material: Material, kbps: float, smaller: float) -> dict[str, Any]:
    """One clip at one budget; the point is that of the budget divided by `smaller`."""

    def smaller_ladder(bps: float, codec: str | None = None) -> list[Entry]:
        return for_delay(ladder(bps, codec), smaller, from_bps=0.0)

    with patch.object(packing, "ladder", smaller_ladder):
        found = shown_after_link(material, kbps)
    return {"kbps": kbps, "smaller": smaller, **found}


def main() -> None:
    """Measure, and write the results after each clip."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("people", type=Path)
    parser.add_argument("real", type=Path)
    given = parser.parse_args()
    materials = {"rendered_valid": rendered(given.people, "valid"), "real": real(given.real)}
    results: dict[str, Any] = {}
    for name, material in materials.items():
        results[name] = [measure(material, kbps, smaller) for kbps in KBPS for smaller in SMALLER]
        save_results("link-points", results)


if __name__ == "__main__":
    main()
