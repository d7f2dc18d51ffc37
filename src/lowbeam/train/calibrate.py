"""Make the standard deviations honest: fit, on valid, how far they must be stretched at each scale."""

from collections.abc import Iterable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from lowbeam.corpora.ferplus import Stills
from lowbeam.corpora.labelled import Affect
from lowbeam.models.export import Factors, set_calibration
from lowbeam.recognize import Recognizer
from lowbeam.scale import SCALES, Faces, shrink, side_of

TARGETS = ((0.6827, 1.0), (0.9545, 2.0))  # shares of a normal distribution within one and two deviations


def calibrate(path: str | Path, valid: Stills) -> Factors:
    """Fit and store the factors of the ONNX file at `path`.

    At each scale a factor makes the share of truths within one and within two deviations as near as one factor can to
    68.27 % and 95.45 %. Returns ``{side: (valence factor, arousal factor)}``.
    """
    set_calibration(path, {side_of(scale): (1.0, 1.0) for scale in SCALES})
    recognizer = Recognizer(path)
    hr = valid.faces()
    factors = {}
    for scale in SCALES:
        reading = recognizer(shrink(hr, scale))
        pairs = ((reading.valence, reading.valence_std), (reading.arousal, reading.arousal_std))
        found = [_factor(np.abs(p - valid.affect[:, i]) / std) for i, (p, std) in enumerate(pairs)]
        factors[side_of(scale)] = (found[0], found[1])
    set_calibration(path, factors)
    return factors


def calibrate_tracks(path: str | Path, tracks: Iterable[tuple[NDArray, Faces, Affect]]) -> Factors:
    """Fit and store the factors on what the model at `path` reads with its memory: over `tracks`, each times (n,),
    LR faces uint8 (n, d, d) and their affect (n, 2), together for each side. Returns ``{side: (valence, arousal)}``.
    """
    set_calibration(path, {}, {side_of(scale): (1.0, 1.0) for scale in SCALES})
    recognizer = Recognizer(path)
    errors: dict[int, list[NDArray]] = {}
    for time_s, pixels, affect in tracks:
        reading, _ = recognizer.follow(pixels, time_s)
        wrong = np.abs(np.stack([reading.valence, reading.arousal], 1) - affect)
        std = np.stack([reading.valence_std, reading.arousal_std], 1)
        errors.setdefault(pixels.shape[1], []).append(wrong / std)
    factors = {}
    for side, parts in errors.items():
        together = np.concatenate(parts)
        factors[side] = (_factor(together[:, 0]), _factor(together[:, 1]))
    set_calibration(path, {}, factors)
    return factors


def _factor(errors_in_std: np.ndarray) -> float:
    """The factor that serves both targets best, on a grid of 1 % steps."""
    grid = np.geomspace(0.3, 5.0, 284)

    def miss(factor: float) -> float:
        return sum(abs(float(np.mean(errors_in_std <= k * factor)) - share) for share, k in TARGETS)

    return float(min(grid, key=miss))
