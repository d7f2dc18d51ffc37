"""Attackers that tell whether two samples are of one person. Each is trained on people who are not in the test, and
gives a score for every pair that is larger the more likely both samples are of one person."""

import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from lowbeam.scale import Faces
from research.compact.contrastive import train_embedding
from research.compact.people import Ints, Pairs
from research.compact.verification import auc_and_eer

EMBEDDING = 128
MOST_COMPONENTS = 200  # of the linear discriminant
SHRINKAGES = (0.02, 0.1, 0.5)  # of its within-person scatter towards the identity; the best on valid is kept
PENALTIES = (1e-4, 1e-3, 1e-2, 1e-1)  # L2, of the logistic regression; the best on valid is kept
MLP_STEPS, CNN_STEPS = 800, {96: 650, 24: 800, 12: 900}  # each of about 2 × 64 faces
CNN_WIDTHS = {96: (16, 32, 64, 128), 24: (24, 64, 128), 12: (48, 128)}  # by the face's side; each stage halves it

Vectors = NDArray[np.float32]
Scores = NDArray[np.float64]


@dataclass(frozen=True)
class Samples:
    """Samples of one split: `vectors`, float32 (n, k), those of the mirrored faces, and `person`, int64 (n,). `faces`,
    uint8 (n, d, d), if pixels were sent. `pairs` are those on which an attacker is chosen or, for train, trained."""

    vectors: Vectors
    mirrored: Vectors
    person: Ints
    pairs: Pairs
    faces: Faces | None = None


@dataclass(frozen=True)
class Attack:
    """A trained attacker: its `name`, a function that scores the pairs of samples, its AUC on valid, and how long it
    was trained, in seconds of one core."""

    name: str
    score: Callable[[Samples, Pairs], Scores]
    valid_auc: float
    seconds: float


def cosine(vectors: NDArray[np.floating], pairs: Pairs) -> Scores:
    """The cosine of the angle between the vectors of each pair, float64 (n,), in [-1, 1]; 0 for a vector of zeros."""
    length = np.linalg.norm(vectors, axis=1, keepdims=True)
    unit = vectors / np.where(length > 0, length, 1)
    found: Scores = (unit[pairs.first] * unit[pairs.second]).sum(1, dtype=np.float64)
    return found


def untrained(samples: Samples, pairs: Pairs) -> Scores:
    """Scores without training: the cosine of the raw vectors."""
    return cosine(samples.vectors, pairs)


def train_attackers(train: Samples, valid: Samples, seed: int) -> list[Attack]:
    """All attackers that suit the samples, trained on `train` and chosen on `valid`, the best on valid first."""
    makers = [_discriminant, _regression, _mlp] + ([_cnn] if train.faces is not None else [])
    found = []
    for make in makers:
        began = time.process_time()
        score, auc = make(train, valid, seed)
        found.append(Attack(make.__name__[1:], score, auc, time.process_time() - began))
    return sorted(found, key=lambda attack: -attack.valid_auc)


Trained = tuple[Callable[[Samples, Pairs], Scores], float]


class _Standard:
    """Scales each number to mean 0 and deviation 1 over the samples of train."""

    def __init__(self, vectors: Vectors) -> None:
        self._mean, std = vectors.mean(0), vectors.std(0)
        self._std = np.where(std > 1e-6, std, 1)

    def __call__(self, vectors: Vectors) -> Vectors:
        scaled: Vectors = ((vectors - self._mean) / self._std).astype(np.float32)
        return scaled


