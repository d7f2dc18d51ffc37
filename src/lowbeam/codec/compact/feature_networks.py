"""The networks of the features codec that run beside the coder: a face to latents, latents to estimates and pictures.

No decoding of numbers depends on them: the encoder's latents are quantized before they are told, and pictures and
estimates are made of numbers that are decoded.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray

from lowbeam.face import Grey, Latents
from lowbeam.onnx_session import WEIGHTS, OnnxSession
from lowbeam.scale import resample_matrix

FOLDER = WEIGHTS / "features"
TABLES = FOLDER / "tables.json"
GRID = 48  # pixels: the side on which the networks work
SHOWN_AT_ONCE = 64  # pictures in a run of the animator
CONTRAST_FLOOR = 8.0  # grey levels, as in `lowbeam.models.normalised`


@cache
def encoder() -> OnnxSession:
    """Faces to latents."""
    return OnnxSession(FOLDER / "encoder.onnx", None)


@cache
def readout() -> OnnxSession:
    """Latents to estimates."""
    return OnnxSession(FOLDER / "readout.onnx", None)


@cache
def animator() -> OnnxSession:
    """A key face to the face with other latents."""
    return OnnxSession(FOLDER / "animator.onnx", None)


def latents_of(faces: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Latents, float32 (n, k), of grey faces, uint8 (n, d, d) with d from 6 to 96."""
    given = {"faces": faces, "resample": resample_matrix(faces.shape[1], GRID)}
    found: NDArray[np.float32] = encoder().run(["latents"], given)[0]
    return found


def estimates_differ(wanted: NDArray[np.float32], received: NDArray[np.float32]) -> float:
    """Squared difference between the estimates from two sequences of latents (n, k), in squared deviations."""
    given = {"latents": np.concatenate([wanted, received]), "level": np.zeros(2 * len(wanted), np.float32)}
    affect, std = readout().run(["affect", "std"], given)
    away = (affect[: len(wanted)] - affect[len(wanted) :]) / std[: len(wanted)]
    return float(np.square(away).sum())


@dataclass(frozen=True, eq=False)
class KeyFace:
    """A key face: its pixels, uint8 (48, 48), and its latents."""

    pixels: Grey
    latents: Latents

    def shown(self, latents: Sequence[Latents]) -> list[Grey]:
        """The face with other `latents`, each uint8 (48, 48)."""
        if len(latents) > SHOWN_AT_ONCE:
            return [*self.shown(latents[:SHOWN_AT_ONCE]), *self.shown(latents[SHOWN_AT_ONCE:])]
        grey = self.pixels.astype(np.float32)
        mean, contrast = grey.mean(), grey.std() + CONTRAST_FLOOR
        count = len(latents)
        given = {
            "key": np.repeat(((grey - mean) / contrast)[None, None], count, 0),
            "key_latents": np.repeat(self.latents.values[None], count, 0),
            "latents": np.stack([one.values for one in latents]),
        }
        found = animator().run(["shown"], given)[0][:, 0]
        return [*np.rint(found * contrast + mean).clip(0, 255).astype(np.uint8)]
