"""The recognizer: faces in, estimates of valence and arousal out, by ONNX models under ONNX Runtime."""

import hashlib
import os
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from lowbeam.errors import ModelError, UsageError
from lowbeam.face import Expressions
from lowbeam.onnx_session import WEIGHTS, OnnxSession, check_output
from lowbeam.scale import FACE_SIDE, MIN_SIDE, Faces, checked_side, resample_matrix

DEFAULT_MODEL = "accurate"
MAX_BATCH = 64  # faces at a time: larger batches are no faster, and hold more memory
MODEL_FORMAT = 1
MEMORY_FORMAT = 3  # of a model with memory: its temporal head is a branch that runs on request, for several people
REMEMBER = np.array(True)
TRIALS = ((MIN_SIDE, 1), (17, 3), (FACE_SIDE, 2))  # sides and batch sizes that a user's model is tried with
MAX_AFFECT, MAX_STD = 1.5, 1e3  # limits of a valid output; the standard deviation lies in [0, MAX_STD]
MAX_LOGITS = -1e4, 1e4
NOTHING_BEFORE_S = np.float32(1e3)  # a gap so long that nothing of the past counts

Floats = NDArray[np.float32]


@dataclass(frozen=True)
class Estimates:
    """Estimates of n faces: valence and arousal, in [-1, 1], each with its calibrated standard deviation. All arrays
    are float32 (n,); `expressions` are None, or where they were asked for float32 (n, 8), calibrated probabilities in
    the order of `lowbeam.face.Expressions`, always of each face by itself."""

    valence: Floats
    arousal: Floats
    valence_std: Floats
    arousal_std: Floats
    expressions: Floats | None = None

    def __len__(self) -> int:
        return len(self.valence)


@dataclass(frozen=True)
class Memory:
    """What a recognizer remembers of one person: `state` after the face at `time_s` (seconds)."""

    state: Floats
    time_s: float


def model_path(model: str | os.PathLike[str]) -> Path:
    """The file of `model`, the name of a shipped model or a path. Raises `ModelError` if there is no such file."""
    path = WEIGHTS / f"{model}.onnx" if str(model) in shipped_models() else Path(model)
    if not os.path.isfile(path):  # noqa: PTH113  (unlike Path.is_file it never raises)
        raise ModelError(f"model {model} is neither a file nor a shipped model: {', '.join(shipped_models())}")
    return path


def shipped_models() -> list[str]:
    """Names of the shipped models, for `Recognizer` and `lowbeam.read`."""
    return sorted(path.stem for path in WEIGHTS.glob("*.onnx"))


def shipped_weights() -> dict[str, str]:
    """Of each shipped model, the first 12 hexadecimal digits of the SHA-256 of its file: results say by them what they
    were measured with."""
    return {name: hashlib.sha256(model_path(name).read_bytes()).hexdigest()[:12] for name in shipped_models()}