def _discriminant(train: Samples, valid: Samples, seed: int) -> Trained:
    """A linear discriminant: principal components, whitened by the scatter within people (Hatch et al. 2006), compared
    by their angle."""
    standard = _Standard(train.vectors)
    x = np.concatenate([standard(train.vectors), standard(train.mirrored)]).astype(np.float64)
    person = np.tile(train.person, 2)
    spread, directions = np.linalg.eigh(x.T @ x / len(x))
    kept = np.argsort(spread)[::-1][:MOST_COMPONENTS]
    kept = kept[spread[kept] > 1e-6 * spread.max()]
    components = directions[:, kept] / np.sqrt(spread[kept])
    _, number, count = np.unique(person, return_inverse=True, return_counts=True)
    y = x @ components
    sums = np.zeros((len(count), y.shape[1]))
    np.add.at(sums, number, y)
    several = count[number] > 2  # a picture and its mirror image alone tell nothing
    inner = (y - sums[number] / count[number, None])[several]
    scatter = inner.T @ inner / max(len(inner), 1)
    best: Trained | None = None
    for shrinkage in SHRINKAGES:
        level = np.trace(scatter) / len(scatter)
        mixed = (1 - shrinkage) * scatter + shrinkage * level * np.eye(len(scatter))
        whiten = components @ np.linalg.inv(np.linalg.cholesky(mixed)).T

        def score(samples: Samples, pairs: Pairs, whiten: NDArray[np.float64] = whiten) -> Scores:
            return cosine((standard(samples.vectors) + standard(samples.mirrored)) @ whiten, pairs)

        auc = auc_and_eer(score(valid, valid.pairs), valid.pairs.same)[0]
        if best is None or auc > best[1]:
            best = score, auc
    assert best is not None
    return best


def _compared(vectors: Vectors, pairs: Pairs) -> Tensor:
    """What the logistic regression sees of each pair: |a - b| and a × b, float32 (n, 2 k)."""
    a, b = vectors[pairs.first], vectors[pairs.second]
    return torch.from_numpy(np.concatenate([np.abs(a - b), a * b], 1))


def _regression(train: Samples, valid: Samples, seed: int) -> Trained:
    """Logistic regression on |a - b| and a × b of the standardised vectors."""
    standard = _Standard(train.vectors)
    x, same = _compared(standard(train.vectors), train.pairs), torch.from_numpy(train.pairs.same).float()
    best: Trained | None = None
    for penalty in PENALTIES:
        weights, bias = torch.zeros(x.shape[1], requires_grad=True), torch.zeros(1, requires_grad=True)
        optimizer = torch.optim.LBFGS([weights, bias], max_iter=100, line_search_fn="strong_wolfe")

        def loss(
            penalty: float = penalty, weights: Tensor = weights, bias: Tensor = bias,
            optimizer: torch.optim.Optimizer = optimizer,
        ) -> Tensor:  # fmt: skip
            optimizer.zero_grad()
            value = F.binary_cross_entropy_with_logits(x @ weights + bias, same) + penalty * weights.square().sum()
            value.backward()  # type: ignore[no-untyped-call]
            return value

        optimizer.step(loss)  # type: ignore[no-untyped-call]

        def score(samples: Samples, pairs: Pairs, weights: Tensor = weights) -> Scores:
            found: Scores = (_compared(standard(samples.vectors), pairs) @ weights.detach()).double().numpy()
            return found

        auc = auc_and_eer(score(valid, valid.pairs), valid.pairs.same)[0]
        if best is None or auc > best[1]:
            best = score, auc
    assert best is not None
    return best


def _mlp(train: Samples, valid: Samples, seed: int) -> Trained:
    """A network of two hidden layers that embeds the vector, trained by the supervised contrastive loss."""
    torch.manual_seed(seed)
    standard = _Standard(train.vectors)
    both = torch.from_numpy(np.stack([standard(train.vectors), standard(train.mirrored)]))
    network = nn.Sequential(
        nn.Dropout(0.1), nn.Linear(both.shape[2], 256), nn.BatchNorm1d(256), nn.ReLU(), nn.Dropout(0.3),
        nn.Linear(256, 256), nn.BatchNorm1d(256), nn.ReLU(), nn.Dropout(0.3), nn.Linear(256, EMBEDDING),
    )  # fmt: skip

    def sample(rows: Ints, rng: np.random.Generator) -> Tensor:
        return both[torch.from_numpy(rng.integers(0, 2, len(rows))), torch.from_numpy(rows)]

    @torch.no_grad()
    def score(samples: Samples, pairs: Pairs) -> Scores:
        each = [F.normalize(network(torch.from_numpy(standard(v)))) for v in (samples.vectors, samples.mirrored)]
        return cosine(sum(each).numpy(), pairs)  # type: ignore[union-attr]

    def checked() -> float:
        return auc_and_eer(score(valid, valid.pairs), valid.pairs.same)[0]

    auc = train_embedding(
        network, train.person, sample, checked, steps=MLP_STEPS, rate=2e-3, weight_decay=0.05,
        rng=np.random.default_rng(seed),
    )  # fmt: skip
    return score, auc


