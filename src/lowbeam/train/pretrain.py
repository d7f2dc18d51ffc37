"""Stage 1, optional: super-resolution teaches the trunk its first features, without labels."""

from collections.abc import Iterator

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lowbeam.models.one_for_all import TrunkPretraining
from lowbeam.scale import Faces
from lowbeam.train.degrade import augment, native_to_hr, received
from lowbeam.train.loop import Task
from lowbeam.train.recognizer_recipe import RecognizerRecipe

VALID_FACES = 2048  # at most, evenly chosen
CHUNK = 256  # faces at a time in validation


class PretrainingTask(Task[Tensor]):
    """Mean squared error between HR faces and what the network computes from the same faces at one scale.

    `pixels` and `valid` are native faces, uint8 (n, d, d).
    """

    loss_names = ("mse",)

    def __init__(
        self, network: TrunkPretraining, recipe: RecognizerRecipe, pixels: Faces, valid: Faces, device: torch.device
    ) -> None:
        assert recipe.pretrain is not None
        self._rng = np.random.default_rng(recipe.seed)
        super().__init__(network, rng=self._rng)
        self._settings, self._bounds, self._device = recipe.pretrain, recipe.augmentation, device
        self._pixels = torch.from_numpy(pixels)
        self._valid = torch.from_numpy(valid[:: -(-len(valid) // VALID_FACES)])
        self._bf16 = recipe.precision == "bf16"

    def batches(self) -> Iterator[Tensor]:
        """Native faces, drawn uniformly."""
        while True:
            rows = self._rng.integers(len(self._pixels), size=self._settings.batch)
            yield self._pixels[torch.from_numpy(rows)].to(self._device)

    def losses(self, batch: Tensor) -> Tensor:
        """Mean squared error on augmented faces."""
        return self._mse(self.network, augment(batch, self._bounds))[None]

    def valid_loss(self, network: TrunkPretraining) -> float:
        """Mean squared error on validation faces."""
        parts = [part.to(self._device) for part in self._valid.split(CHUNK)]
        total = sum(float(self._mse(network, native_to_hr(part))) * len(part) for part in parts)
        return total / len(self._valid)

    def _mse(self, network: nn.Module, hr: Tensor) -> Tensor:
        with torch.autocast(self._device.type, torch.bfloat16, enabled=self._bf16):
            restored = network(received(hr, self._settings.scale))
        return F.mse_loss(restored.float(), received(hr, 1))
