"""Draws the batches of a run: stills, and short sequences of one person."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from lowbeam.corpora.ferplus import Stills
from lowbeam.corpora.labelled import LabelledFaces, Track
from lowbeam.errors import CorpusError
from lowbeam.models.feature_codec import LEVELS
from lowbeam.models.one_for_all import EMOTION_CLASSES
from lowbeam.scale import FACE_SIDE
from lowbeam.train.degrade import augment, received, resample
from lowbeam.train.features.recipe import FeaturesRecipe

ALONE_S = 1e6  # a gap so long that nothing before counts
PICTURE_SIDE = 48  # pixels
SEQUENCE_GAMMA = 0.25  # of one sequence
PICTURE_SCALES = (1, 2)  # at which unlabelled stills, which are shown, are received


@dataclass(frozen=True)
class Drawn:
    """A batch of n faces, the stills first, then the unlabelled, then `sequences` of equal length, then second looks at
    the first of the unlabelled.

    `grid` are the faces as received, (n, 1, 48, 48), `whole` the same at full detail, `pictures` grey levels
    (n, 48, 48); `affect` (n, 2) and `emotion` (n, 8) are nan where unknown; `gap_s` (n,) are the seconds since the face
    before, `ALONE_S` for the first of a sequence; `level` (n,); `person` tells who the unlabelled are.
    """

    grid: Tensor
    whole: Tensor
    pictures: Tensor
    affect: Tensor
    emotion: Tensor
    gap_s: Tensor
    level: Tensor
    person: Tensor
    counts: tuple[int, int, int, int]
    length: int

    def __len__(self) -> int:
        return len(self.grid)

    def part(self, number: int) -> slice:
        """Of stills (0), unlabelled stills (1), sequences (2) or second looks (3)."""
        start = sum(self.counts[:number])
        return slice(start, start + self.counts[number])


class Drawer:
    """Draws batches. `rng` decides all but the augmentation, which PyTorch's generator does. Raises `CorpusError` if
    all `tracks` are too short, or if an adversary is to learn from `unlabelled` stills and nobody has two."""

    def __init__(
        self, recipe: FeaturesRecipe, stills: Stills, unlabelled: LabelledFaces, tracks: Sequence[Track],
        rng: np.random.Generator,
    ) -> None:  # fmt: skip
        self._recipe, self._stills, self._unlabelled, self._rng = recipe, stills, unlabelled, rng
        length = recipe.batch.length
        self._tracks = [track for track in tracks if len(track) > 2 * length]
        if not self._tracks:
            raise CorpusError(f"no recording to train on has more than {2 * length} faces")
        self._person = np.asarray(unlabelled.recording)
        count = np.bincount(self._person)
        self._several = np.flatnonzero(count[self._person] > 1)  # stills of people who have several
        if recipe.weights.identity and not len(self._several):
            raise CorpusError("no two unlabelled stills are of one person: an adversary has nothing to learn from")

    def draw(self) -> Drawn:
        """A batch."""
        sizes = self._recipe.batch
        rows = self._rng.integers(len(self._stills), size=sizes.stills)
        others = self._others(sizes.unlabelled)
        stills = augment(torch.from_numpy(self._stills.pixels[rows]), self._recipe.augmentation)
        unlabelled = augment(torch.from_numpy(np.asarray(self._unlabelled.pixels[others])), self._recipe.augmentation)
        again = augment(unlabelled[: sizes.pairs].to(torch.uint8), self._recipe.second_look)
        sequences, of_sequences, gap_s = self._sequences()
        parts = [stills, unlabelled, sequences, again]
        counts = (len(stills), len(unlabelled), len(sequences), len(again))
        scales = [self._scale(), int(self._rng.choice(PICTURE_SCALES)), self._scale(), 1]
        unknown = [len(part) for part in (unlabelled, sequences, again)]
        affect = [
            torch.from_numpy(self._stills.affect[rows]),
            _unknown(unknown[0], 2),
            of_sequences,
            _unknown(unknown[2], 2),
        ]
        emotion = [torch.from_numpy(self._stills.emotion[rows]), *(_unknown(n, EMOTION_CLASSES) for n in unknown)]
        alone = [torch.full((n,), ALONE_S) for n in (counts[0], counts[1], counts[3])]
        level = torch.from_numpy(self._rng.integers(LEVELS, size=counts[0] + counts[1]))
        of_sequence = torch.from_numpy(self._rng.integers(LEVELS, size=sizes.sequences)).repeat_interleave(sizes.length)
        levels = [level, of_sequence, level[counts[0] : counts[0] + counts[3]]]
        return Drawn(
            torch.cat([received(part, scale) for part, scale in zip(parts, scales, strict=True)]),
            torch.cat([received(part, 1) for part in parts]), torch.cat([resample(p, PICTURE_SIDE) for p in parts]),
            torch.cat(affect).float(), torch.cat(emotion).float(), torch.cat([alone[0], alone[1], gap_s, alone[2]]),
            torch.cat(levels), torch.from_numpy(self._person[others]), counts, sizes.length,
        )  # fmt: skip

    def _others(self, count: int) -> NDArray[np.intp]:
        """Rows of the unlabelled; for an adversary, half of them are two stills of one person each."""
        rows = self._rng.integers(len(self._person), size=count)
        if self._recipe.weights.identity:
            for place in range(0, count // 4 * 2, 2):
                rows[place] = self._rng.choice(self._several)
                same = np.flatnonzero(self._person == self._person[rows[place]])
                rows[place + 1] = self._rng.choice(same[same != rows[place]])
        return rows

    def _scale(self) -> int:
        return int(self._rng.choice(self._recipe.scales))

    def _sequences(self) -> tuple[Tensor, Tensor, Tensor]:
        """HR faces (n, 96, 96), their affect (n, 2), and the seconds since the face before (n,)."""
        sizes, rng = self._recipe.batch, self._rng
        pixels, affect, gaps = [], [], []
        for _ in range(sizes.sequences):
            track = self._tracks[rng.integers(len(self._tracks))]
            wanted_s = np.exp(rng.uniform(np.log(sizes.shortest_s), np.log(sizes.longest_s)))
            step = int(
                np.clip(round(wanted_s / float(np.median(np.diff(track.time_s)))), 1, len(track) // sizes.length)
            )
            rows = rng.integers(len(track) - step * (sizes.length - 1)) + step * np.arange(sizes.length)
            faces = np.asarray(track.pixels[rows])
            pixels.append(faces[:, :, ::-1] if rng.random() < 0.5 else faces)
            affect.append(track.affect[rows])
            gaps.append(np.concatenate([[ALONE_S], np.diff(track.time_s[rows])]))
        hr = resample(torch.from_numpy(np.concatenate(pixels)).float(), FACE_SIDE)
        gamma = 1 + (torch.rand(sizes.sequences) * 2 - 1) * SEQUENCE_GAMMA
        hr = ((hr / 255) ** gamma.repeat_interleave(sizes.length)[:, None, None] * 255).round()
        return hr, torch.from_numpy(np.concatenate(affect)), torch.from_numpy(np.concatenate(gaps)).float()


def _unknown(count: int, width: int) -> Tensor:
    return torch.full((count, width), torch.nan)
