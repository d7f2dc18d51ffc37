"""The networks of a system, initialized and applied to faces, and the faces that they are given."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from lowbeam.models.memory_format import channels_last
from lowbeam.models.normalised import RestorationNetwork, normalise
from lowbeam.models.paper import CnnD, Convolutions, SrFcn
from lowbeam.models.restoration_unet import RestorationUNet
from lowbeam.scale import FACE_SIDE, side_of
from lowbeam.train.degrade import native_to_hr, resample
from lowbeam.train.paper.recipe import Experiment, RestorationKind

CHUNK = 64  # faces in a forward pass outside training: as many as the caches of two cores hold
SOME = 512  # faces on which the standard deviations of features are measured
GAUSSIAN_STD = 0.001  # of SR-FCN's published initial weights


@dataclass(frozen=True)
class DeviceFaces:
    """Labelled faces on the device: `pixels` uint8 (n, d, d), native; `affect` float32 (n, 2)."""

    pixels: Tensor
    affect: Tensor

    def __len__(self) -> int:
        return len(self.pixels)


def interpolated(pixels: Tensor, scale: int) -> Tensor:
    """Native faces uint8 (n, d, d), downsampled from HR by `scale` and interpolated to 96 pixels: grey levels
    (n, 96, 96), both steps bicubic."""
    return resample(resample(native_to_hr(pixels), side_of(scale)), FACE_SIDE)


def mixed(pixels: Tensor, mixture: tuple[int, ...], drawn: Tensor) -> Tensor:
    """`interpolated`, each face at the scale whose index in the `mixture` is in `drawn` (n,)."""
    if len(mixture) == 1:
        return interpolated(pixels, mixture[0])
    out = torch.empty((len(pixels), FACE_SIDE, FACE_SIDE), device=pixels.device)
    for index, scale in enumerate(mixture):
        chosen = (drawn == index).nonzero().squeeze(1).to(pixels.device)
        if len(chosen):
            out[chosen] = interpolated(pixels[chosen], scale)
    return out


def draw_scales(count: int, mixture: tuple[int, ...], generator: torch.Generator) -> Tensor:
    """Indices into the `mixture` (count,), drawn uniformly: the scale of each face (max-mix)."""
    return torch.randint(len(mixture), (count,), generator=generator)


def autocast(experiment: Experiment, device: torch.device) -> torch.autocast:
    """The experiment's precision: convolutions in bfloat16, or all in float32."""
    return torch.autocast(device.type, torch.bfloat16, enabled=experiment.precision == "bfloat16")


def make_sr_fcn(experiment: Experiment) -> SrFcn:
    """SR-FCN with initial weights."""
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
        network.paint.weight.data /= 10  # the first output is close to the interpolated face
    return channels_last(network)


def make_restoration_network(experiment: Experiment, kind: RestorationKind = "sr-fcn") -> RestorationNetwork:
    """A restoration network with initial weights."""
    return make_sr_fcn(experiment) if kind == "sr-fcn" else channels_last(RestorationUNet())


def make_cnn_d(experiment: Experiment, convolutions: Convolutions | None = None) -> CnnD:
    """CNN+D with Xavier's weights, or with transferred `convolutions`."""
    network = CnnD(experiment.channels, experiment.pooling, experiment.recognize.dropout)
    for module in network.modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            nn.init.xavier_normal_(module.weight)
            nn.init.zeros_(module.bias)  # type: ignore[arg-type]
    if convolutions is not None:
        network.convolutions.load_state_dict(convolutions.state_dict())
    return channels_last(network)


def some_faces(faces: DeviceFaces, mixture: tuple[int, ...]) -> Tensor:
    """Some of the `faces`, evenly chosen, as input of a network for the `mixture`: (n, 1, 96, 96)."""
    pixels = faces.pixels[:: -(-len(faces) // SOME)]
    return normalise(mixed(pixels, mixture, torch.arange(len(pixels)) % len(mixture)))[0]


def in_chunks(function: Callable[[Tensor], Tensor], pixels: Tensor) -> Tensor:
    """`function` of `pixels` (n, …), computed without gradients on `CHUNK` faces at a time."""
    with torch.no_grad():
        return torch.cat([function(part) for part in pixels.split(CHUNK)])


def restored(network: RestorationNetwork, experiment: Experiment, pixels: Tensor, scale: int) -> Tensor:
    """Native faces uint8 (n, d, d), downsampled by `scale` and restored: uint8 (n, 96, 96)."""

    def restore(part: Tensor) -> Tensor:
        with autocast(experiment, part.device):
            return network.restore(interpolated(part, scale)).float().round().to(torch.uint8)

    return in_chunks(restore, pixels)


def affect_of(network: CnnD, experiment: Experiment, pixels: Tensor, scale: int) -> Tensor:
    """Valence and arousal, float32 (n, 2), of native faces uint8 (n, d, d) downsampled by `scale`."""

    def read(part: Tensor) -> Tensor:
        faces, _, _ = normalise(interpolated(part, scale))
        with autocast(experiment, part.device):
            return network(faces.to(memory_format=torch.channels_last)).float()

    network.eval()
    return in_chunks(read, pixels)
