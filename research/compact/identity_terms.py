"""What a bottleneck or an adversarial term takes from identity, and what it costs in affect.

Latents are trained anew on the pooled features of a recognizer, whose trunk stays as it is: two linear layers to a few
latents with uniform noise, as the features codec has them. They tell what the recognizer estimates at full size, and
the emotion. The adversary is a network that is trained beside them to embed the same latents so that those of one
person lie together; the layers before are trained against it (gradient reversal: Ganin et al. 2016, Domain-adversarial
training of neural networks, JMLR 17). The people it learns from are those of the identity study's split train; that
study's attackers, trained afresh, then measure what is left.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from lowbeam.cli.show import print_table
from lowbeam.corpora.choose import corpus_name, load_labelled
from lowbeam.corpora.ferplus import Stills as LabelledStills
from lowbeam.errors import UsageError
from lowbeam.metrics import AFFECT_NAMES, ccc
from lowbeam.progress import Progress
from lowbeam.recognize import Recognizer
from lowbeam.scale import FACE_SIDE, Faces, resample
from lowbeam.train.features.adversary import adversary_network
from lowbeam.train.losses import supervised_contrastive
from research.compact.contrastive import batches
from research.compact.identity import measure_source
from research.compact.people import Stills, load_stills, split_people
from research.compact.sources import Source, pooled_features

# Latents, and the weight of the adversarial term.
TERMS = ((2, 0.0), (4, 0.0), (8, 0.0), (24, 0.0), (24, 0.03), (24, 0.1), (24, 0.3), (24, 1.0), (8, 0.3))
HIDDEN = 128
GAIN = 4.0  # of latents of unit deviation before they are rounded: a fine level of the features codec
STEPS, RATE, DECAY = 3000, 2e-3, 1e-2
ADVERSARY_STEPS, ADVERSARY_RATE = 3, 2e-3  # for each step of the latents
LABELLED = 256  # stills in a batch
DIGITS = 4
Numbers = NDArray[np.float32]


class Bottleneck(nn.Module):
    """Pooled features (n, k) to `count` latents, and those to valence, arousal and emotion logits (n, 2 + 8)."""

    def __init__(self, width: int, count: int) -> None:
        super().__init__()
        self.reduce = nn.Sequential(
            nn.Linear(width, HIDDEN), nn.GELU(), nn.Linear(HIDDEN, count), nn.BatchNorm1d(count, affine=False)
        )
        self.readout = nn.Sequential(nn.Linear(count, HIDDEN), nn.GELU(), nn.Linear(HIDDEN, 2 + 8))

    @torch.no_grad()
    def sent(self, pooled: Numbers) -> Numbers:
        """The rounded latents, in steps."""
        rounded: Numbers = (self.eval().reduce(torch.from_numpy(pooled)) * GAIN).round().numpy()
        return rounded


@dataclass(frozen=True)
class _Known:
    """Pooled features of labelled stills, what the recognizer estimates of them, and their emotions."""

    pooled: Numbers
    taught: Numbers
    labels: LabelledStills

    @property
    def emotion(self) -> NDArray[np.int64]:
        """The emotion with most votes, (n,)."""
        found: NDArray[np.int64] = self.labels.emotion.argmax(1)
        return found


@dataclass(frozen=True)
class _People:
    """Pooled features of the pictures of people, and of their mirror images, (2, n, k); who they are, (n,)."""

    pooled: Tensor
    person: NDArray[np.int64]

    def rows(self, rows: NDArray[np.int64], rng: np.random.Generator) -> tuple[Tensor, Tensor]:
        """Features and people of `rows`, some mirrored."""
        return self.pooled[rng.integers(0, 2, len(rows)), rows], torch.from_numpy(self.person[rows])


def measure_identity_terms(
    path: Path, corpus: str, model: str, *, terms: Sequence[tuple[int, float]] = TERMS, steps: int = STEPS,
    seed: int = 0, progress: Progress | None = None,
) -> dict[str, Any]:  # fmt: skip
    """Train latents with each of `terms` on `corpus` (``KIND:PATH``, labelled stills) and on the pictures of people in
    the npz file `path`, and attack them.

    Returns results ready for JSON: ``rows``, one for each term, with ``latents``, ``weight``, the CCC of valence and
    arousal on the split test of `corpus`, their mean as a share of the recognizer's (``kept``), the accuracy of the
    emotion, and ``identity``, a row of `measure_identity`. Raises `UsageError`, `CorpusError` or `ModelError`.
    """
    people = split_people(load_stills(path), seed)
    source, recognizer = pooled_features(model), Recognizer(model)
    known = {split: _known(corpus, split, source, recognizer) for split in ("train", "test")}
    seen = _people(people["train"], source)
    rows = []
    for number, (count, weight) in enumerate(terms, 1):
        began = time.process_time()
        network = _trained(count, weight, known["train"], seen, steps, seed)
        sent = Source(f"{count} latents, weight {weight:g}", partial(_sent, network, source))
        rows.append(
            {"latents": count, "weight": weight} | _kept(network, known["test"])
            | {"identity": measure_source(sent, people, seed), "seconds": round(time.process_time() - began, 1)}
        )  # fmt: skip
        if progress is not None:
            progress(number, len(terms))
    return {
        "stills": path.stem, "corpus": corpus_name(corpus), "model": model, "seed": seed, "steps": steps, "gain": GAIN,
        "rows": rows,
    }  # fmt: skip


def _sent(network: Bottleneck, source: Source, faces: Faces) -> Numbers:
    return network.sent(source.vectors_of(faces))


def _known(corpus: str, split: str, source: Source, recognizer: Recognizer) -> _Known:
    found = load_labelled(corpus, split)
    if not isinstance(found, LabelledStills):
        raise UsageError(f"{corpus} has no labelled stills")
    faces: Faces = resample(np.asarray(found.pixels), FACE_SIDE)
    read = recognizer(faces)
    return _Known(source.vectors_of(faces), np.stack([read.valence, read.arousal], 1), found)


def _people(stills: Stills, source: Source) -> _People:
    mirrored = np.ascontiguousarray(stills.pixels[:, :, ::-1])
    pooled = np.stack([source.vectors_of(faces) for faces in (stills.pixels, mirrored)])
    return _People(torch.from_numpy(pooled), stills.person)


def _trained(count: int, weight: float, known: _Known, people: _People, steps: int, seed: int) -> Bottleneck:
    torch.manual_seed(seed)
    rng = np.random.default_rng(seed)
    network = Bottleneck(known.pooled.shape[1], count)
    adversary = adversary_network(count)
    ours = torch.optim.AdamW(network.parameters(), RATE, weight_decay=DECAY)
    schedule = torch.optim.lr_scheduler.OneCycleLR(ours, RATE, steps)
    theirs = torch.optim.AdamW(adversary.parameters(), ADVERSARY_RATE, weight_decay=DECAY)
    pooled, taught = torch.from_numpy(known.pooled), torch.from_numpy(known.taught)
    emotion = torch.from_numpy(known.emotion)
    several = batches(people.person, steps * (ADVERSARY_STEPS + 1), rng)

    def embedded() -> tuple[Tensor, Tensor]:
        features, person = people.rows(next(several), rng)
        return _noisy(network.reduce(features)), person

    def told_apart(latents: Tensor, person: Tensor) -> Tensor:
        return supervised_contrastive(F.normalize(adversary(latents)), person)

    for _ in range(steps):
        network.train()
        for _ in range(ADVERSARY_STEPS if weight else 0):
            latents, person = embedded()
            _step(theirs, told_apart(latents.detach(), person))
        rows = rng.integers(0, len(pooled), LABELLED)
        found = network.readout(_noisy(network.reduce(pooled[rows])))
        loss = _affect_loss(found[:, :2], taught[rows]) + 0.2 * F.cross_entropy(found[:, 2:], emotion[rows])
        if weight:
            loss = loss - weight * told_apart(*embedded())
        _step(ours, loss)
        schedule.step()
    return network.eval()


def _noisy(latents: Tensor) -> Tensor:
    return latents + (torch.rand_like(latents) - 0.5) / GAIN


def _affect_loss(found: Tensor, truth: Tensor) -> Tensor:
    """The squared error as a share of the variance, of valence and arousal."""
    return ((found - truth).square().mean(0) / truth.var(0)).sum()


def _step(optimizer: torch.optim.Optimizer, loss: Tensor) -> None:
    optimizer.zero_grad()
    loss.backward()  # type: ignore[no-untyped-call]
    torch.nn.utils.clip_grad_norm_([w for group in optimizer.param_groups for w in group["params"]], 1.0)
    optimizer.step()


@torch.no_grad()
def _kept(network: Bottleneck, known: _Known) -> dict[str, Any]:
    found = network.readout(torch.from_numpy(network.sent(known.pooled)) / GAIN).numpy()
    truth = known.labels.affect
    read = {name: round(ccc(found[:, i], truth[:, i]), DIGITS) for i, name in enumerate(AFFECT_NAMES)}
    own = [ccc(known.taught[:, i], truth[:, i]) for i in range(2)]
    accuracy = float((found[:, 2:].argmax(1) == known.emotion).mean())
    return {"ccc": read, "kept": round(float(np.mean([*read.values()]) / np.mean(own)), DIGITS),
            "emotion_accuracy": round(accuracy, DIGITS)}  # fmt: skip


def print_identity_terms(results: dict[str, Any]) -> None:
    """Print results of `measure_identity_terms`."""
    rows = [
        (
            f"{row['latents']}", f"{row['weight']:g}", f"{row['kept']:.3f}", f"{row['emotion_accuracy']:.3f}",
            *(f"{row['identity']['trained'][kind]['auc']:.3f}" for kind in ("any", "matched")),
        )
        for row in results["rows"]
    ]  # fmt: skip
    print_table(("latents", "weight", "CCC kept", "emotion accuracy", "AUC any", "AUC matched"), rows)
