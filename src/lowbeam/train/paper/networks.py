"""The networks of a system: made, given their first weights, and trained on faces that lie on the device whole."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lowbeam.models.face_restorer import FaceRestorer
from lowbeam.models.normalised import RestoringNetwork, normalise
from lowbeam.models.paper import CnnD, Convolutions, SrFcn
from lowbeam.scale import FACE_SIDE, side_of
from lowbeam.train.degrade import native_to_hr, resample
from lowbeam.train.paper.handover import scale_as
from lowbeam.train.paper.loop import Deadline, fit, make_optimizer
from lowbeam.train.paper.recipe import Experiment, Restoring, RestoringKind

CHUNK = 64  # faces that are read or restored at a time outside training: what two cores' caches hold
SOME = 512  # faces by which the strength of features is judged
GAUSSIAN_STD = 0.001  # of SR-FCN's published initial weights


@dataclass(frozen=True)
class DeviceFaces:
    """Labelled faces on the device: `pixels` uint8 (n, d, d), native; `affect` float32 (n, 2)."""

    pixels: Tensor
    affect: Tensor

    def __len__(self) -> int:
        return len(self.pixels)


def interpolated(pixels: Tensor, scale: int) -> Tensor:
    """Native faces uint8 (n, d, d) to the grey levels (n, 96, 96) that a trip at `scale` leaves: shrunk from HR, and
    brought back to 96 by bicubic interpolation."""
    return resample(resample(native_to_hr(pixels), side_of(scale)), FACE_SIDE)


def mixed(pixels: Tensor, mixture: tuple[int, ...], drawn: Tensor) -> Tensor:
    """`interpolated`, each face at the scale of the `mixture` that `drawn` (n,) names."""
    if len(mixture) == 1:
        return interpolated(pixels, mixture[0])
    out = torch.empty((len(pixels), FACE_SIDE, FACE_SIDE), device=pixels.device)
    for index, scale in enumerate(mixture):
        chosen = (drawn == index).nonzero().squeeze(1).to(pixels.device)
        if len(chosen):
            out[chosen] = interpolated(pixels[chosen], scale)
    return out


def draw_scales(count: int, mixture: tuple[int, ...], generator: torch.Generator) -> Tensor:
    """Which scale of the `mixture` each of `count` faces is met at (max-mix): indices (n,), at even odds."""
    return torch.randint(len(mixture), (count,), generator=generator)


def autocast(experiment: Experiment, device: torch.device) -> torch.autocast:
    """The experiment's arithmetic: convolutions in bfloat16, or all in float32."""
    return torch.autocast(device.type, torch.bfloat16, enabled=experiment.precision == "bfloat16")


def make_sr_fcn(experiment: Experiment) -> SrFcn:
    """SR-FCN with its first weights."""
    settings = experiment.restore
    network = SrFcn(experiment.channels, settings.learns)
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            if settings.init == "gaussian":
                nn.init.normal_(module.weight, std=GAUSSIAN_STD)
            else:
                nn.init.xavier_normal_(module.weight)
            nn.init.zeros_(module.bias)  # type: ignore[arg-type]  # it has one
    if settings.init == "xavier":
        network.paint.weight.data /= 10  # the first picture is nearly the interpolated one
    return network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # missing in torch's stubs


def make_restorer(experiment: Experiment, kind: RestoringKind = "sr-fcn") -> RestoringNetwork:
    """A restoring network with its first weights."""
    if kind == "sr-fcn":
        return make_sr_fcn(experiment)
    return FaceRestorer().to(memory_format=torch.channels_last)  # type: ignore[call-overload]


def make_cnn_d(experiment: Experiment, convolutions: Convolutions | None = None) -> CnnD:
    """CNN+D with Xavier's weights, and `convolutions` in place of its own where they are handed over."""
    network = CnnD(experiment.channels, experiment.pooling, experiment.recognize.dropout)
    for module in network.modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            nn.init.xavier_normal_(module.weight)
            nn.init.zeros_(module.bias)  # type: ignore[arg-type]
    if convolutions is not None:
        network.convolutions.load_state_dict(convolutions.state_dict())
    return network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]


def train_restorer(
    network: RestoringNetwork, experiment: Experiment, mixture: tuple[int, ...], train: DeviceFaces,
    valid: DeviceFaces, folder: Path, generator: torch.Generator, deadline: Deadline,
) -> dict[str, float]:  # fmt: skip
    """Train `network` for the `mixture`: MSE against the HR face. SR-FCN's target is cropped to the part that unpadded
    convolutions leave, so that no edge of our making is learned; the recognizer's are unpadded too."""
    settings, device = experiment.restore, train.pixels.device

    def loss(pixels: Tensor, drawn: Tensor, patch: Callable[[Tensor], Tensor]) -> Tensor:
        small, mean, contrast = normalise(mixed(pixels, mixture, drawn))
        target = (native_to_hr(pixels).unsqueeze(1) - mean) / contrast
        both = patch(torch.cat([small, target], 1))
        with autocast(experiment, device):
            restored = network(both[:, :1])
        return F.mse_loss(restored.float(), network.inner(both[:, 1:]))

    def train_loss(batch: Tensor) -> Tensor:
        drawn = draw_scales(len(batch), mixture, generator)
        pixels = train.pixels[batch]
        if settings.mirror and torch.randint(2, (), generator=generator):
            pixels = pixels.flip(2)
        return loss(pixels, drawn, lambda faces: _random_patch(faces, settings, generator))

    def valid_loss() -> float:
        total = torch.zeros((), device=device)
        for start in range(0, len(valid), CHUNK):
            pixels = valid.pixels[start : start + CHUNK]
            drawn = torch.arange(start, start + len(pixels)) % len(mixture)
            total += loss(pixels, drawn, lambda faces: _middle_patch(faces, settings)) * len(pixels)
        return float(total) / len(valid)

    optimizer = make_optimizer(settings, [(list(network.parameters()), 1.0)])
    return fit(network, optimizer, settings, folder, faces=len(train), train_loss=train_loss, valid_loss=valid_loss,
               generator=generator, deadline=deadline)  # fmt: skip


