"""Reads latents of the features codec: estimates of valence and arousal, of each face by itself or with memory."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lowbeam.codec.compact.feature_networks import FOLDER
from lowbeam.errors import ModelError, UsageError
from lowbeam.face import Latents
from lowbeam.onnx_session import OnnxSession
from lowbeam.recognize import MAX_BATCH, NOTHING_BEFORE_S, REMEMBER, Estimates, Floats, Memory

FORMAT = 1


class LatentReader:
    """Estimates from latents, by the network on the decoder side. `threads` is the number of cores to use. Raises
    `ModelError` if the network is missing or damaged."""

    def __init__(self, threads: int = 1) -> None:
        path = FOLDER / "readout.onnx"
        self._session = OnnxSession(path, "lowbeam-features", threads)
        try:
            if self._session.about["format"] != FORMAT:
                raise ValueError("it is of another version")
            self._by_itself = np.array(
                self._session.about["calibration"], np.float32
            )  # (levels, 2, 2): factor and power of both
            self._in_order = np.array(self._session.about["memory_calibration"], np.float32)
            self.memory_shape: tuple[int, ...] = tuple(self._session.initial_shapes["state"][1:])
        except (KeyError, TypeError, ValueError) as error:
            raise ModelError(f"{path} has damaged metadata ({type(error).__name__}: {error})") from error

    def each(self, latents: Sequence[Latents]) -> Estimates:
        """Estimates of each face by itself."""
        parts = [self._session.run(["affect", "std"], _inputs(part)) for part in _batches(latents)]
        return _joined(parts, self._by_itself[_levels(latents)])

    def follow(
        self, latents: Sequence[Latents], time_s: Sequence[float], memory: Memory | None = None
    ) -> tuple[Estimates, Memory]:
        """Estimates of one person's faces at increasing times (seconds), and the memory after them; `memory` is that of
        the previous call, None for a new person. Raises `UsageError` if times do not increase."""
        before_s = time_s[0] - NOTHING_BEFORE_S if memory is None else memory.time_s
        gaps = _checked_gaps(np.diff(np.concatenate([[before_s], time_s])))
        state = self._blank() if memory is None else memory.state
        parts = []
        for number, part in enumerate(_batches(latents)):
            start = number * MAX_BATCH
            *read, states = self._run_in_order(part, gaps[start : start + len(part)], [state])
            state = states[0]
            parts.append(read)
        return _joined(parts, self._in_order[_levels(latents)]), Memory(state, float(time_s[-1]))

    def follow_people(
        self, latents: Sequence[Latents], time_s: Sequence[float], memories: Sequence[Memory | None]
    ) -> tuple[Estimates, list[Memory]]:
        """Estimates of one face each of several people, and the memories after them. Raises `UsageError` if a time is
        not later than that of the memory."""
        before = [t - NOTHING_BEFORE_S if m is None else m.time_s for t, m in zip(time_s, memories, strict=True)]
        gaps = _checked_gaps(np.array(time_s) - np.array(before))
        states = [self._blank() if memory is None else memory.state for memory in memories]
        parts, after = [], list[Memory]()
        for number, part in enumerate(_batches(latents)):
            rows = slice(number * MAX_BATCH, number * MAX_BATCH + len(part))
            *read, found = self._run_in_order(part, gaps[rows], states[rows])
            parts.append(read)
            after += [Memory(one.copy(), float(t)) for one, t in zip(found, time_s[rows], strict=True)]
        return _joined(parts, self._in_order[_levels(latents)]), after

    def _blank(self) -> Floats:
        return np.zeros(self.memory_shape, np.float32)

    def _run_in_order(
        self, latents: Sequence[Latents], gaps: NDArray[np.float64], states: Sequence[Floats]
    ) -> list[NDArray[Any]]:
        given = _inputs(latents) | {
            "remember": REMEMBER, "gaps_s": gaps.astype(np.float32), "state": np.stack(states),
        }  # fmt: skip
        return self._session.run(["steady_affect", "steady_std", "next_state"], given)


def _batches(latents: Sequence[Latents]) -> list[Sequence[Latents]]:
    return [latents[start : start + MAX_BATCH] for start in range(0, len(latents), MAX_BATCH)]


def _levels(latents: Sequence[Latents]) -> NDArray[np.int64]:
    return np.array([one.level for one in latents], np.int64)


def _inputs(latents: Sequence[Latents]) -> dict[str, NDArray[Any]]:
    return {"latents": np.stack([one.values for one in latents]), "level": _levels(latents).astype(np.float32)}


def _checked_gaps(gaps: NDArray[np.float64]) -> NDArray[np.float64]:
    if (gaps <= 0).any():
        raise UsageError("the times of one person's faces must increase")
    return gaps


def _joined(parts: Sequence[Sequence[NDArray[Any]]], calibration: NDArray[np.float32]) -> Estimates:
    """Estimates of all parts; `calibration` (n, 2, 2) has for valence and arousal the factor and the power."""
    affect = np.concatenate([part[0] for part in parts])
    std = calibration[:, :, 0] * np.concatenate([part[1] for part in parts]) ** calibration[:, :, 1]
    return Estimates(affect[:, 0], affect[:, 1], *std.astype(np.float32).T)
