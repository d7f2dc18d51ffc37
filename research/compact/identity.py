"""How well an attacker that was trained for it tells whether two samples are of one person.

The attackers are small, and trained on a few thousand pictures within minutes: what they find is a lower bound of what
can be found, of pixels above all, for which others have networks trained on millions of faces. A single picture is
compared with a single picture; whoever has many samples of a person knows more. The
recognizers were trained on pictures of people of the split train, with estimates as targets. The encoder of the
features codec learned who is who among the same people, from an adversary, to hide it; nobody of the test was among
them.
"""

import json
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from lowbeam.errors import UsageError
from lowbeam.progress import Progress
from lowbeam.scale import shrink
from research.compact.attackers import Samples, train_attackers, untrained
from research.compact.people import KINDS, Stills, draw_pairs, load_stills, split_people
from research.compact.sources import Source
from research.compact.verification import DIGITS, verification

SEED = 0


def measure_identity(
    path: Path, sources: Sequence[Source], *, seed: int = SEED, before: Sequence[dict[str, Any]] = (),
    progress: Progress | None = None,
) -> dict[str, Any]:  # fmt: skip
    """Train attackers on each of `sources`, of the pictures in the npz file `path`, and test the one that is best on
    valid on people it has not seen.

    Returns results ready for JSON: ``splits``, their sizes, and ``rows``, one for each source: how many ``numbers`` a
    sample has, the attackers with their AUC on valid and seconds of one core, the one that was ``chosen``, and its AUC
    and equal-error rate with 95 % intervals over ``any``, ``hard`` and ``matched`` pairs (see `draw_pairs`), beside
    those without training. The rows `before` come first. Raises `CorpusError` or `UsageError`.
    """
    splits = split_people(load_stills(path), seed)
    rows = list(before)
    for count, source in enumerate(sources, 1):
        rows.append(measure_source(source, splits, seed))
        if progress is not None:
            progress(count, len(sources))
    sizes = {name: _sizes(part, seed) for name, part in splits.items()}
    return {"stills": path.stem, "seed": seed, "splits": sizes, "rows": rows}


def measure_source(source: Source, splits: dict[str, Stills], seed: int) -> dict[str, Any]:
    """The row of a source in `measure_identity`, of the splits of `split_people`."""
    began = time.process_time()
    samples = {name: _samples(source, part, seed) for name, part in splits.items()}
    attacks = train_attackers(samples["train"], samples["valid"], seed)
    best, stills, tested = attacks[0], splits["test"], samples["test"]
    found = {"trained": {}, "untrained": {}}  # type: dict[str, dict[str, Any]]
    for kind in KINDS:
        pairs = draw_pairs(stills, seed, kind)
        for name, score in (("trained", best.score), ("untrained", untrained)):
            found[name][kind] = verification(score(tested, pairs), pairs, stills, seed)
    return {
        "source": source.name, "numbers": _numbers(source, samples["test"]), "chosen": best.name, **found,
        "attackers": {
            attack.name: {"valid_auc": round(attack.valid_auc, DIGITS), "seconds": round(attack.seconds, 1)}
            for attack in attacks
        },
        "seconds": round(time.process_time() - began, 1),
    }  # fmt: skip


def _numbers(source: Source, samples: Samples) -> int:
    return samples.vectors.shape[1] if samples.faces is None else int(np.prod(samples.faces.shape[1:]))


def _samples(source: Source, stills: Stills, seed: int) -> Samples:
    mirrored = np.ascontiguousarray(stills.pixels[:, :, ::-1])
    faces = None if source.scale is None else shrink(stills.pixels, source.scale)
    vectors = (source.vectors_of(stills.pixels), source.vectors_of(mirrored))
    return Samples(*vectors, stills.person, draw_pairs(stills, seed), faces)


def _sizes(stills: Stills, seed: int) -> dict[str, int]:
    counts = np.unique(stills.person, return_counts=True)[1]
    pairs = {f"{kind}_pairs": len(draw_pairs(stills, seed, kind)) for kind in KINDS}
    return {"pictures": len(stills), "people": len(counts), "people_with_several": int((counts > 1).sum())} | pairs


def kept_rows(path: Path, sources: Sequence[Source], seed: int = SEED) -> list[dict[str, Any]]:
    """Rows of the results in `path`, if it exists and is of the same `seed`, that `sources` do not replace, each with
    the ``command`` that measured it. Raises `UsageError` if the file is something else."""
    if not path.exists():
        return []
    try:
        results = json.loads(path.read_text())
        replaced, measured = {source.name for source in sources}, {"command": results["command"]}
        kept = [row for row in results["rows"] if row["source"] not in replaced]
        return [measured | row for row in kept] if results["seed"] == seed else []
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UsageError(f"{path} is no result of python -m research identity; name another file") from error