def _random_patch(faces: Tensor, settings: Restoring, generator: torch.Generator) -> Tensor:
    if settings.patch_px is None:
        return faces
    top, left = torch.randint(FACE_SIDE - settings.patch_px + 1, (2,), generator=generator).tolist()
    return faces[:, :, top : top + settings.patch_px, left : left + settings.patch_px]


def _middle_patch(faces: Tensor, settings: Restoring) -> Tensor:
    if settings.patch_px is None:
        return faces
    start = (FACE_SIDE - settings.patch_px) // 2
    return faces[:, :, start : start + settings.patch_px, start : start + settings.patch_px]


def train_cnn_d(
    experiment: Experiment, mixture: tuple[int, ...], train: DeviceFaces, valid: DeviceFaces, folder: Path,
    generator: torch.Generator, deadline: Deadline, *, convolutions: Convolutions | None = None, frozen: bool = False,
) -> tuple[CnnD, dict[str, float]]:  # fmt: skip
    """CNN+D for the `mixture`: MSE against valence and arousal. `convolutions` are handed over; they are tuned at the
    recipe's share of the learning rate, or stay as they are where they are `frozen`."""
    settings, device = experiment.recognize, train.pixels.device
    network = make_cnn_d(experiment, convolutions).to(device)
    if convolutions is not None and settings.transferred_scale == "xavier":
        scale_as(network, make_cnn_d(experiment).to(device), some_faces(train, mixture))

    def features(pixels: Tensor, drawn: Tensor) -> Tensor:
        faces, _, _ = normalise(mixed(pixels, mixture, drawn))
        with autocast(experiment, device):
            return network.features(faces.to(memory_format=torch.channels_last))

    def loss(seen: Tensor, truth: Tensor) -> Tensor:
        with autocast(experiment, device):
            read = network.read(seen)
        return F.mse_loss(read.float(), truth)

    kept: dict[int, Tensor] = {}  # what frozen convolutions see does not change: it is computed once
    if frozen and len(mixture) == 1:
        for faces in (train, valid):
            kept[id(faces)] = _in_chunks(lambda pixels: features(pixels, torch.zeros(len(pixels))), faces.pixels)

    def train_loss(batch: Tensor) -> Tensor:
        if id(train) in kept:
            return loss(kept[id(train)][batch], train.affect[batch])
        if settings.each_face_at == "every scale":
            drawn, batch = batch // len(train), batch % len(train)
        else:
            drawn = draw_scales(len(batch), mixture, generator)
        return loss(features(train.pixels[batch], drawn), train.affect[batch])

    def valid_loss() -> float:
        total = torch.zeros((), device=device)
        for start in range(0, len(valid), CHUNK):
            part = slice(start, start + CHUNK)
            drawn = torch.arange(start, start + len(valid.pixels[part])) % len(mixture)
            seen = kept[id(valid)][part] if id(valid) in kept else features(valid.pixels[part], drawn)
            total += loss(seen, valid.affect[part]) * len(seen)
        return float(total) / len(valid)

    network.convolutions.requires_grad_(not frozen)
    groups = [([*network.hidden.parameters(), *network.readout.parameters()], 1.0)]
    if not frozen:
        share = 1.0 if convolutions is None else settings.transferred_rate
        groups.append((list(network.convolutions.parameters()), share))
    meetings = len(mixture) if settings.each_face_at == "every scale" else 1  # with each face in an epoch
    cost = fit(network, make_optimizer(settings, groups), settings, folder, faces=meetings * len(train),
               train_loss=train_loss, valid_loss=valid_loss, generator=generator, deadline=deadline)  # fmt: skip
    return network, cost


def some_faces(faces: DeviceFaces, mixture: tuple[int, ...]) -> Tensor:
    """A few of the `faces`, evenly chosen, as a network for the `mixture` reads them: (n, 1, 96, 96)."""
    pixels = faces.pixels[:: -(-len(faces) // SOME)]
    return normalise(mixed(pixels, mixture, torch.arange(len(pixels)) % len(mixture)))[0]


def _in_chunks(function: Callable[[Tensor], Tensor], pixels: Tensor) -> Tensor:
    with torch.no_grad():
        return torch.cat([function(part) for part in pixels.split(CHUNK)])


def restored(network: RestoringNetwork, experiment: Experiment, pixels: Tensor, scale: int) -> Tensor:
    """Native faces uint8 (n, d, d), restored after a trip at `scale`: uint8 (n, 96, 96)."""

    def restore(part: Tensor) -> Tensor:
        with autocast(experiment, part.device):
            return network.restore(interpolated(part, scale)).float().round().to(torch.uint8)

    return _in_chunks(restore, pixels)


def affect_of(network: CnnD, experiment: Experiment, pixels: Tensor, scale: int) -> Tensor:
    """Valence and arousal, float32 (n, 2), that the network reads from native faces after a trip at `scale`."""

    def read(part: Tensor) -> Tensor:
        faces, _, _ = normalise(interpolated(part, scale))
        with autocast(experiment, part.device):
            return network(faces.to(memory_format=torch.channels_last)).float()

    network.eval()
    return _in_chunks(read, pixels)
