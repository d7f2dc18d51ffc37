"""What is kept of recordings within budgets, at the operating points that rate control chooses."""

from collections import defaultdict
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, get_args

import numpy as np

from lowbeam.codec.budget import Budget
from lowbeam.codec.choice import parse_layers
from lowbeam.codec.layers import shares
from lowbeam.codec.operating_table import Entry, ladder
from lowbeam.codec.registry import Kind
from lowbeam.corpora.choose import corpus_name
from lowbeam.corpora.labelled import Affect, Track
from lowbeam.errors import UsageError
from lowbeam.evaluate.curve.budget_runs import BudgetRun, Known, merged, run_with_budget
from lowbeam.evaluate.curve.pseudo_truth import Truth, scored_tracks, with_own_estimates
from lowbeam.evaluate.curve.score import DIGITS
from lowbeam.metrics import AFFECT_NAMES, ccc
from lowbeam.pool import shared
from lowbeam.progress import Progress
from lowbeam.recognize import Recognizer
from lowbeam.trace import How, at_times


@dataclass(frozen=True)
class _Work:
    """What each process is given."""

    corpus: str
    split: str
    truth: Truth
    cache: Path | None
    model: str
    table: tuple[Entry, ...] | None


class _Worker:
    """The state of a process."""

    def __init__(self, work: _Work) -> None:
        self.recognizer, self.table = Recognizer(work.model), work.table
        self.tracks = scored_tracks(work.corpus, work.split, work.truth, work.cache)
        self.known: dict[int, Known] = defaultdict(dict)


_worker: list[_Worker] = []  # of this process


def _begin(work: _Work) -> None:
    _worker[:] = [_Worker(work)]


def _run(job: tuple[int, Budget, str | None, str | None]) -> BudgetRun:
    recording, budget, codec, layers = job
    worker = _worker[0]

    def run(bps: float, codec: str | None, kind: Kind) -> BudgetRun:
        part, rungs = replace(budget, bps=bps), ladder(bps, codec, worker.table, (kind,))
        return run_with_budget(worker.tracks[recording], part, rungs, worker.recognizer, worker.known[recording])

    if layers is None:
        return run(budget.bps, codec, "pixels")
    lean, rich = parse_layers(layers)
    bps = shares(budget.bps, lean)
    return merged(run(bps[0], None, lean), run(bps[1], codec, rich))


def measure_budgets(
    corpus: str, budgets: list[Budget], model: str, *, split: str = "test", truth: Truth = "labels",
    codec: str | None = None, layers: str | None = None, table: tuple[Entry, ...] | None = None,
    cache: str | Path | None = None, workers: int | None = None, ray: str | None = None,
    progress: Progress | None = None,
) -> dict[str, Any]:  # fmt: skip
    """Send the recordings of a split of `corpus` (``KIND:PATH``) within each of `budgets`, as ``lowbeam pack --budget``
    does, and compare the estimates by `model` with the labels or, with `truth` ``self``, with its own estimates of the
    uncoded faces. `layers` sends two layers, the lean one of estimates: ``"estimates,pixels"``. `table` replaces the
    shipped operating table. `cache` is the folder of the recordings' faces; `progress` counts jobs (a recording at a
    budget).

    Returns results ready for JSON: ``uncoded``, the CCC of valence and arousal without coding, and ``budgets``, each
    with the budget, the mean rate used in bits per second, faces per second, and the CCC over all frames by how the
    estimates are filled in: ``hold``, ``linear`` and ``smooth``, with the share of frames that lie within one standard
    deviation (nominally 0.683 if errors were normal). ``per_recording`` has the same for each recording.
    `workers` and `ray` are as in `sweep`.
    Raises `UsageError`, `CorpusError`, `ModelError` or `OutputError`.
    """
    folder = None if cache is None else Path(cache)
    if layers is not None and parse_layers(layers)[0] != "estimates":
        raise UsageError(f"--layers {layers}: only layers of which the lean one is estimates are measured")
    for budget in budgets:
        ladder(budget.bps, codec, table)  # raises `UsageError` for an unknown codec
    recognizer = Recognizer(model)
    tracks = scored_tracks(corpus, split, truth, folder, progress)
    uncoded = [with_own_estimates(track, recognizer).affect for track in tracks]
    truths = uncoded if truth == "self" else [track.affect for track in tracks]
    jobs = [(recording, budget, codec, layers) for budget in budgets for recording in range(len(tracks))]
    runs: dict[tuple[int, Budget], BudgetRun] = {}
    work = _Work(corpus, split, truth, folder, model, table)
    for count, ((recording, budget, *_), run) in enumerate(shared(_run, jobs, workers, _begin, work, ray=ray), 1):
        runs[recording, budget] = run
        if progress is not None:
            progress(count, len(jobs))
    return {
        "corpus": corpus_name(corpus), "split": split, "truth": truth, "model": model,
        "codec": codec or "any", "layers": layers,
        "recordings": len(tracks), "seconds": round(sum(map(_seconds, tracks)), 2), "uncoded": _ccc(uncoded, truths),
        "budgets": [
            {
                "bps": budget.bps, "counts": budget.counts,
                **_row([runs[n, budget] for n in range(len(tracks))], tracks, truths),
                "per_recording": [_row([runs[n, budget]], [tracks[n]], [truths[n]]) for n in range(len(tracks))],
            }
            for budget in budgets
        ],
    }  # fmt: skip


def _row(runs: list[BudgetRun], tracks: list[Track], truths: list[Affect]) -> dict[str, Any]:
    seconds = sum(map(_seconds, tracks))

    def kept(how: How) -> dict[str, float]:
        found = [_filled_in(run, track, how) for run, track in zip(runs, tracks, strict=True)]
        errors = np.concatenate([values - truth for (values, _), truth in zip(found, truths, strict=True)])
        within = np.abs(errors) < np.concatenate([stds for _, stds in found])
        return _ccc([values for values, _ in found], truths) | {"within_1_std": round(float(within.mean()), DIGITS)}

    return {
        "used_bps": round(8 * sum(run.counted_bytes for run in runs) / seconds, 1),
        "faces_per_s": round(sum(len(run.time_s) for run in runs) / seconds, 3),
        **{how: kept(how) for how in get_args(How)},
    }  # fmt: skip


def _filled_in(run: BudgetRun, track: Track, how: How) -> tuple[Affect, Affect]:
    """Valence and arousal at every frame of `track`, and their standard deviations, each (n, 2)."""
    known = run.estimates
    columns = ((known.valence, known.valence_std), (known.arousal, known.arousal_std))
    found = [at_times(run.time_s, v.astype(float), std.astype(float), track.time_s, how) for v, std in columns]
    return np.stack([values for values, _ in found], 1), np.stack([stds for _, stds in found], 1)


def _seconds(track: Track) -> float:
    return float(track.time_s[-1] - track.time_s[0])


def _ccc(found: list[Affect], truths: list[Affect]) -> dict[str, float]:
    estimates, truth = np.concatenate(found), np.concatenate(truths)
    return {name: round(ccc(estimates[:, i], truth[:, i]), DIGITS) for i, name in enumerate(AFFECT_NAMES)}
