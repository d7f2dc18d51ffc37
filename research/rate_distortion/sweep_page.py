"""The page on a single sweep, as ``lowbeam curve`` writes it: what it shows without a second split."""

import os
from pathlib import Path
from typing import Any

from lowbeam.errors import SourceError
from lowbeam.evaluate.curve.interactive import recorded
from lowbeam.evaluate.curve.results import read_results
from lowbeam.evaluate.curve.systems import EACH
from lowbeam.evaluate.table import markdown_table
from lowbeam.metrics import AFFECT_NAMES
from lowbeam.scale import side_of
from research.rate_distortion.rate_distortion_page import write_rate_distortion_page
from research.rate_distortion.sweep_plots import plot_envelopes, plot_frame_rates
from research.rate_distortion.sweep_tables import envelope_table, memory_table, missing_points, what_wins_table
from research.result_files import shown_command, write_page

SWEEP = "results.json"  # what lowbeam curve writes


def write_curve_page(results: str | Path, page: str | Path, *, plots: bool = True) -> Path:
    """Write `page` (Markdown) from the folder `results`: by `write_rate_distortion_page` if it holds ``test*.json``, by
    `write_sweep_page` if it holds the ``results.json`` of ``lowbeam curve``. Raises `SourceError` or `OutputError`."""
    folder = Path(results)
    if any(folder.glob("test*.json")):
        return write_rate_distortion_page(folder, page, plots=plots)
    if (folder / SWEEP).is_file():
        return write_sweep_page(folder, page, plots=plots)
    raise SourceError(
        f"{folder} holds no result of lowbeam curve (neither {SWEEP} nor test*.json); name its output folder"
    )


def write_sweep_page(results: str | Path, page: str | Path, *, plots: bool = True) -> Path:
    """Write `page` (Markdown) from the ``results.json`` in the folder `results`, into which the plots are drawn unless
    `plots` is False. Raises `SourceError` where the file is missing or damaged, and `OutputError`."""
    folder, page = Path(results), Path(page)
    sweep = read_results(folder / SWEEP)
    try:
        text = _text(sweep, folder, Path(os.path.relpath(folder, page.parent)).as_posix(), plots)
    except (KeyError, TypeError, IndexError, StopIteration) as error:
        raise SourceError(f"{folder / SWEEP} lacks what the page needs: {error}; run lowbeam curve again") from error
    return write_page(page, text)


def _text(sweep: dict[str, Any], folder: Path, link: str, plots: bool) -> str:
    measured = [name for name in sweep["systems"] if any(name in point["scores"] for point in sweep["points"])]
    system = measured[0]
    if plots:
        plot_envelopes(sweep, folder / "envelope.png", system)
    count = len(sweep["points"])
    about = f"{recorded(sweep)}; {count} operating point{'s' * (count != 1)}; best points are chosen for `{system}`."
    if (folder / "curve.html").is_file():
        about += f" [Interactive plot of all points]({link}/curve.html)."
    parts = [
        "# CCC over bit rate", about,
        "The best points are chosen on the same recordings on which they are measured, so their CCC is slightly "
        "optimistic. To choose points on other recordings, also run `lowbeam curve` with another `--split`.",
        "## Uncoded faces", _uncoded(sweep, measured),
        "## The highest CCC within a bit-rate budget", envelope_table(sweep, system),
        f"![CCC over bit rate]({link}/envelope.png)",
        "## Downsampling, frame rate and overhead", what_wins_table(sweep, system),
    ]  # fmt: skip
    rates = {point["fps"] for point in sweep["points"]}
    if len(rates) > 1:
        if plots:
            plot_frame_rates(sweep, folder / "frame-rates.png", measured[:2], "rtp_bps")
        parts += ["## Frame rates", f"![Pareto front for each frame rate]({link}/frame-rates.png)"]
    if _is_memory_measured(sweep, measured):
        parts += ["## The effect of memory", memory_table(sweep)]
    parts += ["## Command", f"    {shown_command(sweep['command'])}{missing_points(sweep)}"]
    return "\n\n".join(parts) + "\n"


def _is_memory_measured(sweep: dict[str, Any], measured: list[str]) -> bool:
    """Whether the first two systems are a model with and without memory, measured in HEVC."""
    models = [sweep["systems"][name] for name in measured[:2]]
    in_hevc = any(point["codec"] == "hevc" for point in sweep["points"])
    return in_hevc and len(models) == 2 and models[1] == models[0] + EACH


def _uncoded(sweep: dict[str, Any], systems: list[str]) -> str:
    """CCC at the full frame rate without a codec, by side."""
    scales = list(dict.fromkeys(scale for name in systems for scale in sweep["uncoded"][name]))
    rows = []
    for name in systems:
        for affect in AFFECT_NAMES:
            found = (sweep["uncoded"][name].get(scale) for scale in scales)
            rows.append([name, affect, *("" if scored is None else f"{scored[affect]['ccc']:.3f}" for scored in found)])
    return markdown_table(["system", "CCC of", *(f"{side_of(int(scale))} px" for scale in scales)], rows)
