"""The tasks in which the networks of a system are trained, by the loop of `lowbeam.train.loop`."""

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lowbeam.models.normalised import RestorationNetwork, normalise
from lowbeam.models.paper import CnnD, Convolutions
from lowbeam.scale import FACE_SIDE
from lowbeam.train.degrade import native_to_hr
from lowbeam.train.loop import Deadline, Task, fit
from lowbeam.train.paper.handover import scale_as
from lowbeam.train.paper.networks import (
    CHUNK,
    DeviceFaces,
    autocast,
    draw_scales,
    in_chunks,
    make_cnn_d,
    mixed,
    some_faces,
)  # fmt: skip
from lowbeam.train.paper.recipe import Experiment, RestorationTraining, Training
from lowbeam.train.schedule import DivideOnPlateau


class _FacesTask(Task[Tensor]):
    """Batches of indices of faces, in an order that `generator` draws for each epoch. An epoch has each of the `faces`
    as often as `repeats` says: once, or once at every scale of a mixture."""

    loss_names = ("train_loss",)

    def __init__(
        self, network: nn.Module, faces: int, batch: int, generator: torch.Generator, repeats: int = 1
    ) -> None:
        super().__init__(network)
        self.faces_of_epoch = repeats * faces
        self._batch, self._generator = batch, generator

    def batches(self) -> Iterable[Tensor]:
        """Indices, up to the number of faces of an epoch."""
        return torch.randperm(self.faces_of_epoch, generator=self._generator).split(self._batch)

    def random_state(self) -> Any:
        """Of the generator."""
        return self._generator.get_state()

    def set_random_state(self, state: Any) -> None:
        """Of the generator."""
        self._generator.set_state(state)


class RestorationTask(_FacesTask):
    """Mean squared error against the HR face. The target is cropped to what unpadded convolutions cover, so that no
    padding is learned; the recognizer's convolutions are unpadded too."""

    def __init__(
        self, network: RestorationNetwork, experiment: Experiment, mixture: tuple[int, ...], train: DeviceFaces,
        valid: DeviceFaces, generator: torch.Generator,
    ) -> None:  # fmt: skip
        super().__init__(network, len(train), experiment.restore.batch, generator)
        self._restorer, self._experiment, self._mixture = network, experiment, mixture
        self._train, self._valid = train, valid

    def losses(self, batch: Tensor) -> Tensor:
        """On random crops, where the recipe asks for crops."""
        settings = self._experiment.restore
        drawn = draw_scales(len(batch), self._mixture, self._generator)
        pixels = self._train.pixels[batch]
        if settings.mirror and torch.randint(2, (), generator=self._generator):
            pixels = pixels.flip(2)
        return self._loss(self._restorer, pixels, drawn, lambda faces: _random_crop(faces, settings, self._generator))[
            None
        ]

    def valid_loss(self, network: RestorationNetwork) -> float:
        """On crops from the middle, the scales in turn."""
        settings, valid = self._experiment.restore, self._valid
        total = torch.zeros((), device=valid.pixels.device)
        for start in range(0, len(valid), CHUNK):
            pixels = valid.pixels[start : start + CHUNK]
            drawn = torch.arange(start, start + len(pixels)) % len(self._mixture)
            total += self._loss(network, pixels, drawn, lambda faces: _middle_crop(faces, settings)) * len(pixels)
        return float(total) / len(valid)

    def _loss(
        self, network: RestorationNetwork, pixels: Tensor, drawn: Tensor, crop: Callable[[Tensor], Tensor]
    ) -> Tensor:
        lr, mean, contrast = normalise(mixed(pixels, self._mixture, drawn))
        hr = (native_to_hr(pixels).unsqueeze(1) - mean) / contrast
        both = crop(torch.cat([lr, hr], 1))
        with autocast(self._experiment, pixels.device):
            restored = network(both[:, :1])
        return F.mse_loss(restored.float(), network.inner(both[:, 1:]))


def _random_crop(faces: Tensor, settings: RestorationTraining, generator: torch.Generator) -> Tensor:
    if settings.patch_px is None:
        return faces
    top, left = torch.randint(FACE_SIDE - settings.patch_px + 1, (2,), generator=generator).tolist()
    return faces[:, :, top : top + settings.patch_px, left : left + settings.patch_px]


def _middle_crop(faces: Tensor, settings: RestorationTraining) -> Tensor:
    if settings.patch_px is None:
        return faces
    start = (FACE_SIDE - settings.patch_px) // 2
    return faces[:, :, start : start + settings.patch_px, start : start + settings.patch_px]


