"""Several corpora of real stills side by side: agreement, smiles told from rest, expressions, and calibration."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from lowbeam.corpora.choose import corpus_name, load_labelled
from lowbeam.corpora.ferplus import EMOTIONS, Stills
from lowbeam.errors import UsageError
from lowbeam.evaluate.paper.bootstrap import resampling
from lowbeam.evaluate.table import confidence, scores
from lowbeam.progress import Progress
from lowbeam.scale import shrink
from research.recognizer.domain_systems import DomainSystem, Shares

DRAWS = 1000  # of the bootstrap, over people where they are known
BINS = 15  # of the calibration error
SEVEN = [index for index, name in enumerate(EMOTIONS) if name != "contempt"]  # expressions that all systems tell
NEUTRAL, HAPPINESS = EMOTIONS.index("neutral"), EMOTIONS.index("happiness")


def measure_domains(
    corpora: Sequence[str], systems: Mapping[str, DomainSystem], scales: tuple[int, ...], *, split: str = "test",
    progress: Progress | None = None,
) -> dict[str, Any]:  # fmt: skip
    """Scores of named `systems` on the stills of each of `corpora` at `scales`.

    Returns ``{"split", "corpora": {name: {"faces", "people", "systems": {system: {scale: scores}}}}}``; scores are
    those of `lowbeam.evaluate.table.scores` with ``ccc_interval``, ``smile_auc`` and, where the system tells
    expressions, ``expressions``. Raises `UsageError`, `CorpusError` or `ModelError`.
    """
    found: dict[str, Any] = {}
    done, total = 0, len(corpora) * len(systems) * len(scales)
    for corpus in corpora:
        stills = load_labelled(corpus, split)
        if not isinstance(stills, Stills):
            raise UsageError(f"{corpus} has no expressions: name corpora of stills")
        hr, draws = stills.faces(), resampling(stills.recording, DRAWS)
        by_system: dict[str, Any] = {name: {} for name in systems}
        for name, system in systems.items():
            for scale in scales:
                faces = shrink(hr, scale)
                affect, std = system.read(faces, scale)
                scored: dict[str, Any] = scores(affect, std, stills.affect)
                for metrics, ends in zip(scored.values(), confidence(affect, stills.affect, draws), strict=True):
                    metrics["ccc_interval"] = ends
                scored["smile_auc"] = smile_auc(affect[:, 0], stills.emotion)
                if system.tell is not None:
                    scored["expressions"] = expression_scores(system.tell(faces), stills.emotion)
                by_system[name][str(scale)] = scored
                done += 1
                if progress is not None:
                    progress(done, total)
        found[corpus_name(corpus)] = {
            "faces": len(stills), "people": len(np.unique(stills.recording)), "systems": by_system,
        }  # fmt: skip
    return {"split": split, "corpora": found}


def smile_auc(valence: Shares, votes: Shares) -> float | None:
    """The probability that a face whose most frequent expression is happiness has a higher estimate of `valence` (n,)
    than one that is neutral, by `votes` (n, 8): the area under the ROC curve (Hanley & McNeil 1982). None if either is
    missing."""
    most = votes.argmax(1)
    smiling, resting = valence[most == HAPPINESS], valence[most == NEUTRAL]
    if not len(smiling) or not len(resting):
        return None
    ordered = np.sort(resting)
    below = np.searchsorted(ordered, smiling, "left") + np.searchsorted(ordered, smiling, "right")
    return float(below.mean() / 2 / len(ordered))


def expression_scores(told: Shares, votes: Shares) -> dict[str, Any] | None:
    """How well the probabilities `told` agree with `votes`, (n, 8) each: over the faces whose most frequent expression
    is one of `SEVEN`, accuracy and macro-averaged F1 of the most probable of these; over all faces, the calibration
    error: how far the probability of the most probable expression is from the share of raters who chose it, on average
    over `BINS` bins (Guo et al. 2017). None if no face shows one of `SEVEN`."""
    truth = votes.argmax(1)
    rows = np.isin(truth, SEVEN)
    if not rows.any():
        return None
    guess, truth = np.array(SEVEN)[told[rows][:, SEVEN].argmax(1)], truth[rows]
    f1 = {}
    for index in SEVEN:
        hits = int(((guess == index) & (truth == index)).sum())
        of_class = int((guess == index).sum() + (truth == index).sum())
        f1[EMOTIONS[index]] = 2 * hits / of_class if of_class else 0.0
    return {
        "accuracy": float((guess == truth).mean()), "macro_f1": float(np.mean(list(f1.values()))), "f1": f1,
        "calibration_error": calibration_error(told, votes),
    }  # fmt: skip


def calibration_error(told: Shares, votes: Shares) -> float:
    """See `expression_scores`."""
    best = told.argmax(1)
    confidences, agreed = told.max(1), votes[np.arange(len(votes)), best]
    bins = np.minimum((confidences * BINS).astype(int), BINS - 1)
    gaps = [abs(confidences[bins == b].mean() - agreed[bins == b].mean()) * (bins == b).sum() for b in np.unique(bins)]
    return float(sum(gaps) / len(told))
