"""Faces in, readings out: the shipped ONNX models under ONNX Runtime."""

import json
import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from lowbeam.errors import ModelError, UsageError
from lowbeam.scale import FACE_SIDE, MIN_SIDE, Faces, checked_side, resample_matrix

WEIGHTS = Path(__file__).parent / "weights"
DEFAULT_MODEL = "one-for-all"
MAX_BATCH = 64  # faces at a time: larger batches are no faster, and hold more memory
MODEL_FORMAT = 1

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


def shipped_models() -> list[str]:
    """Names of the models that ship."""
    return sorted(path.stem for path in WEIGHTS.glob("*.onnx"))


class Recognizer:
    """Reads valence and arousal from faces of any side from 6 to 96 pixels.

    `model` is the name of one that ships, or a path; `threads` how many cores it may use. CUDA is used where ONNX
    Runtime has it. Raises `ModelError` where the model is missing or is not one of lowbeam's.
    """

    def __init__(self, model: str | os.PathLike = DEFAULT_MODEL, threads: int = 1) -> None:
        most = max(64, os.cpu_count() or 1)
        if not 1 <= threads <= most:
            raise UsageError(f"threads must be from 1 to {most}, not {threads}")
        path = WEIGHTS / f"{model}.onnx" if str(model) in shipped_models() else Path(model)
        if not os.path.isfile(path):  # noqa: PTH113  (unlike Path.is_file it never raises)
            raise ModelError(f"model {model} is neither a file nor one that ships: {', '.join(shipped_models())}")
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
        self._sides = np.array(about["calibration"]["side"], np.float64)
        self._factors = np.array(about["calibration"]["factor"], np.float64)  # (sides, 2)
        if about["format"] != MODEL_FORMAT or not 1 <= self._grid <= FACE_SIDE:
            raise ModelError(f"{path} is of another format")
        if self._factors.shape != (len(self._sides), 2) or not np.isfinite(self._factors).all():
            raise ModelError(f"{path} holds no calibration")

    def __call__(self, faces: Faces) -> Reading:
        """Read `faces`, uint8 (n, d, d) grey with d from 6 to 96.

        Raises `UsageError` for another shape or dtype.
        """
        side = checked_side(faces)
        matrix = resample_matrix(side, self._grid)
        parts = [
            self._session.run(["affect", "std"], {"faces": faces[i : i + MAX_BATCH], "resample": matrix})
            for i in range(0, len(faces), MAX_BATCH)
        ]
        affect = np.concatenate([p[0] for p in parts]) if parts else np.zeros((0, 2), np.float32)
        std = np.concatenate([p[1] for p in parts]) if parts else np.zeros((0, 2), np.float32)
        std = std * self._calibration(side)
        return Reading(affect[:, 0], affect[:, 1], std[:, 0], std[:, 1])

    def _calibration(self, side: int) -> Floats:
        """Factors on the two deviations at this side, between those fitted on valid at the trained sides."""
        return np.array([np.interp(side, self._sides, f) for f in self._factors.T], np.float32)
