"""Export of the features codec's networks: ONNX files, and the tables of the prior in whole numbers."""

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
from torch import Tensor, nn

from lowbeam.codec.compact.head import TICKS_MS
from lowbeam.codec.compact.prior import (
    CORRELATION_BITS,
    POSITION_BITS,
    SCALE_BITS,
    LatentTables,
    as_json,
    logistic_table,
)  # fmt: skip
from lowbeam.latent_reader import FORMAT
from lowbeam.models.eight_bits import Feeds, in_eight_bits
from lowbeam.models.export import deployed_head, halve_weights, set_about, traced, traced_faces
from lowbeam.models.feature_codec import LATENTS, LEVELS, FaceAnimator, FeatureCodec, FeatureEncoder, LatentPrior
from lowbeam.models.memory_branch import with_memory
from lowbeam.models.one_for_all import GRID, to_grid
from lowbeam.models.temporal import TemporalHead

Fits = list[list[list[float]]]  # (levels, 2, 2): factor and power of valence and of arousal
LEAST_SCALE = 0.12  # steps: a narrower distribution is told as this one


class _DeployedEncoder(nn.Module):
    def __init__(self, encoder: FeatureEncoder) -> None:
        super().__init__()
        self.encoder = encoder

    def forward(self, faces: Tensor, resample: Tensor) -> Tensor:
        return self.encoder(to_grid(faces, resample))


class _DeployedReadout(nn.Module):
    def __init__(self, codec: FeatureCodec) -> None:
        super().__init__()
        self.readout = codec.readout

    def forward(self, latents: Tensor, level: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        features, affect, log_variance, _ = self.readout(latents, level)
        return affect.clamp(-1, 1), torch.exp(0.5 * log_variance), features, torch.cat([affect, log_variance], 1)


def export_encoder(codec: FeatureCodec, path: Path, seen: Feeds) -> None:
    """Write the encoder to `path`, with its convolutions in eight bits and other weights in sixteen: inputs ``faces``
    uint8 (n, d, d) and ``resample`` float32 (48, d); output ``latents`` float32 (n, k)."""
    model = in_eight_bits(traced_faces(_DeployedEncoder(codec.encoder.cpu()), GRID, ["latents"]), seen)
    halve_weights(model)
    onnx.save(model, str(path))


def export_readout(codec: FeatureCodec, head: TemporalHead, path: Path, alone: Fits, followed: Fits) -> None:
    """Write the readout with its memory to `path`: inputs ``latents`` float32 (n, k) and ``level`` float32 (n,); the
    rest is as in `lowbeam.models.export.export_video_onnx`. The calibration `alone` is of each face by itself."""
    example = (torch.zeros(2, LATENTS), torch.zeros(2))
    count = torch.export.Dim("n")
    shapes = {"latents": {0: count}, "level": {0: count}}
    model = traced(_DeployedReadout(codec.cpu()), example, shapes, ["affect", "std", "features", "single"])
    onnx.save(with_memory(model, deployed_head(head, codec.readout.readout.in_features), ["affect", "std"]), str(path))
    about: dict[str, Any] = {"format": FORMAT, "calibration": alone, "memory_calibration": followed}
    set_about(path, "lowbeam-features", about)


def export_animator(animator: FaceAnimator, path: Path) -> None:
    """Write the animator to `path`: inputs ``key`` float32 (n, 1, 48, 48), ``key_latents`` and ``latents`` float32
    (n, k); output ``shown`` float32 (n, 1, 48, 48)."""
    example = (torch.zeros(2, 1, GRID, GRID), torch.zeros(2, LATENTS), torch.zeros(2, LATENTS))
    count = torch.export.Dim("n")
    shapes = {"key": {0: count}, "key_latents": {0: count}, "latents": {0: count}}
    model = traced(animator.cpu(), example, shapes, ["shown"])
    halve_weights(model)
    onnx.save(model, str(path))


@torch.no_grad()
def tables_of(codec: FeatureCodec) -> LatentTables:
    """The tables of the prior; their name is a digest of them and of the readout's weights."""
    prior = codec.prior.cpu().double()
    levels = torch.arange(LEVELS)
    gains = prior.gains(levels).double()
    centres = gains * prior.mean
    correlations = prior.correlation(torch.tensor(TICKS_MS) / 1000)  # (ticks, k)
    rho = torch.cat([correlations, torch.zeros(1, LATENTS, dtype=torch.float64)])
    scales = _scales(prior, gains, rho)
    found = LatentTables(
        "", gains.numpy().astype(np.float32), _whole(centres, POSITION_BITS), _whole(correlations, CORRELATION_BITS),
        _whole(1 / scales, SCALE_BITS), logistic_table(),
    )  # fmt: skip
    digest = hashlib.sha256(as_json(found).encode())
    for value in codec.readout.state_dict().values():
        digest.update(value.cpu().contiguous().numpy().tobytes())
    return LatentTables(f"features-{digest.hexdigest()[:8]}", *list(vars(found).values())[1:])


def _scales(prior: LatentPrior, gains: Tensor, rho: Tensor) -> Tensor:
    """Scales of the distributions (levels, ticks + 1, k), as `LatentPrior.bits` has them."""
    spread = (gains[:, None] * prior.log_spread.exp()).square() * (1 - rho.square()) + (1 + rho.square()) / 12
    return (spread.sqrt() * (3**0.5 / torch.pi)).clamp_min(LEAST_SCALE)


def _whole(values: Tensor, bits: int) -> Any:
    return np.rint(values.numpy() * (1 << bits)).astype(np.int64)


def export_tables(tables: LatentTables, path: Path) -> None:
    """Write the tables to `path`."""
    path.write_text(json.dumps(json.loads(as_json(tables))) + "\n", encoding="utf-8")
