"""Faces in, readings out: the shipped ONNX models under ONNX Runtime."""

import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
from numpy.typing import ArrayLike, NDArray

from lowbeam.errors import ModelError, UsageError
from lowbeam.scale import FACE_SIDE, MIN_SIDE, Faces, checked_side, resample_matrix

WEIGHTS = Path(__file__).parent / "weights"
DEFAULT_MODEL = "one-for-all-video"
MAX_BATCH = 64  # faces at a time: larger batches are no faster, and hold more memory
MODEL_FORMAT = 1
NOTHING_BEFORE_S = np.float32(1e3)  # a gap after which nothing is remembered

Floats = NDArray[np.float32]

onnxruntime.set_default_logger_severity(4)  # its warnings say nothing that a user could act on


@dataclass(frozen=True)
class Reading:
    """What was read from n faces: valence and arousal in [-1, 1], each with its standard deviation; float32 (n,)."""

    valence: Floats
    arousal: Floats
    valence_std: Floats
    arousal_std: Floats

    def __len__(self) -> int:
        return len(self.valence)


@dataclass(frozen=True)
class Memory:
    """What a recognizer remembers of one person: its `state`, as it was at the face of `time_s`."""

    state: Floats
    time_s: float


def model_path(model: str | os.PathLike) -> Path:
    """The file of a model, given by the name of one that ships or by its path. Raises `ModelError`."""
    path = WEIGHTS / f"{model}.onnx" if str(model) in shipped_models() else Path(model)
    if not os.path.isfile(path):  # noqa: PTH113  (unlike Path.is_file it never raises)
        raise ModelError(f"model {model} is neither a file nor one that ships: {', '.join(shipped_models())}")
    return path


def shipped_models() -> list[str]:
    """Names of the models that ship."""
    return sorted(path.stem for path in WEIGHTS.glob("*.onnx"))


class Recognizer:
    """Reads valence and arousal from faces of any side from 6 to 96 pixels: each by itself, or those of one person in
    order (`follow`), where a model that remembers reads each in the light of what came before.

    `model` is the name of one that ships, or a path; `threads` how many cores it may use. CUDA is used where ONNX
    Runtime has it. Raises `ModelError` where the model is missing or is not one of lowbeam's.
    """

    def __init__(self, model: str | os.PathLike = DEFAULT_MODEL, threads: int = 1) -> None:
        most = max(64, os.cpu_count() or 1)
        if not 1 <= threads <= most:
            raise UsageError(f"threads must be from 1 to {most}, not {threads}")
        path = model_path(model)
        try:
            self._load(path, threads)
            self(np.zeros((1, MIN_SIDE, MIN_SIDE), np.uint8))
        except Exception as error:  # ONNX Runtime's own exceptions share no base but this one
            raise ModelError(f"{path} is not an ONNX model that this lowbeam can run") from error

    def _load(self, path: Path, threads: int) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
        have = onnxruntime.get_available_providers()
        providers = [p for p in ("CUDAExecutionProvider", "CPUExecutionProvider") if p in have]
        self._session = onnxruntime.InferenceSession(str(path), options, providers=providers)
        about = json.loads(self._session.get_modelmeta().custom_metadata_map["lowbeam"])
        self._grid = int(about["grid"])
        if about["format"] != MODEL_FORMAT or not 1 <= self._grid <= FACE_SIDE:
            raise ModelError(f"{path} is of another format")
        self._by_itself = _Calibration(about["calibration"])
        self.remembers = "memory" in about
        if self.remembers:
            self._in_order = _Calibration(about["memory"]["calibration"])
            shapes = {given.name: given.shape for given in self._session.get_inputs()}
            self._blank = np.zeros(shapes["state"], np.float32)

    def __call__(self, faces: Faces) -> Reading:
        """Read `faces`, uint8 (n, d, d) grey with d from 6 to 96, each by itself.

        Raises `UsageError` for another shape or dtype.
        """
        side = checked_side(faces)
        parts = []
        for start in range(0, len(faces), MAX_BATCH):
            given = self._inputs(faces[start : start + MAX_BATCH], side)
            if self.remembers:
                given |= {"gaps_s": np.full(len(given["faces"]), NOTHING_BEFORE_S), "state": self._blank}
            parts.append(self._session.run(["affect", "std"], given))
        return _joined(parts, self._by_itself.at(side))

    def follow(self, faces: Faces, time_s: ArrayLike, memory: Memory | None = None) -> tuple[Reading, Memory | None]:
        """Read `faces` of one person, uint8 (n, d, d) as seen at rising `time_s` (n,), going on from `memory`, which is
        None where the person is new. Returns the reading, and what is remembered after it: None of a model that does
        not remember.

        Raises `UsageError` for another shape or dtype, or where time does not rise.
        """
        steady, _, memory = self._follow(faces, time_s, memory)
        return steady, memory

    def follow_both(self, faces: Faces, time_s: ArrayLike) -> tuple[Reading, Reading]:
        """What `follow` reads of a person who is new, and what is read of each face by itself, for the price of one."""
        steady, each, _ = self._follow(faces, time_s, None)
        return steady, each

    def _follow(self, faces: Faces, time_s: ArrayLike, memory: Memory | None) -> tuple[Reading, Reading, Memory | None]:
        side, times = checked_side(faces), np.asarray(time_s, np.float64)
        if times.shape != (len(faces),) or not np.isfinite(times).all():
            raise UsageError(f"{len(faces)} faces need as many finite times, not {times.shape}")
        gaps = np.diff(times, prepend=times[:1] - NOTHING_BEFORE_S if memory is None else memory.time_s)
        if (gaps <= 0).any():
            raise UsageError("the times of faces that follow each other must rise")
        if not self.remembers:
            reading = self(faces)
            return reading, reading, None
        steady, each = [], []
        for start in range(0, len(faces), MAX_BATCH):
            part = slice(start, start + MAX_BATCH)
            state = self._blank if memory is None else memory.state
            given = self._inputs(faces[part], side) | {"gaps_s": gaps[part].astype(np.float32), "state": state}
            outputs = ["steady_affect", "steady_std", "affect", "std", "next_state"]
            *read, state = self._session.run(outputs, given)
            memory = Memory(state, float(times[part][-1]))
            steady.append(read[:2])
            each.append(read[2:])
        return _joined(steady, self._in_order.at(side)), _joined(each, self._by_itself.at(side)), memory

    def _inputs(self, faces: Faces, side: int) -> dict[str, NDArray]:
        return {"faces": faces, "resample": resample_matrix(side, self._grid)}


class _Calibration:
    """Factors on the two deviations by the face's side, between those that were fitted."""

    def __init__(self, about: dict[str, Any]) -> None:
        self._sides = np.array(about["side"], np.float64)
        self._factors = np.array(about["factor"], np.float64)  # (sides, 2)
        if self._factors.shape != (len(self._sides), 2) or not np.isfinite(self._factors).all():
            raise ModelError("there is no calibration")

    def at(self, side: int) -> Floats:
        return np.array([np.interp(side, self._sides, f) for f in self._factors.T], np.float32)


def _joined(parts: Sequence[Sequence[Floats]], factors: Floats) -> Reading:
    affect = np.concatenate([part[0] for part in parts]) if parts else np.zeros((0, 2), np.float32)
    std = np.concatenate([part[1] for part in parts]) if parts else np.zeros((0, 2), np.float32)
    std = std * factors
    return Reading(affect[:, 0], affect[:, 1], std[:, 0], std[:, 1])
