"""Writes ``docs/link-measured.md`` from the result files: ``python -m benchmarks.link.page``."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks.link.sections.compact import compact
from benchmarks.link.sections.following import start, steps
from benchmarks.link.sections.losses import accounting, cuts, repair
from benchmarks.link.sections.rates import points, rates, rendered
from benchmarks.link.sections.serving import glass, streams
from benchmarks.link.trial import RESULTS
from research.result_files import earlier_weights

PAGE = Path(__file__).parents[2] / "docs" / "link-measured.md"
INTRODUCTION = """# The live link, measured

Every figure on this page is from a file in `benchmarks/results`, and the page is written by
`python -m benchmarks.link.page`. Unless a section says otherwise, sender and receiver ran in two network namespaces of
one machine with two cores, joined by a veth pair. Behind the receiver's interface a relay limits the rate of IP packets
in both directions: a packet arrives when its last bit has passed, and 8000 bytes may wait. (`tc tbf` lets seconds'
worth of bytes pass at once after a pause at such rates.) `nft` drops packets on their way to the receiver at random.
The benchmarks need root.

Three trials ran at a time, beside a server with fifty streams (those that are held in the last section).
"""


PARTS: dict[str, Callable[[dict[str, Any]], str]] = {
    "rates": rates, "rates-rendered": rendered, "points": points, "compact": compact,
    "repair": repair, "start": start, "steps": steps, "cuts": cuts,
    "accounting": accounting, "glass": glass, "streams": streams,
}  # fmt: skip


MEASURE_ESTIMATES = ("rates", "rates-rendered", "points", "compact")  # the others count bytes and delays


def main() -> None:
    """Write the page from the result files that exist."""
    measured = [path for part in MEASURE_ESTIMATES if (path := RESULTS / f"link-{part}.json").exists()]
    texts = [INTRODUCTION, *([note.lstrip()] if (note := earlier_weights(measured)) else [])]
    for name, part in PARTS.items():
        path = RESULTS / f"link-{name}.json"
        if path.exists():
            texts.append(part(json.loads(path.read_text())))
    missing = [name for name in PARTS if not (RESULTS / f"link-{name}.json").exists()]
    if missing:
        texts.append(f"## Not measured yet\n\n{', '.join(f'`link-{name}.json`' for name in missing)}\n")
    PAGE.write_text("\n".join(texts))


if __name__ == "__main__":
    main()
