"""Pairs of pictures of one person and of two people, for measuring how well identities can be told apart.

The split is by person, so that an attacker is tested on people it has never seen, nor has any network of the features
codec, which is trained on the corpus' own split train. Nobody's name leaves this module: people are numbers.
"""

from dataclasses import dataclass, fields
from pathlib import Path
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from lowbeam.corpora import faces96
from lowbeam.corpora.parted import split_of
from lowbeam.errors import CorpusError
from lowbeam.scale import Faces

VALID_SHARE = 1 / 3  # of the people who are not in the corpus' split train; the others are tested
MOST_PAIRS = 10  # of one person: a few people have a hundred pictures
SAME_SIDE = 1.05  # the largest ratio of the native sides of two pictures that are matched
TRIES = 400  # pictures that are tried for one that matches

Ints = NDArray[np.int64]
Kind = Literal["any", "hard", "matched"]  # of pairs
KINDS = get_args(Kind)


@dataclass(frozen=True)
class Stills:
    """Pictures of people. `pixels`: uint8 (n, 96, 96); `person`: int64 (n,), the number of the person; `expression`:
    int64 (n,), the number of the expression word; `side_px`: float32 (n,), the native side of the face in pixels;
    `in_train`: bool (n,), whether the person is in the split train of the corpus."""

    pixels: Faces
    person: Ints
    expression: Ints
    side_px: NDArray[np.float32]
    in_train: NDArray[np.bool_]

    def __len__(self) -> int:
        return len(self.pixels)

    def of(self, rows: Ints | NDArray[np.bool_]) -> "Stills":
        """The pictures at `rows`."""
        return Stills(*(getattr(self, field.name)[rows] for field in fields(self)))


@dataclass(frozen=True)
class Pairs:
    """Pairs of pictures: `first` and `second`, int64 (n,), are their rows, and `same`, bool (n,), whether both are of
    one person."""

    first: Ints
    second: Ints
    same: NDArray[np.bool_]

    def __len__(self) -> int:
        return len(self.first)


def load_stills(path: Path) -> Stills:
    """The pictures of an npz file with ``pixels``, ``identity``, ``expression`` and ``side_px``. Raises
    `CorpusError`."""
    faces96.load(path, "train")  # raises `CorpusError` if it is missing or damaged
    with np.load(path) as archive:
        if not {"expression", "side_px"} <= set(archive.files):
            raise CorpusError(f"{path} has no expression and side_px of its faces")
        names, person = np.unique(archive["identity"], return_inverse=True)
        expression = np.unique(archive["expression"], return_inverse=True)[1]
        in_train = np.array([split_of(str(name)) == "train" for name in names], bool)
        return Stills(archive["pixels"], person, expression, archive["side_px"], in_train[person])


def split_people(stills: Stills, seed: int) -> dict[str, Stills]:
    """The pictures of train, those of the corpus, and of valid and test, `VALID_SHARE` and the rest of all other
    people, drawn by `seed`."""
    others = np.random.default_rng(seed).permutation(np.unique(stills.person[~stills.in_train]))
    valid, test = np.split(others, [round(VALID_SHARE * len(others))])
    parts = {"valid": np.isin(stills.person, valid), "test": np.isin(stills.person, test)}
    return {"train": stills.of(stills.in_train)} | {name: stills.of(rows) for name, rows in parts.items()}


def draw_pairs(stills: Stills, seed: int, kind: Kind = "any") -> Pairs:
    """Up to `MOST_PAIRS` pairs of different pictures of each person, and for each of them one of its first picture with
    a picture of somebody else: first the other person is drawn, then the picture.

    Of ``hard`` pairs, those of two people have the same expression word, and native sides that differ by at most 5 %;
    of ``matched`` pairs, those of one person have too, so that neither tells whether they are of one person. What tells
    nothing but the expression has an AUC above 0.5 on ``any`` pairs, as people have an expression they prefer, and
    below 0.5 on ``hard`` pairs; ``matched`` pairs are the fairest. Raises `CorpusError` if there is no such pair.
    """
    rng = np.random.default_rng(seed)
    rows_of = {int(person): np.flatnonzero(stills.person == person) for person in np.unique(stills.person)}
    people = np.array(list(rows_of))
    first, second, other = list[int](), list[int](), list[int]()
    for person, rows in rows_of.items():
        pairs = np.stack([rows[indices] for indices in np.triu_indices(len(rows), 1)], 1)
        if kind == "matched":
            pairs = pairs[_alike(stills, pairs[:, 0], pairs[:, 1])]
        for a, b in rng.permuted(rng.permutation(pairs)[:MOST_PAIRS], axis=1).tolist():
            strangers = rng.choice(people[people != person], 1 if kind == "any" else TRIES)
            drawn = np.array([rng.choice(rows_of[int(stranger)]) for stranger in strangers])
            fitting = drawn if kind == "any" else drawn[_alike(stills, np.full(len(drawn), a), drawn)]
            if len(fitting):
                first.append(a)
                second.append(b)
                other.append(int(fitting[0]))
    if not first:
        raise CorpusError("nobody has two pictures that can be compared")
    same = np.repeat([True, False], len(first))
    return Pairs(np.array(first * 2), np.array(second + other), same)


def _alike(stills: Stills, first: Ints, second: Ints) -> NDArray[np.bool_]:
    """Whether pictures have the same expression word and about the same native side, bool (n,)."""
    ratio = np.abs(np.log(stills.side_px[first] / stills.side_px[second]))
    alike: NDArray[np.bool_] = (stills.expression[first] == stills.expression[second]) & (ratio <= np.log(SAME_SIDE))
    return alike
