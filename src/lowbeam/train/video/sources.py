"""Where the faces of a mixture come from: stills and tracks, as they are or as links deliver them, at a scale."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from lowbeam.corpora.ferplus import Stills
from lowbeam.corpora.labelled import LabelledFaces
from lowbeam.models.one_for_all import EMOTION_CLASSES
from lowbeam.scale import Faces, side_of
from lowbeam.train.degrade import augment, on_grid, received
from lowbeam.train.recipe import Augmentation
from lowbeam.train.video.coded_stills import CodedStills
from lowbeam.train.video.coded_tracks import PLAIN, CodedTrack
from lowbeam.train.video.recipe import Mixture


class Group(NamedTuple):
    """Faces on the network's grid (n, 1, 48, 48), with affect (n, 2) and emotion (n, 8), nan where unknown. `whole`
    is the same faces at full detail, from which a teacher reads, or None where there is nothing to be taught."""

    grid: Tensor
    affect: Tensor
    emotion: Tensor
    whole: Tensor | None


@dataclass(frozen=True)
class Corpora:
    """All that a mixture may show. `coded_stills` are in the order of `stills`; `people` are the HR faces of the
    tracks; `unlabelled` are faces of which only a teacher can tell."""

    stills: Stills
    coded_stills: list[CodedStills]
    people: LabelledFaces
    coded_tracks: list[CodedTrack]
    unlabelled: Faces | None = None


class Sources:
    """Draws groups of faces for a mixture."""

    def __init__(self, corpora: Corpora, mixture: Mixture, bounds: Augmentation, seed: int) -> None:
        self._corpora, self._bounds = corpora, bounds
        self._rng = np.random.default_rng(seed)
        self._shares = np.array(list(mixture.shares.model_dump().values()))
        self._draw = (self._still, self._coded_still, self._face_of_a_track, self._coded_track, self._unlabelled)
        self._scales = mixture.scales
        coded = [track for track in corpora.coded_tracks if track.codec != PLAIN]
        self._tracks = {scale: [track for track in coded if track.scale == scale] for scale in self._scales}

    @property
    def state(self) -> Mapping[str, Any]:
        """To go on from."""
        return self._rng.bit_generator.state

    @state.setter
    def state(self, state: Mapping[str, Any]) -> None:
        self._rng.bit_generator.state = state

    def group(self, size: int) -> Group:
        """`size` faces of one source at one scale."""
        source = self._draw[self._rng.choice(len(self._draw), p=self._shares / self._shares.sum())]
        return source(size, int(self._rng.choice(self._scales)))

    def _still(self, size: int, scale: int) -> Group:
        rows = self._rng.integers(len(self._corpora.stills), size=size)
        stills = self._corpora.stills
        hr = augment(torch.from_numpy(stills.pixels[rows]), self._bounds)
        affect, emotion = torch.from_numpy(stills.affect[rows]), torch.from_numpy(stills.emotion[rows])
        return Group(received(hr, scale), affect, emotion, received(hr, 1))

    def _coded_still(self, size: int, scale: int) -> Group:
        chosen = self._corpora.coded_stills[self._rng.integers(len(self._corpora.coded_stills))]
        rows = self._rng.integers(len(self._corpora.stills), size=size)
        stills = self._corpora.stills
        affect, emotion = torch.from_numpy(stills.affect[rows]), torch.from_numpy(stills.emotion[rows])
        grid, whole = (on_grid(torch.from_numpy(pixels[rows])) for pixels in (chosen.pixels[scale], chosen.uncoded))
        return Group(grid, affect, emotion, whole)

    def _unlabelled(self, size: int, scale: int) -> Group:
        assert self._corpora.unlabelled is not None
        rows = self._rng.integers(len(self._corpora.unlabelled), size=size)
        hr = augment(torch.from_numpy(self._corpora.unlabelled[rows]), self._bounds)
        return Group(received(hr, scale), torch.full((size, 2), torch.nan), _unknown(size), received(hr, 1))

    def _face_of_a_track(self, size: int, scale: int) -> Group:
        people = self._corpora.people
        rows = np.sort(self._rng.integers(len(people), size=size))  # in the order of the file
        hr = augment(torch.from_numpy(np.asarray(people.pixels[rows])), self._bounds)
        return Group(received(hr, scale), torch.from_numpy(people.affect[rows]), _unknown(size), None)

    def _coded_track(self, size: int, scale: int) -> Group:
        tracks = self._tracks[scale]
        chosen = [tracks[i] for i in self._rng.integers(len(tracks), size=size)]
        rows = [int(self._rng.integers(len(track.time_s))) for track in chosen]
        pixels = np.stack([track.pixels[row] for track, row in zip(chosen, rows, strict=True)])
        affect = np.stack([track.affect[row] for track, row in zip(chosen, rows, strict=True)])
        assert pixels.shape[1] == side_of(scale)
        return Group(on_grid(torch.from_numpy(pixels)), torch.from_numpy(affect), _unknown(size), None)


def _unknown(size: int) -> Tensor:
    return torch.full((size, EMOTION_CLASSES), torch.nan)
