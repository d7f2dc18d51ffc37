"""The losses of the features codec: bits, affect, and the picture of a face as it moves."""

from collections.abc import Iterator

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from lowbeam.corpora.ferplus import Stills
from lowbeam.models.feature_codec import LEVELS, FeatureCodec
from lowbeam.models.normalised import normalise
from lowbeam.models.one_for_all import OneForAll
from lowbeam.train.degrade import native_to_hr, received
from lowbeam.train.features.adversary import IdentityAdversary
from lowbeam.train.features.batches import ALONE_S, Drawer, Drawn
from lowbeam.train.features.recipe import FeaturesRecipe
from lowbeam.train.loop import Task
from lowbeam.train.losses import ccc_loss, gaussian_nll

KEY_NOISE = 0.1  # of the key face in contrasts: coding adds some
GRADIENT = 0.5  # weight of the error of the picture's gradients
VALID_LEVELS = (0, LEVELS // 2, LEVELS - 1)
VALID_SCALES = (1, 4)
VALID_FACES, VALID_PART = 1200, 256  # faces, and of those in a forward pass


class FeatureTask(Task[Drawn]):
    """Trains all networks together. Quantization is uniform noise, as usual (Ballé et al. 2017, End-to-end optimized
    image compression, arXiv 1611.01704)."""

    loss_names = ("mse", "ccc", "emotion", "nll", "rate", "picture", "identity")

    def __init__(
        self, codec: FeatureCodec, teacher: OneForAll, recipe: FeaturesRecipe, drawer: Drawer,
        rng: np.random.Generator, valid: Stills,
    ) -> None:  # fmt: skip
        super().__init__(codec, rng=rng)
        self._codec, self._recipe, self._drawer, self._valid = codec, recipe, drawer, valid
        self._adversary = IdentityAdversary() if recipe.weights.identity else None
        self._teacher = teacher.eval().requires_grad_(False)
        weights = recipe.weights
        prices = np.geomspace(weights.finest_price, weights.coarsest_price, LEVELS)
        self._prices = torch.from_numpy(prices).float()

    def parameter_groups(self) -> list[dict[str, object]]:
        """For the optimizer: trunk and prior have rates of their own."""
        recipe, codec = self._recipe, self._codec
        trunk, prior = [*codec.encoder.trunk.parameters()], [*codec.prior.parameters()]
        special = {*map(id, trunk), *map(id, prior)}
        rate = recipe.learning_rate
        return [
            {"params": [one for one in codec.parameters() if id(one) not in special], "lr": rate},
            {"params": trunk, "lr": rate * recipe.trunk_rate},
            {"params": prior, "lr": rate * recipe.prior_rate, "weight_decay": 0.0},
        ]

    def batches(self) -> Iterator[Drawn]:
        """As the drawer draws them."""
        while True:
            yield self._drawer.draw()

    def losses(self, batch: Drawn) -> Tensor:
        """As `loss_names` say."""
        codec, weights = self._codec, self._recipe.weights
        with torch.autocast("cpu", torch.bfloat16):
            latents = codec.encoder(batch.grid).float()
            with torch.no_grad():
                taught, _, emotions = (out.float() for out in self._teacher(batch.whole))
        gains = codec.prior.gains(batch.level)
        noisy = latents * gains + torch.rand_like(latents) - 0.5
        _, affect, log_variance, logits = codec.readout(noisy / gains, batch.level)
        labelled = ~batch.affect.isnan().any(1)
        truth = self._truth(batch, taught, labelled)
        emotion = torch.where(batch.emotion.isnan(), emotions.softmax(1), _half(batch.emotion, emotions.softmax(1)))
        parts = [batch.part(number) for number in range(3)]
        told = slice(0, sum(batch.counts[:3]))
        return torch.stack([
            weights.mse * F.mse_loss(affect[told], truth[told]),
            weights.ccc * torch.stack([ccc_loss(affect[part], truth[part]) for part in parts]).mean(),
            weights.emotion * F.cross_entropy(logits[told], emotion[told]),
            weights.nll * gaussian_nll(affect[labelled], log_variance[labelled], batch.affect[labelled]),
            self._rate(batch, noisy, told),
            weights.picture * self._picture(batch, noisy / gains),
            -weights.identity * self._told_apart(batch, noisy / gains),
        ])  # fmt: skip

    def _truth(self, batch: Drawn, taught: Tensor, labelled: Tensor) -> Tensor:
        """Labels mixed with the teacher's estimates at full detail, (n, 2)."""
        weights = self._recipe.weights
        share = torch.full((len(batch), 1), weights.teacher_share)
        share[batch.part(2)] = weights.teacher_share_of_sequences
        share[~labelled] = 1.0
        return torch.lerp(batch.affect.nan_to_num(), taught, share)

    def _rate(self, batch: Drawn, noisy: Tensor, told: slice) -> Tensor:
        """The price of the bits; those of faces with none before count less, as they are rare."""
        before = noisy.roll(1, 0)
        bits = self._codec.prior.bits(noisy[told], before[told], batch.gap_s[told], batch.level[told])
        share = torch.where(batch.gap_s[told] >= ALONE_S, self._recipe.weights.first_faces, 1.0)
        return (self._prices[batch.level[told]] * bits * share).sum() / share.sum()

    def _told_apart(self, batch: Drawn, latents: Tensor) -> Tensor:
        """How badly the adversary tells the people of the unlabelled stills apart, once it has learned from them."""
        if self._adversary is None:
            return torch.zeros(())
        given = latents[batch.part(1)]
        self._adversary.learn(given, batch.person)
        return self._adversary.loss(given, batch.person)

    def _picture(self, batch: Drawn, latents: Tensor) -> Tensor:
        """The error of the faces of sequences, shown from their first, and of second looks, shown from the first."""
        sequences, looks, others = batch.part(2), batch.part(3), batch.part(1)
        paired = slice(others.start, others.start + batch.counts[3])

        def first(values: Tensor) -> Tensor:
            return values[sequences][:: batch.length].repeat_interleave(batch.length, 0)

        key, mean, contrast = normalise(torch.cat([first(batch.pictures), batch.pictures[paired]]))
        now = torch.cat([batch.pictures[sequences], batch.pictures[looks]])[:, None]
        wanted = (now - mean) / contrast
        shown = self._codec.animator(
            key + KEY_NOISE * torch.randn_like(key), torch.cat([first(latents), latents[paired]]),
            torch.cat([latents[sequences], latents[looks]]),
        )  # fmt: skip
        across = (shown - wanted).diff(dim=3).abs().mean() + (shown - wanted).diff(dim=2).abs().mean()
        return (shown - wanted).abs().mean() + GRADIENT * across

    def valid_loss(self, network: FeatureCodec) -> float:
        """1 - CCC on stills, the mean over some levels and scales."""
        affect = torch.from_numpy(self._valid.affect[:VALID_FACES])
        hr = native_to_hr(torch.from_numpy(self._valid.pixels[:VALID_FACES]))
        found = []
        for scale in VALID_SCALES:
            latents = torch.cat([network.encoder(received(part, scale)) for part in hr.split(VALID_PART)])
            for number in VALID_LEVELS:
                level = torch.full((len(latents),), number)
                gains = network.prior.gains(level)
                _, estimated, _, _ = network.readout((latents * gains).round() / gains, level)
                found.append(float(ccc_loss(estimated, affect)))
        return float(np.mean(found))


def _half(one: Tensor, other: Tensor) -> Tensor:
    return (one + other) / 2