class RecognitionTask(_FacesTask):
    """Mean squared error against valence and arousal."""

    def __init__(
        self, network: CnnD, experiment: Experiment, mixture: tuple[int, ...], train: DeviceFaces, valid: DeviceFaces,
        generator: torch.Generator, *, frozen: bool,
    ) -> None:  # fmt: skip
        self._every_scale = experiment.recognize.each_face_at == "every scale"
        repeats = len(mixture) if self._every_scale else 1
        super().__init__(network, len(train), experiment.recognize.batch, generator, repeats)
        self._recognizer, self._experiment, self._mixture = network, experiment, mixture
        self._train, self._valid = train, valid
        self._cached: tuple[Tensor, Tensor] | None = None  # features of frozen convolutions do not change
        if frozen and len(mixture) == 1:
            self._cached = (self._all_features(train), self._all_features(valid))

    def losses(self, batch: Tensor) -> Tensor:
        """On the faces of `batch`, each at the scale of its index, or at one drawn at random."""
        train = self._train
        if self._cached is not None:
            return self._loss(self._recognizer, self._cached[0][batch], train.affect[batch])[None]
        if self._every_scale:
            drawn, batch = batch // len(train), batch % len(train)
        else:
            drawn = draw_scales(len(batch), self._mixture, self._generator)
        features = self._features(self._recognizer, train.pixels[batch], drawn)
        return self._loss(self._recognizer, features, train.affect[batch])[None]

    def valid_loss(self, network: CnnD) -> float:
        """On the validation faces, the scales in turn."""
        valid = self._valid
        total = torch.zeros((), device=valid.pixels.device)
        for start in range(0, len(valid), CHUNK):
            part = slice(start, start + CHUNK)
            drawn = torch.arange(start, start + len(valid.pixels[part])) % len(self._mixture)
            cached = self._cached
            features = cached[1][part] if cached is not None else self._features(network, valid.pixels[part], drawn)
            total += self._loss(network, features, valid.affect[part]) * len(features)
        return float(total) / len(valid)

    def _all_features(self, faces: DeviceFaces) -> Tensor:
        return in_chunks(
            lambda pixels: self._features(self._recognizer, pixels, torch.zeros(len(pixels))), faces.pixels
        )

    def _features(self, network: CnnD, pixels: Tensor, drawn: Tensor) -> Tensor:
        faces, _, _ = normalise(mixed(pixels, self._mixture, drawn))
        with autocast(self._experiment, pixels.device):
            return network.features(faces.to(memory_format=torch.channels_last))

    def _loss(self, network: CnnD, features: Tensor, truth: Tensor) -> Tensor:
        with autocast(self._experiment, truth.device):
            estimated = network.read(features)
        return F.mse_loss(estimated.float(), truth)


def train_restoration(
    network: RestorationNetwork, experiment: Experiment, mixture: tuple[int, ...], train: DeviceFaces,
    valid: DeviceFaces, folder: Path, generator: torch.Generator, deadline: Deadline,
) -> dict[str, float]:  # fmt: skip
    """Train `network` for the `mixture` in `folder`; returns what it took. Raises `OutOfTime` after the `deadline`."""
    task = RestorationTask(network, experiment, mixture, train, valid, generator)
    return _fit(task, experiment.restore, [(list(network.parameters()), 1.0)], folder, deadline)


def train_cnn_d(
    experiment: Experiment, mixture: tuple[int, ...], train: DeviceFaces, valid: DeviceFaces, folder: Path,
    generator: torch.Generator, deadline: Deadline, *, convolutions: Convolutions | None = None, frozen: bool = False,
) -> tuple[CnnD, dict[str, float]]:  # fmt: skip
    """Train a CNN+D for the `mixture` in `folder`; returns it, and what it took. Transferred `convolutions` are tuned
    at the recipe's share of the learning rate, or stay `frozen`. Raises `OutOfTime` after the `deadline`."""
    settings, device = experiment.recognize, train.pixels.device
    network = make_cnn_d(experiment, convolutions).to(device)
    if convolutions is not None and settings.transferred_scale == "xavier":
        scale_as(network, make_cnn_d(experiment).to(device), some_faces(train, mixture))
    task = RecognitionTask(network, experiment, mixture, train, valid, generator, frozen=frozen)
    network.convolutions.requires_grad_(not frozen)
    groups = [([*network.hidden.parameters(), *network.readout.parameters()], 1.0)]
    if not frozen:
        share = 1.0 if convolutions is None else settings.transferred_rate
        groups.append((list(network.convolutions.parameters()), share))
    return network, _fit(task, settings, groups, folder, deadline)


def make_optimizer(training: Training, groups: list[tuple[list[nn.Parameter], float]]) -> torch.optim.Optimizer:
    """The recipe's optimizer. Each group of parameters has its own share of the learning rate."""
    settings = [{"params": parameters, "lr": training.learning_rate * share} for parameters, share in groups]
    if training.optimizer == "adam":
        return torch.optim.AdamW(settings, weight_decay=training.weight_decay)
    return torch.optim.SGD(settings, momentum=training.momentum, weight_decay=training.weight_decay)


def _fit(
    task: _FacesTask, training: Training, groups: list[tuple[list[nn.Parameter], float]], folder: Path,
    deadline: Deadline,
) -> dict[str, float]:  # fmt: skip
    optimizer = make_optimizer(training, groups)
    schedule = DivideOnPlateau(optimizer, training.epochs, training.patience, training.divisions, training.divide_at)
    took = fit(task, optimizer, schedule, folder, deadline=deadline)
    return {
        "epochs": took.rounds, "faces_seen": took.rounds * task.faces_of_epoch, "train_s": round(took.seconds, 1),
        "valid_loss": took.valid_loss,
    }  # fmt: skip