class Recognizer:
    """Estimates valence and arousal from faces with a side of 6 to 96 pixels: of each face by itself (call it), or of
    one person's faces in order (`follow`), where a model with memory (`remembers`) also uses the faces before. One that
    `tells_expressions` can also give their probabilities.

    `model` is the name of a shipped model or a path; `threads` is the number of cores to use; with `expressions`
    estimates have the probabilities of expressions. CUDA is used if ONNX Runtime provides it. Raises `ModelError` if
    the model is missing, not one of lowbeam's, or does not tell expressions where they are asked for; `UsageError` if
    `threads` is out of range.
    """

    def __init__(
        self, model: str | os.PathLike[str] = DEFAULT_MODEL, threads: int = 1, *, expressions: bool = False
    ) -> None:
        path = model_path(model)
        self._session = OnnxSession(path, "lowbeam", threads, ("CUDAExecutionProvider",))
        try:
            self._read_about(path, self._session.about)
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise ModelError(f"{path} has damaged metadata ({type(error).__name__}: {error})") from error
        if expressions and not self.tells_expressions:
            raise ModelError(f"{path} does not tell expressions: it was trained without stills that have them")
        self._logits = ["logits"] if expressions else []
        if path.parent != WEIGHTS:
            self._try_out()

    def _read_about(self, path: Path, about: dict[str, Any]) -> None:
        self._grid = int(about["grid"])
        self.remembers = "memory" in about
        expected = MEMORY_FORMAT if self.remembers else MODEL_FORMAT
        if about["format"] != expected:
            raise ModelError(f"{path} is of format {about['format']}; this version of lowbeam reads format {expected}")
        if not 1 <= self._grid <= FACE_SIDE:
            raise ValueError(f"a grid of {self._grid} is out of range")
        self._by_itself = _Calibration(about["calibration"])
        self._temperature = _Temperature(about["expressions"]) if "expressions" in about else None
        self.tells_expressions = self._temperature is not None
        if self.remembers:
            self._in_order = _Calibration(about["memory"]["calibration"])
            self._blank = np.zeros(self._session.initial_shapes["state"][1:], np.float32)

    def _try_out(self) -> None:
        """Run a user's model on noise of several sides and batch sizes. Raises `ModelError` unless it gives finite
        estimates of the right shape and range in time."""
        rng, path = np.random.default_rng(0), self._session.path
        for side, count in TRIALS:
            faces = rng.integers(0, 256, (count, side, side), np.uint8)
            runs = [(["affect", "std", *self._logits], self._inputs(faces, side))]
            if self.remembers:
                gaps = {"remember": REMEMBER, "gaps_s": np.full(count, 0.1, np.float32), "state": self._blank[None]}
                runs.append((["steady_affect", "steady_std", "next_state"], runs[0][1] | gaps))
            for outputs, inputs in runs:
                affect, std, *state = self._session.try_run(outputs, inputs)
                if "logits" in outputs:
                    shape = (count, len(Expressions._fields))
                    check_output(path, f"expressions of {count} faces of {side} px", state.pop(), shape, *MAX_LOGITS)
                check_output(path, f"affect of {count} faces of {side} px", affect, (count, 2), -MAX_AFFECT, MAX_AFFECT)
                check_output(path, f"deviation of {count} faces of {side} px", std, (count, 2), 0, MAX_STD)
                for found in state:
                    check_output(path, "memory", found, (1, *self._blank.shape), -np.inf, np.inf)

    def __call__(self, faces: Faces) -> Estimates:
        """Estimates of `faces`, grey uint8 (n, d, d) with d from 6 to 96, each by itself.

        Raises `UsageError` for another shape or dtype.
        """
        side = checked_side(faces)
        parts = []
        for start in range(0, len(faces), MAX_BATCH):
            given = self._inputs(faces[start : start + MAX_BATCH], side)
            parts.append(self._session.run(["affect", "std", *self._logits], given))
        return self._joined(parts, self._by_itself, side)

    @property
    def memory_shape(self) -> tuple[int, ...]:
        """The shape of the state of a `Memory`; empty for a model without memory."""
        return self._blank.shape if self.remembers else ()

    def follow(self, faces: Faces, time_s: ArrayLike, memory: Memory | None = None) -> tuple[Estimates, Memory | None]:
        """Estimates of one person's `faces`, grey uint8 (n, d, d), at increasing times `time_s` (n,) in seconds.
        `memory` is that of the previous call, None for a new person. Returns the estimates and the new memory, which is
        None for a model without memory.

        Raises `UsageError` for another shape or dtype, or if times do not increase.
        """
        steady, _, memory = self._follow(faces, time_s, memory)
        return steady, memory

    def follow_people(
        self, faces: Faces, time_s: ArrayLike, memories: Sequence[Memory | None]
    ) -> tuple[Estimates, list[Memory | None]]:
        """Estimates of one face each of n people, grey uint8 (n, d, d), at times `time_s` (n,) in seconds, from one run
        of the network; `memories` and the memories returned are as in `follow`, one for each person.

        Raises `UsageError` for another shape or dtype, or if a time is not later than that of the memory.
        """
        side, times = checked_side(faces), _checked_times(faces, time_s)
        if len(memories) != len(faces):
            raise UsageError(f"{len(faces)} faces need as many memories, not {len(memories)}")
        before = [time - NOTHING_BEFORE_S if m is None else m.time_s for time, m in zip(times, memories, strict=True)]
        gaps = _checked_gaps(times - np.array(before, np.float64))
        if not self.remembers:
            return self(faces), [None] * len(faces)
        steady: list[list[Floats]] = []
        after: list[Memory | None] = []
        for start in range(0, len(faces), MAX_BATCH):
            part = slice(start, start + MAX_BATCH)
            read, states = self._run_in_order(faces[part], side, gaps[part], memories[part])
            steady.append(read[:2] + read[4:])
            after += [Memory(state.copy(), float(time)) for state, time in zip(states, times[part], strict=True)]
        return self._joined(steady, self._in_order, side), after

    def follow_both(self, faces: Faces, time_s: ArrayLike) -> tuple[Estimates, Estimates]:
        """The estimates of `follow` for a new person, and those of each face by itself, from one run of the network."""
        steady, each, _ = self._follow(faces, time_s, None)
        return steady, each

    def _follow(
        self, faces: Faces, time_s: ArrayLike, memory: Memory | None
    ) -> tuple[Estimates, Estimates, Memory | None]:
        side, times = checked_side(faces), _checked_times(faces, time_s)
        before = times[:1] - NOTHING_BEFORE_S if memory is None else [memory.time_s]
        gaps = _checked_gaps(np.diff(np.concatenate([before, times])))
        if not self.remembers:
            estimates = self(faces)
            return estimates, estimates, None
        steady, each = [], []
        for start in range(0, len(faces), MAX_BATCH):
            part = slice(start, start + MAX_BATCH)
            read, states = self._run_in_order(faces[part], side, gaps[part], [memory])
            memory = Memory(states[0], float(times[part][-1]))
            steady.append(read[:2] + read[4:])
            each.append(read[2:])
        return self._joined(steady, self._in_order, side), self._joined(each, self._by_itself, side), memory

    def _run_in_order(
        self, faces: Faces, side: int, gaps: NDArray[np.float64], memories: Sequence[Memory | None]
    ) -> tuple[list[Floats], Floats]:
        """Affect and deviation of the faces in order, the same of each by itself, and its logits where expressions are
        wanted; and the states after them, of as many people as there are `memories`, each with as many faces."""
        states = np.stack([self._blank if memory is None else memory.state for memory in memories])
        given = self._inputs(faces, side)
        given |= {"remember": REMEMBER, "gaps_s": gaps.astype(np.float32), "state": states}
        outputs = ["next_state", "steady_affect", "steady_std", "affect", "std", *self._logits]
        states, *read = self._session.run(outputs, given)
        return read, states

    def _joined(self, parts: Sequence[Sequence[Floats]], calibration: "_Calibration", side: int) -> Estimates:
        """Calibrated estimates of all `parts`, each of affect, deviation, and logits where expressions are wanted."""
        fit = calibration.at(side)
        affect = np.concatenate([part[0] for part in parts]) if parts else np.zeros((0, 2), np.float32)
        std = np.concatenate([part[1] for part in parts]) if parts else np.zeros((0, 2), np.float32)
        std = fit[0] * std ** fit[1]
        expressions = None
        if self._logits:
            assert self._temperature is not None
            told = [part[2] for part in parts] or [np.zeros((0, len(Expressions._fields)), np.float32)]
            expressions = self._temperature.probabilities(np.concatenate(told), side)
        return Estimates(affect[:, 0], affect[:, 1], std[:, 0], std[:, 1], expressions)

    def _inputs(self, faces: Faces, side: int) -> dict[str, NDArray[Any]]:
        return {"faces": faces, "resample": resample_matrix(side, self._grid)}