def _stage(inputs: int, outputs: int, stride: int) -> nn.Sequential:
    def layer(inputs: int, stride: int) -> list[nn.Module]:
        convolution = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False)
        return [convolution, nn.BatchNorm2d(outputs), nn.ReLU()]

    return nn.Sequential(*layer(inputs, stride), *layer(outputs, 1))


def face_network(side: int) -> nn.Sequential:
    """A network that embeds standardised faces, float32 (n, 1, d, d) with d the `side`, in `EMBEDDING` numbers."""
    widths = CNN_WIDTHS[side]
    stages = [nn.Conv2d(1, widths[0], 5, 2, 2, bias=False), nn.BatchNorm2d(widths[0]), nn.ReLU()] if side == 96 else []
    before, reduced = (widths[0], side // 2) if side == 96 else (1, side)
    for index, width in enumerate(widths):
        stride = 1 if index == 0 and side < 96 else 2
        stages.append(_stage(before, width, stride))
        before, reduced = width, reduced // stride
    return nn.Sequential(
        *stages, nn.AvgPool2d(reduced // 3), nn.Flatten(), nn.Dropout(0.3), nn.Linear(9 * before, EMBEDDING)
    )


def standardised(faces: Faces) -> Tensor:
    """`faces`, uint8 (n, d, d), each with mean 0 and deviation 1, float32 (n, 1, d, d)."""
    x = torch.from_numpy(faces.astype(np.float32))[:, None]
    return (x - x.mean((2, 3), keepdim=True)) / (x.std((2, 3), keepdim=True) + 1e-3)


def augmented(x: Tensor, rng: np.random.Generator) -> Tensor:
    """Faces `x`, float32 (n, 1, d, d), mirrored, turned by up to 10°, scaled by up to 10 %, moved by up to 6 % and
    covered in places, each differently."""
    n = len(x)
    angle, size = np.deg2rad(rng.uniform(-10, 10, n)), rng.uniform(0.9, 1.1, n)
    flip, moved = rng.choice([-1.0, 1.0], n), rng.uniform(-0.12, 0.12, (n, 2))
    matrix = np.stack([
        np.stack([flip * size * np.cos(angle), -size * np.sin(angle), moved[:, 0]], 1),
        np.stack([flip * size * np.sin(angle), size * np.cos(angle), moved[:, 1]], 1),
    ], 1)  # fmt: skip
    grid = F.affine_grid(torch.from_numpy(matrix.astype(np.float32)), list(x.shape), align_corners=False)
    turned = F.grid_sample(x, grid, padding_mode="border", align_corners=False)
    side = x.shape[-1]
    for index in np.flatnonzero(rng.random(n) < 0.5):
        high, wide = rng.integers(side // 8, side // 3, 2)
        top, left = rng.integers(0, side - high), rng.integers(0, side - wide)
        turned[index, :, top : top + high, left : left + wide] = 0
    return turned


def _cnn(train: Samples, valid: Samples, seed: int) -> Trained:
    """A small convolutional network that embeds the face, trained by the supervised contrastive loss."""
    assert train.faces is not None
    torch.manual_seed(seed)
    side = train.faces.shape[1]
    network, x = face_network(side), standardised(train.faces)

    def sample(rows: Ints, rng: np.random.Generator) -> Tensor:
        return augmented(x[torch.from_numpy(rows)], rng)

    @torch.no_grad()
    def embed(faces: Faces) -> NDArray[np.float32]:
        given = torch.split(standardised(faces), 256)
        found = [F.normalize(network(part)) + F.normalize(network(part.flip(3))) for part in given]
        embedded: NDArray[np.float32] = torch.cat(found).numpy()
        return embedded

    def score(samples: Samples, pairs: Pairs) -> Scores:
        assert samples.faces is not None
        return cosine(embed(samples.faces), pairs)

    def checked() -> float:
        return auc_and_eer(score(valid, valid.pairs), valid.pairs.same)[0]

    auc = train_embedding(
        network, train.person, sample, checked, steps=CNN_STEPS[side], rate=2e-3, weight_decay=0.05,
        rng=np.random.default_rng(seed),
    )  # fmt: skip
    return score, auc
