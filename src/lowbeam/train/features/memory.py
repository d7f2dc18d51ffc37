"""The memory of the features codec: a temporal head, trained on the readout of quantized latents."""

from collections.abc import Iterable, Sequence
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from lowbeam.codec.operating_point import FrameRateLimiter
from lowbeam.corpora.ferplus import Stills
from lowbeam.corpora.labelled import Track
from lowbeam.models.feature_codec import LEVELS, FeatureCodec
from lowbeam.models.one_for_all import OneForAll
from lowbeam.models.temporal import TemporalHead
from lowbeam.scale import Faces
from lowbeam.train.degrade import native_to_hr, received
from lowbeam.train.temporal import TrackFeatures, affect_of, face_features

PART = 256  # faces in a forward pass
TEACHER_SHARE = 0.5  # of the target: what the teacher with its memory estimates; the rest is the truth


@torch.no_grad()
def latents_of_faces(codec: FeatureCodec, pixels: Faces, scale: int = 1) -> Tensor:
    """Latents (n, k) of faces uint8 (n, d, d), received at `scale`."""
    found = []
    for start in range(0, len(pixels), PART):
        part = torch.from_numpy(np.array(pixels[start : start + PART]))
        with torch.autocast("cpu", torch.bfloat16):
            found.append(codec.encoder(received(native_to_hr(part), scale)).float())
    return torch.cat(found)


@torch.no_grad()
def quantized(codec: FeatureCodec, latents: Tensor, level: Tensor) -> Tensor:
    """`latents` (n, k) as the far side gets them at `level` (n,)."""
    gains = codec.prior.gains(level)
    return (latents * gains).round() / gains


@torch.no_grad()
def read_out(codec: FeatureCodec, latents: Tensor, level: Tensor) -> tuple[Tensor, Tensor]:
    """Features float16 (n, f) and outputs (n, 4), affect and log variances, of latents at `level`."""
    features, affect, log_variance, _ = codec.readout(quantized(codec, latents, level), level)
    return features.half(), torch.cat([affect, log_variance], 1)


def tracks_read(
    codec: FeatureCodec, tracks: Iterable[tuple[Track, Tensor]], frame_rates: Sequence[float], rng: np.random.Generator
) -> list[TrackFeatures]:
    """Each track, given with its latents, at each frame rate that it has, at a level drawn at random."""
    found = []
    for track, latents in tracks:
        own_fps = 1 / float(np.median(np.diff(track.time_s)))
        for fps in [fps for fps in frame_rates if fps < 1.2 * own_fps]:
            limiter = FrameRateLimiter(fps)
            rows = np.array([row for row, time_s in enumerate(track.time_s) if limiter.takes(float(time_s))])
            level = torch.full((len(rows),), int(rng.integers(LEVELS)))
            features, single = read_out(codec, latents[rows], level)
            found.append(
                TrackFeatures(track.time_s[rows], features, single, track.affect[rows].astype(np.float32), fps)
            )
    return found


def stills_read(codec: FeatureCodec, stills: Stills, rng: np.random.Generator) -> TrackFeatures:
    """Stills at levels drawn at random."""
    latents = latents_of_faces(codec, stills.pixels)
    level = torch.from_numpy(rng.integers(LEVELS, size=len(latents)))
    features, single = read_out(codec, latents, level)
    return TrackFeatures(np.arange(len(latents), dtype=float), features, single, stills.affect, 1.0)


@torch.no_grad()
def with_teacher(tracks: Sequence[Track], teacher: OneForAll, head: TemporalHead | None) -> list[Track]:
    """`tracks` with targets that are mixed with what the teacher estimates with its memory at full detail."""
    found = []
    for track in tracks:
        features, single = face_features(teacher, np.array(track.pixels))
        taught = affect_of(head, TrackFeatures(track.time_s, features, single, track.affect, 1.0))
        found.append(replace(track, affect=(1 - TEACHER_SHARE) * track.affect + TEACHER_SHARE * taught))
    return found
