"""The page on a single sweep, as ``lowbeam curve`` leaves it: what it shows without a second split."""

import os
from pathlib import Path
from typing import Any

from lowbeam.errors import SourceError
from lowbeam.evaluate.curve.interactive import recorded
from lowbeam.evaluate.curve.page import envelope_table, memory_table, missing_points, what_wins_table, write_page
from lowbeam.evaluate.curve.plots import plot_envelopes, plot_frame_rates
from lowbeam.evaluate.curve.results import read_results
from lowbeam.evaluate.curve.systems import EACH
from lowbeam.evaluate.table import markdown_table
from lowbeam.files import make_folder, whole_file
from lowbeam.metrics import AFFECT_NAMES
from lowbeam.scale import side_of

SWEEP = "results.json"  # what lowbeam curve writes


def write_curve_page(results: str | Path, page: str | Path) -> Path:
    """Write `page` (Markdown) from the folder `results`: `write_page` where it holds ``test*.json``, `write_sweep_page`
    where it holds the ``results.json`` of ``lowbeam curve``. Raises `SourceError` or `OutputError`."""
    folder = Path(results)
    if any(folder.glob("test*.json")):
        return write_page(folder, page)
    if (folder / SWEEP).is_file():
        return write_sweep_page(folder, page)
    raise SourceError(f"{folder} holds no result of lowbeam curve: neither {SWEEP} nor test*.json")


def write_sweep_page(results: str | Path, page: str | Path) -> Path:
    """Write `page` (Markdown) from the ``results.json`` in the folder `results`; plots go into that folder. Raises
    `SourceError` where it is missing or damaged, `OutputError`."""
    folder, page = Path(results), Path(page)
    sweep = read_results(folder / SWEEP)
    try:
        text = _text(sweep, folder, Path(os.path.relpath(folder, page.parent)).as_posix())
    except (KeyError, TypeError, IndexError, StopIteration) as error:
        raise SourceError(f"{folder / SWEEP} does not hold what a page needs: {error}") from error
    make_folder(page.parent)
    with whole_file(page) as beside:
        beside.write_text(text, encoding="utf-8")
    return page


def _text(sweep: dict[str, Any], folder: Path, link: str) -> str:
    measured = [name for name in sweep["systems"] if any(name in point["scores"] for point in sweep["points"])]
    system = measured[0]
    plot_envelopes(sweep, folder / "envelope.png", system)
    count = len(sweep["points"])
    about = f"{recorded(sweep)}; {count} operating point{'s' * (count != 1)}; the best points are those of `{system}`."
    if (folder / "curve.html").is_file():
        about += f" [All points, to look at with the mouse]({link}/curve.html)."
    parts = [
        "# CCC over bit rate", about,
        "The best points are chosen on the recordings that they are measured on, so their CCC is a little too high. To "
        "choose on some people and report on others, run `lowbeam curve` with another `--split` too.",
        "## Uncoded faces", _uncoded(sweep, measured),
        "## The best CCC within a bit rate", envelope_table(sweep, system), f"![envelope]({link}/envelope.png)",
        "## What wins", what_wins_table(sweep, system),
    ]  # fmt: skip
    rates = {point["fps"] for point in sweep["points"]}
    if len(rates) > 1:
        plot_frame_rates(sweep, folder / "frame-rates.png", measured[:2], "rtp_bps")
        parts += ["## Frame rates", f"![frame rates]({link}/frame-rates.png)"]
    if _is_memory_measured(sweep, measured):
        parts += ["## What memory adds", memory_table(sweep)]
    parts += ["## Measured by", f"    {sweep['command']}{missing_points(sweep)}"]
    return "\n\n".join(parts) + "\n"


def _is_memory_measured(sweep: dict[str, Any], measured: list[str]) -> bool:
    """Whether the first two systems are a model with its memory and without, in HEVC."""
    models = [sweep["systems"][name] for name in measured[:2]]
    in_hevc = any(point["codec"] == "hevc" for point in sweep["points"])
    return in_hevc and len(models) == 2 and models[1] == models[0] + EACH


def _uncoded(sweep: dict[str, Any], systems: list[str]) -> str:
    """CCC of all faces at the full frame rate, without a codec, by side."""
    scales = list(dict.fromkeys(scale for name in systems for scale in sweep["uncoded"][name]))
    rows = []
    for name in systems:
        for affect in AFFECT_NAMES:
            found = (sweep["uncoded"][name].get(scale) for scale in scales)
            rows.append([name, affect, *("" if scored is None else f"{scored[affect]['ccc']:.3f}" for scored in found)])
    return markdown_table(["system", "CCC of", *(f"{side_of(int(scale))} px" for scale in scales)], rows)
