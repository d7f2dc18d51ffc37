"""Faces in, restored faces out: the shipped restorer under ONNX Runtime."""

import json
import os
from pathlib import Path

import numpy as np
import onnxruntime

from lowbeam.errors import ModelError
from lowbeam.scale import FACE_SIDE, MIN_SIDE, Faces, checked_side, resample_matrix

RESTORERS = Path(__file__).parent / "weights" / "restorers"
DEFAULT_RESTORER = "face-restorer"
RESTORER_FORMAT = 1
MAX_BATCH = 8  # faces at a time: its inner pictures are large

onnxruntime.set_default_logger_severity(4)


def shipped_restorers() -> list[str]:
    """Names of the restorers that ship."""
    return sorted(path.stem for path in RESTORERS.glob("*.onnx"))


class Restorer:
    """Restores faces of any side from 6 to 96 pixels to 96×96, as likely pictures of what was lost, not as evidence.

    `model` is the name of one that ships, or a path; `threads` how many cores it may use. Raises `ModelError` where it
    is missing or is not one of lowbeam's.
    """

    def __init__(self, model: str | os.PathLike = DEFAULT_RESTORER, threads: int = 1) -> None:
        path = RESTORERS / f"{model}.onnx" if str(model) in shipped_restorers() else Path(model)
        if not path.is_file():
            raise ModelError(f"restorer {model} is neither a file nor one that ships: {', '.join(shipped_restorers())}")
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
        try:
            self._session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
            about = json.loads(self._session.get_modelmeta().custom_metadata_map["lowbeam-restorer"])
            if about["format"] != RESTORER_FORMAT:
                raise ModelError(f"{path} is of another format")
            self(np.zeros((1, MIN_SIDE, MIN_SIDE), np.uint8))
        except Exception as error:  # ONNX Runtime's own exceptions share no base but this one
            raise ModelError(f"{path} is not a restorer that this lowbeam can run") from error

    def __call__(self, faces: Faces) -> Faces:
        """Restore `faces`, uint8 (n, d, d) grey with d from 6 to 96, to uint8 (n, 96, 96).

        Raises `UsageError` for another shape or dtype.
        """
        side = checked_side(faces)
        matrix = resample_matrix(side, FACE_SIDE)
        parts = [
            self._session.run(["restored"], {"faces": faces[i : i + MAX_BATCH], "resample": matrix})[0]
            for i in range(0, len(faces), MAX_BATCH)
        ]
        return np.concatenate(parts) if parts else np.zeros((0, FACE_SIDE, FACE_SIDE), np.uint8)
