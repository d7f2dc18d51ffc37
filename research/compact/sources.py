"""What may cross the link, as vectors of numbers: pixels, estimates, features, latents."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from lowbeam.codec.compact.prior import load_tables
from lowbeam.errors import UsageError
from lowbeam.onnx_session import OnnxSession
from lowbeam.recognize import Recognizer, model_path
from lowbeam.scale import Faces, resample, shrink, side_of
from research.compact.cut_model import POOLED, features_of, grid_of, part_of

LATENTS = "latents"  # the output of an encoder
LEVELS = (0, 5, 10, 15)  # of the features codec
PIXEL_SCALES = {"96px": 1, "24px": 4, "12px": 8}
LARGEST_VECTOR = 32  # pixels: the side to which larger faces are resampled for attackers that take vectors
KINDS = ("96px", "24px", "12px", "estimates", "features", "latents")
Vectors = NDArray[np.float32]


@dataclass(frozen=True)
class Source:
    """What is sent of a face. `vectors_of` gives the numbers, float32 (n, k), of faces, uint8 (n, 96, 96); `scale` is
    that of the pixels that are sent, None if no pixels are."""

    name: str
    vectors_of: Callable[[Faces], Vectors]
    scale: int | None = None


def pixels(scale: int) -> Source:
    """The face itself at `scale`. As a vector it has mean 0 and deviation 1, and at most 32 × 32 numbers."""

    def vectors_of(faces: Faces) -> Vectors:
        small = resample(shrink(faces, scale), min(side_of(scale), LARGEST_VECTOR))
        flat = small.reshape(len(small), -1).astype(np.float32)
        scaled: Vectors = (flat - flat.mean(1, keepdims=True)) / (flat.std(1, keepdims=True) + 1e-3)
        return scaled

    return Source(f"pixels, {side_of(scale)} px", vectors_of, scale)


def estimates(model: str) -> Source:
    """Valence, arousal and their deviations by `model`."""
    recognizer = Recognizer(model)

    def vectors_of(faces: Faces) -> Vectors:
        found = recognizer(faces)
        return np.stack([found.valence, found.arousal, found.valence_std, found.arousal_std], 1)

    return Source("estimates", vectors_of)


def pooled_features(model: str) -> Source:
    """The features of `model` before its last layer, unquantised."""
    session, grid = part_of(model, ["faces", "resample"], [POOLED]), grid_of(model_path(model))
    return Source("pooled features", lambda faces: features_of(session, POOLED, faces, grid))


def latents(encoder: Path, gains: Path) -> list[Source]:
    """The quantised latents of `encoder`, an ONNX model with inputs ``faces`` and ``resample`` and output ``latents``
    (n, k): at each quality level of `gains`, latents × gains, rounded. `gains` are the codec's ``tables.json``, of
    which `LEVELS` are taken, or an npy file (levels, k) or (k,). Raises `ModelError`, or `UsageError` if the files do
    not fit together."""
    session, grid = OnnxSession(encoder, None), grid_of(encoder)
    try:
        if gains.suffix == ".json":
            of_codec = load_tables(gains).gains
            levels = {level: of_codec[level] for level in LEVELS}
        else:
            levels = dict(enumerate(np.atleast_2d(np.load(gains, allow_pickle=False)).astype(np.float32)))
    except (OSError, ValueError, EOFError) as error:
        raise UsageError(f"{gains} holds no gains: {error}") from error

    def at(gain: Vectors) -> Callable[[Faces], Vectors]:
        def vectors_of(faces: Faces) -> Vectors:
            found = features_of(session, LATENTS, faces, grid)
            if found.shape[1:] != gain.shape:
                raise UsageError(f"{gains} is for {gain.size} latents; {encoder} has {found.shape[1:]}")
            rounded: Vectors = np.rint(found * gain)
            return rounded

        return vectors_of

    return [Source(f"latents, level {level}", at(gain)) for level, gain in levels.items()]


def choose_sources(kinds: str, model: str, encoder: Path | None, gains: Path | None) -> list[Source]:
    """The sources of comma-separated `kinds`, of `KINDS`, or ``all`` of them; latents only with an `encoder` and its
    `gains`. Raises `UsageError` or `ModelError`."""
    chosen = KINDS if kinds == "all" else kinds.split(",")
    if unknown := set(chosen) - set(KINDS):
        raise UsageError(f"{min(unknown)} is not one of {', '.join(KINDS)}")
    if (encoder is None) != (gains is None) or (kinds != "all" and "latents" in chosen and encoder is None):
        raise UsageError("latents need both --latents and --gains")
    found = [pixels(scale) for kind, scale in PIXEL_SCALES.items() if kind in chosen]
    found += [estimates(model)] if "estimates" in chosen else []
    found += [pooled_features(model)] if "features" in chosen else []
    if "latents" in chosen and encoder is not None and gains is not None:
        found += latents(encoder, gains)
    return found
