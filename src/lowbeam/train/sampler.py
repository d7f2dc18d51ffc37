"""Draws the groups of faces of which the batches of a mixture consist."""

from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from lowbeam.models.one_for_all import EMOTION_CLASSES
from lowbeam.scale import Faces
from lowbeam.train.coded_tracks import PLAIN, CodedTrack
from lowbeam.train.degrade import augment, on_grid, received
from lowbeam.train.recipe import Augmentation
from lowbeam.train.recognizer_recipe import Mixture
from lowbeam.train.training_data import StillCorpus, TrainingData


class Group(NamedTuple):
    """Faces of one source and scale on the network's grid (n, 1, 48, 48), with affect (n, 2) and emotion (n, 8), nan
    where unknown. `hr` are the same faces at full detail for the teacher, or None where it is not asked."""

    grid: Tensor
    affect: Tensor
    emotion: Tensor
    hr: Tensor | None


class GroupSampler:
    """Draws groups: the source by the mixture's shares, the scale uniformly, the faces uniformly from the source. Of
    several corpora of stills one is drawn by its size."""

    def __init__(
        self, data: TrainingData, mixture: Mixture, bounds: Augmentation, seed: int, device: torch.device
    ) -> None:
        self._data, self._bounds, self._device = data, bounds, device
        self.rng = np.random.default_rng(seed)
        self._shares = np.array(list(mixture.shares.model_dump().values()))
        self._draw = (self._still, self._coded_still, self._face_of_a_track, self._coded_track, self._unlabelled)
        self._scales = mixture.scales
        sizes = np.array([len(corpus) for corpus in data.stills], float)
        self._still_shares = sizes / sizes.sum()
        coded = [track for track in data.coded_tracks if track.codec != PLAIN]
        self._tracks: dict[int, list[CodedTrack]] = {s: [t for t in coded if t.scale == s] for s in self._scales}

    def group(self, size: int) -> Group:
        """`size` faces of one source at one scale."""
        source = self._draw[self.rng.choice(len(self._draw), p=self._shares / self._shares.sum())]
        return source(size, int(self.rng.choice(self._scales)))

    def _stills(self) -> StillCorpus:
        """A corpus of stills, by its size."""
        corpora = self._data.stills
        return corpora[0] if len(corpora) == 1 else corpora[self.rng.choice(len(corpora), p=self._still_shares)]

    def _still(self, size: int, scale: int) -> Group:
        stills = self._stills().faces
        rows = self.rng.integers(len(stills), size=size)
        hr = augment(self._on_device(stills.pixels[rows]), self._bounds)
        affect, emotion = self._on_device(stills.affect[rows]), self._on_device(stills.emotion[rows])
        return Group(received(hr, scale), affect, emotion, received(hr, 1))

    def _coded_still(self, size: int, scale: int) -> Group:
        corpus = self._stills()
        stills, chosen = corpus.faces, corpus.coded[self.rng.integers(len(corpus.coded))]
        rows = self.rng.integers(len(stills), size=size)
        affect, emotion = self._on_device(stills.affect[rows]), self._on_device(stills.emotion[rows])
        grid, hr = (on_grid(self._on_device(pixels[rows])) for pixels in (chosen.pixels[scale], chosen.uncoded))
        return Group(grid, affect, emotion, hr)

    def _unlabelled(self, size: int, scale: int) -> Group:
        assert self._data.unlabelled is not None
        rows = self.rng.integers(len(self._data.unlabelled), size=size)
        hr = augment(self._on_device(self._data.unlabelled[rows]), self._bounds)
        affect = torch.full((size, 2), torch.nan, device=self._device)
        return Group(received(hr, scale), affect, self._unknown(size), received(hr, 1))

    def _face_of_a_track(self, size: int, scale: int) -> Group:
        people = self._data.people
        assert people is not None
        rows = np.sort(self.rng.integers(len(people), size=size))
        hr = augment(self._on_device(np.asarray(people.pixels[rows])), self._bounds)
        return Group(received(hr, scale), self._on_device(people.affect[rows]), self._unknown(size), None)

    def _coded_track(self, size: int, scale: int) -> Group:
        tracks = self._tracks[scale]
        chosen = [tracks[i] for i in self.rng.integers(len(tracks), size=size)]
        rows = [int(self.rng.integers(len(track.time_s))) for track in chosen]
        pixels: Faces = np.stack([track.pixels[row] for track, row in zip(chosen, rows, strict=True)])
        affect = np.stack([track.affect[row] for track, row in zip(chosen, rows, strict=True)])
        return Group(on_grid(self._on_device(pixels)), self._on_device(affect), self._unknown(size), None)

    def _on_device(self, array: NDArray[Any]) -> Tensor:
        return torch.from_numpy(array).to(self._device)

    def _unknown(self, size: int) -> Tensor:
        return torch.full((size, EMOTION_CLASSES), torch.nan, device=self._device)
