"""What a network is told of a batch: labels, what a teacher reads of the same faces, and how both become losses."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lowbeam.models.one_for_all import OneForAll
from lowbeam.train.losses import ccc_loss, gaussian_nll
from lowbeam.train.video.recipe import Mixture
from lowbeam.train.video.sources import Group
from lowbeam.train.video.teacher import Lesson, Teacher

LOSSES = ("mse", "ccc", "emotion", "nll", "features")


class Learner(nn.Module):
    """The network and what is used in training only: from groups of faces to losses."""

    def __init__(self, network: OneForAll, teacher: Teacher | None, mix: Mixture) -> None:
        super().__init__()
        self.network, self._teacher, self._mix = network, teacher, mix
        # The student's features need not be the teacher's, only hold them.
        self.told = nn.Linear(network.width, teacher.width) if teacher is not None and mix.feature_weight else None

    def forward(self, groups: list[Group]) -> Tensor:
        """`LOSSES`, each by its weight."""
        features = self.network.features(torch.cat([group.grid for group in groups]))
        affect, log_variance, logits = (out.float() for out in self.network.read(self.network.dropout(features)))
        truth, emotion = torch.cat([g.affect for g in groups]), torch.cat([g.emotion for g in groups])
        mix, labelled = self._mix, ~truth.isnan().any(1)
        likelihood = telling = affect.new_zeros(())
        if labelled.any():
            likelihood = gaussian_nll(affect[labelled], log_variance[labelled], truth[labelled])
        lesson, here = self._lesson(groups)
        if lesson is not None:
            share = torch.where(labelled[here], mix.teacher_share, 1.0)[:, None]
            truth[here] = torch.lerp(truth[here].nan_to_num(), lesson.affect, share)
            emotion[here] = torch.lerp(emotion[here].nan_to_num(), lesson.emotion, share)
            if self.told is not None:
                telling = 1 - F.cosine_similarity(self.told(features[here]).float(), lesson.features).mean()
        known = ~emotion.isnan().any(1)
        parts = zip(affect.chunk(len(groups)), truth.chunk(len(groups)), strict=True)
        named = F.cross_entropy(logits[known], emotion[known]) if known.any() else affect.new_zeros(())
        return torch.stack([
            mix.mse_weight * F.mse_loss(affect, truth),
            mix.ccc_weight * torch.stack([ccc_loss(p, t) for p, t in parts]).mean(),
            mix.emotion_weight * named * known.float().mean(),
            mix.nll_weight * likelihood,
            mix.feature_weight * telling,
        ])  # fmt: skip

    def _lesson(self, groups: list[Group]) -> tuple[Lesson | None, Tensor]:
        """What the teacher makes of those faces that it can tell of, and where in the batch they are."""
        here = torch.cat([torch.full((len(g.grid),), g.whole is not None) for g in groups])
        whole = [g.whole for g in groups if g.whole is not None]
        return (self._teacher(torch.cat(whole)) if whole and self._teacher is not None else None), here
