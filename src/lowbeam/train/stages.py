"""The two stages of One-for-All training as Lightning modules: restore, then finetune (max-mix)."""

from typing import TypeVar

import lightning as L
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lowbeam.models.one_for_all import OneForAll, Restorer, Trunk
from lowbeam.train.degrade import augment, native_to_hr, received
from lowbeam.train.losses import ccc_loss, gaussian_nll
from lowbeam.train.recipe import Recipe, Stage

Batch = tuple[Tensor, Tensor, Tensor]  # pixels uint8 (n, d, d), affect (n, 2), emotion (n, 8)
Network = TypeVar("Network", bound=nn.Module)


def _for_speed(network: Network) -> Network:
    """Channels last, the layout in which bfloat16 convolutions are fast on CPUs and GPUs alike."""
    return network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # missing in torch's stubs


class _TrainingStage(L.LightningModule):
    """What both stages share: AdamW under a one-cycle schedule."""

    def __init__(self, settings: Stage) -> None:
        super().__init__()
        self._settings = settings

    def configure_optimizers(self) -> dict:
        optimizer = torch.optim.AdamW(
            self.parameters(), lr=self._settings.learning_rate, weight_decay=self._settings.weight_decay
        )
        schedule = torch.optim.lr_scheduler.OneCycleLR(
            optimizer, self._settings.learning_rate, total_steps=int(self.trainer.estimated_stepping_batches)
        )
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}


class RestoreStage(_TrainingStage):
    """Stage 1: MSE between what the trunk restores from the largest scale and the HR face."""

    def __init__(self, recipe: Recipe) -> None:
        super().__init__(recipe.restore)
        self.recipe = recipe
        self.restorer = _for_speed(Restorer(Trunk()))

    def _losses(self, hr: Tensor) -> tuple[Tensor, Tensor]:
        small, target = received(hr, self.recipe.restore.scale), received(hr, 1)
        return F.mse_loss(self.restorer(small).float(), target), F.mse_loss(small, target)

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        loss, _ = self._losses(augment(batch[0], self.recipe.augmentation))
        self.log("restore/mse", loss, prog_bar=True)
        return loss

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        loss, bicubic = self._losses(native_to_hr(batch[0]))
        self.log_dict({"valid/restored_mse": loss, "valid/bicubic_mse": bicubic}, prog_bar=True, sync_dist=True)


class FinetuneStage(_TrainingStage):
    """Stage 2, max-mix: each batch is cut into groups, each group shrunk by a scale drawn at random."""

    def __init__(self, recipe: Recipe, trunk: Trunk) -> None:
        super().__init__(recipe.finetune)
        self.recipe = recipe
        self.network = _for_speed(OneForAll(trunk, recipe.finetune.dropout))
        self._read: dict[int, list[Tensor]] = {}

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        mix = self.recipe.finetune
        pixels, affect, emotion = batch
        hr = augment(pixels, self.recipe.augmentation)
        drawn = torch.randint(len(mix.scales), (mix.groups,)).tolist()
        grid = torch.cat([received(part, mix.scales[i]) for part, i in zip(hr.chunk(mix.groups), drawn, strict=False)])
        predicted, log_variance, logits = (out.float() for out in self.network(grid))
        groups = zip(predicted.chunk(mix.groups), affect.chunk(mix.groups), strict=True)
        losses = {
            "mse": mix.mse_weight * F.mse_loss(predicted, affect),
            "ccc": mix.ccc_weight * torch.stack([ccc_loss(p, t) for p, t in groups]).mean(),
            "emotion": mix.emotion_weight * F.cross_entropy(logits, emotion),
            "nll": mix.nll_weight * gaussian_nll(predicted, log_variance, affect),
        }
        self.log_dict({f"finetune/{name}": value for name, value in losses.items()})
        return torch.stack(list(losses.values())).sum()

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        pixels, affect, _ = batch
        hr = native_to_hr(pixels)
        for scale in self.recipe.finetune.scales:
            predicted = self.network(received(hr, scale))[0].float()
            self._read.setdefault(scale, []).append(torch.stack([predicted, affect], 1))

    def on_validation_epoch_end(self) -> None:
        """CCC of valence and arousal, averaged over the scales; this is what a checkpoint is chosen by."""
        scores = []
        for scale, parts in self._read.items():
            # On several GPUs each has a shard: CCC is of the whole, not the mean of the shards'.
            predicted, truth = self.all_gather(torch.cat(parts)).reshape(-1, 2, 2).unbind(1)
            scores.append(1 - ccc_loss(predicted[:, :1], truth[:, :1]))
            scores.append(1 - ccc_loss(predicted[:, 1:], truth[:, 1:]))
            self.log(f"valid/valence_ccc_{scale}", scores[-2], sync_dist=True)
            self.log(f"valid/arousal_ccc_{scale}", scores[-1], sync_dist=True)
        self.log("valid/ccc", torch.stack(scores).mean(), prog_bar=True, sync_dist=True)
        self._read.clear()