def _checked_times(faces: Faces, time_s: ArrayLike) -> NDArray[np.float64]:
    times = np.asarray(time_s, np.float64)
    if times.shape != (len(faces),) or not np.isfinite(times).all():
        raise UsageError(f"{len(faces)} faces need as many finite times, not {times.shape}")
    return times


def _checked_gaps(gaps: NDArray[np.float64]) -> NDArray[np.float64]:
    if (gaps <= 0).any():
        raise UsageError("the times of one person's faces must increase")
    return gaps


class _Calibration:
    """Calibrates the two standard deviations: std becomes factor × std ** power, where factor and power are
    interpolated over the face's side between the sides at which they were fitted."""

    def __init__(self, about: dict[str, Any]) -> None:
        self._sides = np.array(about["side"], np.float64)
        factors = np.array(about["factor"], np.float64)  # (sides, 2)
        powers = np.array(about.get("power", np.ones_like(factors)), np.float64)
        self._fits = np.concatenate([factors, powers], -1)
        if not len(self._sides) or self._fits.shape != (len(self._sides), 4):
            raise ValueError("the calibration has the wrong shape")
        if not (np.isfinite(self._fits) & (self._fits > 0)).all() or (np.diff(self._sides) <= 0).any():
            raise ValueError("the calibration is out of range")
        self.at = cache(self._at)

    def _at(self, side: int) -> Floats:
        """Factors and powers, float32 (2, 2)."""
        return np.array([np.interp(side, self._sides, fit) for fit in self._fits.T], np.float32).reshape(2, 2)


class _Temperature:
    """Calibrates probabilities: logits are divided by a temperature (Guo et al. 2017, On calibration of modern neural
    networks, ICML), which is interpolated over the face's side."""

    def __init__(self, about: dict[str, Any]) -> None:
        self._sides, self._temperatures = (np.array(about[name], np.float64) for name in ("side", "temperature"))
        if not len(self._sides) or self._sides.shape != self._temperatures.shape:
            raise ValueError("the calibration of expressions has the wrong shape")
        if not (np.isfinite(self._temperatures) & (self._temperatures > 0)).all() or (np.diff(self._sides) <= 0).any():
            raise ValueError("the calibration of expressions is out of range")

    def probabilities(self, logits: Floats, side: int) -> Floats:
        """Of `logits` (n, 8), float32 (n, 8)."""
        scaled = logits / np.float32(np.interp(side, self._sides, self._temperatures))
        powers: Floats = np.exp(scaled - scaled.max(1, keepdims=True))
        shares: Floats = powers / powers.sum(1, keepdims=True)
        return shares
