"""Stage 2: the network learns valence and arousal of single faces on the mixture (max-mix)."""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lowbeam.models.one_for_all import OneForAll
from lowbeam.train.calibrate import Sample
from lowbeam.train.loop import Task
from lowbeam.train.losses import ccc_loss, gaussian_nll
from lowbeam.train.recognizer_recipe import RecognizerRecipe
from lowbeam.train.sampler import Group, GroupSampler
from lowbeam.train.teacher import Targets, Teacher
from lowbeam.train.temporal import face_features


class MixtureTask(Task[list[Group]]):
    """Labels, mixed with a teacher's targets where there is a teacher, and the losses against them."""

    loss_names = ("mse", "ccc", "emotion", "nll", "features")

    def __init__(
        self, network: OneForAll, recipe: RecognizerRecipe, sampler: GroupSampler, teacher: Teacher | None = None,
        valid: Sequence[Sample] = (),
    ) -> None:  # fmt: skip
        """With `valid`, LR faces of every scale, there is a validation loss."""
        mix, self._projection = recipe.mixture, None
        trained = nn.ModuleDict({"network": network})
        if teacher is not None and mix.feature_weight:  # the teacher's features are to follow linearly from its own
            device = network.readout.weight.device
            self._projection = nn.Linear(network.width, teacher.width).to(device)
            trained["projection"] = self._projection
        super().__init__(network, trained, sampler.rng)
        self._recognizer, self._teacher, self._sampler, self._mix = network, teacher, sampler, mix
        self._bf16, self._valid = recipe.precision == "bf16", valid
        self._frozen = mix.trunk_rate == 0
        network.trunk.requires_grad_(not self._frozen)

    def parameter_groups(self) -> list[dict[str, Any]]:
        """For the optimizer: the trunk has its share of the learning rate."""
        trunk, mix = {*map(id, self._recognizer.trunk.parameters())}, self._mix
        if mix.trunk_rate == 1:
            return [{"params": list(self.trained.parameters())}]
        groups = [{"params": [p for p in self.trained.parameters() if id(p) not in trunk], "lr": mix.learning_rate}]
        if not self._frozen:
            share = mix.learning_rate * mix.trunk_rate
            groups.append({"params": list(self._recognizer.trunk.parameters()), "lr": share})
        return groups

    def batches(self) -> Iterator[list[Group]]:
        """Groups as the sampler draws them."""
        while True:
            yield [self._sampler.group(self._mix.batch // self._mix.groups) for _ in range(self._mix.groups)]

    def losses(self, groups: list[Group]) -> Tensor:
        """Mean squared error, 1 - CCC of each group, cross entropy of the emotion votes, negative log likelihood, and
        cosine distance to the teacher's features."""
        if self._frozen:
            self._recognizer.trunk.eval()  # its batch normalization too
        with torch.autocast(groups[0].grid.device.type, torch.bfloat16, enabled=self._bf16):
            return self._losses(groups)

    def valid_loss(self, network: OneForAll) -> float | None:
        """1 - CCC, the mean over the sides of the faces."""
        if not self._valid:
            return None
        found = []
        for side in sorted({sample.pixels.shape[1] for sample in self._valid}):
            samples = [sample for sample in self._valid if sample.pixels.shape[1] == side]
            single = torch.cat([face_features(network, sample.pixels)[1] for sample in samples])
            truth = torch.from_numpy(np.concatenate([sample.affect for sample in samples]))
            found.append(float(ccc_loss(single[:, :2], truth)))
        return float(np.mean(found))

    def _losses(self, groups: list[Group]) -> Tensor:
        network, mix = self._recognizer, self._mix
        features = network.features(torch.cat([group.grid for group in groups]))
        affect, log_variance, logits = (out.float() for out in network.read(network.dropout(features)))
        truth, emotion = torch.cat([g.affect for g in groups]), torch.cat([g.emotion for g in groups])
        labelled = ~truth.isnan().any(1)
        likelihood = distance = affect.new_zeros(())
        if labelled.any():
            likelihood = gaussian_nll(affect[labelled], log_variance[labelled], truth[labelled])
        targets, taught = self._targets(groups)
        if targets is not None:
            share = torch.where(labelled[taught], mix.teacher_share, 1.0)[:, None]
            truth[taught] = torch.lerp(truth[taught].nan_to_num(), targets.affect, share)
            emotion[taught] = torch.lerp(emotion[taught].nan_to_num(), targets.emotion, share)
            if self._projection is not None:
                projected = self._projection(features[taught]).float()
                distance = 1 - F.cosine_similarity(projected, targets.features).mean()
        voted = ~emotion.isnan().any(1)
        parts = zip(affect.chunk(len(groups)), truth.chunk(len(groups)), strict=True)
        entropy = F.cross_entropy(logits[voted], emotion[voted]) if voted.any() else affect.new_zeros(())
        return torch.stack([
            mix.mse_weight * F.mse_loss(affect, truth),
            mix.ccc_weight * torch.stack([ccc_loss(p, t) for p, t in parts]).mean(),
            mix.emotion_weight * entropy * voted.float().mean(),
            mix.nll_weight * likelihood,
            mix.feature_weight * distance,
        ])  # fmt: skip

    def _targets(self, groups: list[Group]) -> tuple[Targets | None, Tensor]:
        """The teacher's targets, and a mask (n,) of the faces of the batch that have them."""
        taught = torch.cat([torch.full((len(g.grid),), g.hr is not None, device=g.grid.device) for g in groups])
        hr = [g.hr for g in groups if g.hr is not None]
        return (self._teacher(torch.cat(hr)) if hr and self._teacher is not None else None), taught
