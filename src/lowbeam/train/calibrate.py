"""Make the standard deviations honest: fit on valid, for each size of face, a power of them and a factor on that."""

from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from lowbeam.corpora.ferplus import Stills
from lowbeam.corpora.labelled import Affect
from lowbeam.models.export import AS_IT_IS, Fit, Fits, set_calibration
from lowbeam.recognize import Estimates, Recognizer
from lowbeam.scale import SCALES, Faces, shrink, side_of

TARGETS = ((0.6827, 1.0), (0.9545, 2.0))  # shares of a normal distribution within one and two deviations
FACTORS = np.geomspace(0.2, 5.0, 324)  # steps of 1 %
POWERS = tuple(tenths / 10 for tenths in range(6, 21))
Errors = tuple[NDArray[np.floating], NDArray[np.floating]]  # of valence and arousal, and their deviations: (n, 2) each


def calibrate(path: str | Path, valid: Stills, delivered: Iterable[dict[int, Faces]] = ()) -> Fits:
    """Fit and store the calibration of the ONNX file at `path`, on the faces of `valid` at each scale and, beside
    them, on the same faces as links deliver them: `delivered` maps each scale to uint8 (n, 96/s, 96/s).

    Returns ``{side: (of valence, of arousal)}``, see `fit`.
    """
    set_calibration(path, {side_of(scale): AS_IT_IS for scale in SCALES})
    recognizer, hr, rounds, found = Recognizer(path), valid.faces(), list(delivered), {}
    for scale in SCALES:
        given = [shrink(hr, scale), *(pixels[scale] for pixels in rounds)]
        groups = [_errors(recognizer(faces), valid.affect) for faces in given]
        found[side_of(scale)] = _fit_both(groups)
    set_calibration(path, found)
    return found


def calibrate_tracks(path: str | Path, tracks: Iterable[tuple[str, NDArray, Faces, Affect]]) -> Fits:
    """Fit and store the calibration of what the model at `path` reads with its memory, over `tracks`: each the group
    that it is of, such as its codec, times (n,), LR faces uint8 (n, d, d) and their affect (n, 2). Returns ``{side:
    (of valence, of arousal)}``, see `fit`; factors alone, since recordings are of few people.
    """
    set_calibration(path, {}, {side_of(scale): AS_IT_IS for scale in SCALES})
    recognizer = Recognizer(path)
    groups: dict[int, dict[str, list[Errors]]] = {}
    for group, time_s, pixels, affect in tracks:
        errors = _errors(recognizer.follow(pixels, time_s)[0], affect)
        groups.setdefault(pixels.shape[1], {}).setdefault(group, []).append(errors)
    found = {
        side: _fit_both([(np.concatenate([p[0] for p in parts]), np.concatenate([p[1] for p in parts]))
                         for parts in of_side.values()], powers=(1.0,))
        for side, of_side in groups.items()
    }  # fmt: skip
    set_calibration(path, {}, found)
    return found


def _errors(reading: Estimates, affect: Affect) -> Errors:
    read, std = (reading.valence, reading.arousal), (reading.valence_std, reading.arousal_std)
    return np.abs(np.stack(read, 1) - affect), np.stack(std, 1)


def _fit_both(groups: list[Errors], powers: Sequence[float] = POWERS) -> tuple[Fit, Fit]:
    valence, arousal = (fit([(errors[:, i], std[:, i]) for errors, std in groups], powers) for i in (0, 1))
    return valence, arousal


def fit(groups: list[tuple[NDArray, NDArray]], powers: Sequence[float] = POWERS) -> Fit:
    """The power of the deviations, one of `powers`, and the factor on that, with which the shares of truths within one
    and within two are, in the group that fares worst, as near as can be to 68.27 % and 95.45 %. `groups` are errors
    (n,) with their deviations (n,): of faces as they are, say, and of coded ones. Errors have longer tails than a
    normal distribution, so that as a rule the first share comes out above its target and the second below."""
    middle = float(np.exp(np.mean([np.log(std).mean() for _, std in groups])))

    def miss(power: float) -> tuple[float, float]:
        """Of the best factor, and that factor."""
        misses = np.zeros(len(FACTORS))
        for errors, std in groups:
            ordered = np.sort(errors / (std * (std / middle) ** (power - 1)))
            for share, deviations in TARGETS:
                within = np.searchsorted(ordered, deviations * FACTORS, side="right") / len(ordered)
                misses = np.maximum(misses, np.abs(within - share))
        best = int(misses.argmin())
        return float(misses[best]), float(FACTORS[best])

    power = min(powers, key=lambda power: (round(miss(power)[0], 3), abs(power - 1)))
    return Fit(miss(power)[1] * middle ** (1 - power), power)
