"""Calibration of the standard deviations: for each side of a face a power and a factor, fitted on the valid split."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from lowbeam.corpora.labelled import Affect
from lowbeam.models.export import AS_IT_IS, Fit, Fits, set_calibration, set_temperatures
from lowbeam.recognize import Estimates, Recognizer
from lowbeam.scale import SCALES, Faces, side_of

TARGETS = ((0.6827, 1.0), (0.9545, 2.0))  # shares of a normal distribution within one and two standard deviations
FACTORS = np.geomspace(0.2, 5.0, 324)  # steps of 1 %
TEMPERATURES = np.geomspace(0.25, 4.0, 140)  # steps of 2 %
POWERS = tuple(tenths / 10 for tenths in range(6, 21))
FACTOR_ONLY = (1.0,)  # as powers: for recordings, which are of few people
Errors = tuple[NDArray[np.floating], NDArray[np.floating]]  # of valence and arousal, and their deviations: (n, 2) each


class Sample(NamedTuple):
    """LR faces uint8 (n, d, d) with their affect (n, 2), of a group such as ``uncoded`` or a codec: the calibration is
    fitted to the group with the largest miss. `time_s` (n,) where they are a track; `emotion` (n, 8), the distribution
    of votes, where there are any."""

    group: str
    pixels: Faces
    affect: Affect
    time_s: NDArray[np.float64] | None = None
    emotion: NDArray[np.float32] | None = None


def calibrate(path: str | Path, samples: Iterable[Sample], powers: Sequence[float] = POWERS) -> Fits:
    """Fit and store the calibration of the ONNX file at `path` for faces by themselves. Returns ``{side: (of valence,
    of arousal)}``, see `fit`."""
    set_calibration(path, {side_of(scale): AS_IT_IS for scale in SCALES})
    recognizer = Recognizer(path)
    found = _fit_sides([(s.group, s.pixels.shape[1], _errors(recognizer(s.pixels), s.affect)) for s in samples], powers)
    set_calibration(path, found)
    return found


def calibrate_tracks(path: str | Path, tracks: Iterable[Sample]) -> Fits:
    """Fit and store the calibration of the model at `path` with its temporal head. Returns ``{side: (of valence, of
    arousal)}``, see `fit`; factors only."""
    set_calibration(path, {}, {side_of(scale): AS_IT_IS for scale in SCALES})
    recognizer, errors = Recognizer(path), []
    for track in tracks:
        assert track.time_s is not None
        estimates, _ = recognizer.follow(track.pixels, track.time_s)
        errors.append((track.group, track.pixels.shape[1], _errors(estimates, track.affect)))
    found = _fit_sides(errors, FACTOR_ONLY)
    set_calibration(path, {}, found)
    return found


def calibrate_expressions(path: str | Path, samples: Iterable[Sample]) -> dict[int, float]:
    """Fit and store the temperatures of the expressions of the ONNX file at `path`, for which the cross entropy with
    the votes of `samples` is least. Returns ``{side: temperature}``."""
    set_temperatures(path, {side_of(scale): 1.0 for scale in SCALES})
    recognizer = Recognizer(path, expressions=True)
    told: dict[int, list[tuple[NDArray[np.floating], NDArray[np.floating]]]] = {}
    for sample in samples:
        assert sample.emotion is not None
        found = recognizer(sample.pixels).expressions
        assert found is not None
        told.setdefault(sample.pixels.shape[1], []).append((np.log(found.clip(1e-12)), sample.emotion))
    fits = {
        side: temperature(np.concatenate([p[0] for p in parts]), np.concatenate([p[1] for p in parts]))
        for side, parts in told.items()
    }
    set_temperatures(path, fits)
    return fits


def temperature(logits: NDArray[np.floating], votes: NDArray[np.floating]) -> float:
    """By which `logits` (n, k) are divided, one of `TEMPERATURES`, so that the cross entropy with `votes` (n, k), each
    a distribution, is least."""

    def entropy(divisor: float) -> float:
        scaled = logits / divisor
        highest = scaled.max(1, keepdims=True)
        normal = np.log(np.exp(scaled - highest).sum(1)) + highest[:, 0]
        return float((normal - (votes * scaled).sum(1)).mean())

    return float(min(TEMPERATURES, key=entropy))


def _fit_sides(errors: list[tuple[str, int, Errors]], powers: Sequence[float]) -> Fits:
    groups: dict[int, dict[str, list[Errors]]] = {}
    for group, side, found in errors:
        groups.setdefault(side, {}).setdefault(group, []).append(found)
    return {
        side: _fit_both([(np.concatenate([p[0] for p in parts]), np.concatenate([p[1] for p in parts]))
                         for parts in of_side.values()], powers)
        for side, of_side in groups.items()
    }  # fmt: skip


def _errors(found: Estimates, affect: Affect) -> Errors:
    values, std = (found.valence, found.arousal), (found.valence_std, found.arousal_std)
    return np.abs(np.stack(values, 1) - affect), np.stack(std, 1)


def _fit_both(groups: list[Errors], powers: Sequence[float]) -> tuple[Fit, Fit]:
    valence, arousal = (fit([(errors[:, i], std[:, i]) for errors, std in groups], powers) for i in (0, 1))
    return valence, arousal


def fit(groups: list[tuple[NDArray, NDArray]], powers: Sequence[float] = POWERS) -> Fit:
    """The power of the deviations, one of `powers`, and the factor on that, for which the shares of truths within one
    and two deviations are as close as possible to 68.27 % and 95.45 % in the group with the largest miss.

    `groups` are errors (n,) with their deviations (n,). Errors have longer tails than a normal distribution, so that
    the first share usually comes out above its target and the second below.
    """
    middle = float(np.exp(np.mean([np.log(std).mean() for _, std in groups])))

    def miss(power: float) -> tuple[float, float]:
        """The largest miss with the best factor, and that factor."""
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
