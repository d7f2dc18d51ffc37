"""The page ``docs/rate-distortion.md``, written from its result files: tables, and plots beside the results."""

import json
import os
from pathlib import Path
from string import Template
from typing import Any

from lowbeam.codec.wire import BATCH_S, FACE_HEADER, IP_TCP, IP_UDP_RTP, TLS_RECORD
from lowbeam.errors import SourceError, reason
from lowbeam.evaluate.curve.envelope import uncoded
from lowbeam.evaluate.curve.results import read_sweeps
from research.rate_distortion.budget_tables import kept_table, plot_kept, within_table
from research.rate_distortion.page_tables import (
    ANCHOR,
    codecs_bd_rate_table,
    corpus_table,
    losses_table,
    measured_points,
    memory_of_others_table,
    stills_table,
    systems_bd_rate_table,
    systems_table,
)
from research.rate_distortion.sweep_plots import plot_envelopes, plot_frame_rates, plot_systems
from research.rate_distortion.sweep_tables import (
    budget_table,
    envelope_table,
    memory_table,
    missing_points,
    what_wins_table,
)
from research.result_files import earlier_weights, shown_command, write_page

TEMPLATE = Path(__file__).with_name("rate_distortion_page_template.md")
OTHERS = "memory-"  # begins the names of sweeps of other corpora, by which the effect of memory is measured


def write_rate_distortion_page(results: str | Path, page: str | Path, *, plots: bool = True) -> Path:
    """Write `page` (Markdown) from the folder `results`, into which the plots are drawn unless `plots` is False.

    The folder holds sweeps of the default model, ``valid.json`` and ``test.json`` (or several, ``test-*.json``, with
    different points); ``systems.json``, a sweep of the compared systems; ``stills.json`` and ``corpus.json`` of
    ``python -m research stills`` and ``corpus``; ``budgets-rendered.json`` and ``budgets-real.json`` of ``lowbeam
    budgets``, ``budgets-held-out.json`` of ``python -m research held-out-budgets``, and ``real-points.json``, a sweep
    of real people with the uncoded estimates as the truth; ``losses.json``, a list of the ``NAME-valid.json`` of
    training runs; and optionally sweeps on other corpora, ``memory-CORPUS.json``. Raises `SourceError` where a file is
    missing or damaged, and `OutputError`."""
    folder, page = Path(results), Path(page)
    test, valid, systems = (read_sweeps(sorted(folder.glob(f"{name}*.json"))) for name in ("test", "valid", "systems"))
    others = {path.stem.removeprefix(OTHERS): read_sweeps([path]) for path in sorted(folder.glob(f"{OTHERS}*.json"))}
    stills, corpus, losses = (_read(folder / f"{name}.json") for name in ("stills", "corpus", "losses"))
    real, rendered, held_out = (_read(folder / f"budgets-{name}.json") for name in ("real", "rendered", "held-out"))
    real_points = read_sweeps([folder / "real-points.json"])
    system = next(iter(test["systems"]))
    if plots:
        plot_kept(real, rendered, folder / "budgets.png")
        plot_systems(systems, folder / "systems.png", "hevc", systems["points"][0]["fps"])
        plot_envelopes(test, folder / "envelope.png", system)
        plot_frame_rates(test, folder / "frame-rates.png", list(test["systems"])[:2], "rtp_bps")
    try:
        text = Template(TEMPLATE.read_text(encoding="utf-8")).substitute(
            system=system, anchor=ANCHOR, link=Path(os.path.relpath(folder, page.parent)).as_posix(),
            rtp_overhead=IP_UDP_RTP, tls_overhead=IP_TCP + TLS_RECORD, face_header=FACE_HEADER, batch_s=f"{BATCH_S:g}",
            uncoded_valence=f"{uncoded(test, system, 'valence'):.3f}", recordings=test["recordings"],
            uncoded_arousal=f"{uncoded(test, system, 'arousal'):.3f}", minutes=f"{test['seconds'] / 60:.0f}",
            kept_rendered=kept_table(rendered), kept_real=kept_table(real), kept_held_out=kept_table(held_out),
            within=within_table(rendered),
            real_people=real["recordings"], real_seconds=f"{real['seconds']:.0f}",
            real_envelope=envelope_table(real_points, system), real_measured=measured_points(real_points),
            budgets=budget_table(test, valid, system), systems_fps=f"{systems['points'][0]['fps']:g}",
            systems=systems_table(systems), envelope=envelope_table(test, system),
            systems_bd_rates=systems_bd_rate_table(systems), measured=measured_points(test),
            codecs_bd_rates=codecs_bd_rate_table(test, system, systems["points"][0]["fps"]),
            what_wins=what_wins_table(test, system), memory=memory_table(test),
            memory_of_others=memory_of_others_table(others), losses=losses_table(losses),
            stills_corpus=f"{stills['corpus']} {stills['split']}", stills_faces=f"{stills['faces']:,}",
            stills=stills_table(stills), corpus=corpus_table(corpus),
            commands=_commands(rendered, real, held_out, real_points, corpus, valid, test, systems, stills,
                               *others.values()),
            missing=missing_points(test, valid, systems), earlier=earlier_weights(_measured_with_the_default(folder)),
        )  # fmt: skip
    except (KeyError, TypeError, IndexError, StopIteration) as error:
        raise SourceError(f"{folder} lacks what the page needs: {error}; run research/scripts/curve.sh") from error
    return write_page(page, text)


def _measured_with_the_default(folder: Path) -> list[Path]:
    """The result files of what ships; the comparison of systems is of its first run."""
    kinds = ("budgets-*", "test*", "valid*", "real-points", "memory-*", "operating-points")
    return [path for kind in kinds for path in sorted(folder.glob(f"{kind}.json"))]


def _read(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise SourceError(f"{path} cannot be read: {reason(error)}") from error


def _commands(*results: dict[str, Any]) -> str:
    lines = [line for found in results for line in found.get("commands", [found["command"]])]
    return "\n".join(f"    {shown_command(line)}" for line in lines)
