"""The restorer: faces in, restored faces out, by an ONNX model under ONNX Runtime."""

import os
from pathlib import Path

import numpy as np

from lowbeam.errors import ModelError
from lowbeam.onnx_session import OnnxSession, check_output
from lowbeam.scale import FACE_SIDE, MIN_SIDE, Faces, checked_side, resample_matrix

RESTORERS = Path(__file__).parent / "weights" / "restorers"
DEFAULT_RESTORER = "face-restorer"
RESTORER_FORMAT = 1
TRIALS = ((MIN_SIDE, 1), (FACE_SIDE, 2))  # sides and batch sizes that a user's model is tried with
MAX_BATCH = 8  # faces at a time: its feature maps are large


def shipped_restorers() -> list[str]:
    """Names of the shipped restorers."""
    return sorted(path.stem for path in RESTORERS.glob("*.onnx"))


class Restorer:
    """Restores faces with a side of 6 to 96 pixels to 96×96. The result is a plausible picture, not evidence.

    `model` is the name of a shipped restorer or a path; `threads` is the number of cores to use. Raises `UsageError` if
    `threads` is out of range, `ModelError` if the model is missing or not one of lowbeam's.
    """

    def __init__(self, model: str | os.PathLike[str] = DEFAULT_RESTORER, threads: int = 1) -> None:
        path = RESTORERS / f"{model}.onnx" if str(model) in shipped_restorers() else Path(model)
        if not os.path.isfile(path):  # noqa: PTH113  (unlike Path.is_file it never raises)
            raise ModelError(
                f"restorer {model} is neither a file nor a shipped restorer: {', '.join(shipped_restorers())}"
            )
        self._session = OnnxSession(path, "lowbeam-restorer", threads)
        if self._session.about.get("format") != RESTORER_FORMAT:
            raise ModelError(f"{path} is of another format; this version of lowbeam reads format {RESTORER_FORMAT}")
        if path.parent != RESTORERS:
            self._try_out()

    def _try_out(self) -> None:
        for side, count in TRIALS:
            inputs = {"faces": np.zeros((count, side, side), np.uint8), "resample": resample_matrix(side, FACE_SIDE)}
            (restored,) = self._session.try_run(["restored"], inputs)
            shape = (count, FACE_SIDE, FACE_SIDE)
            check_output(self._session.path, f"{count} faces of {side} px, restored,", restored, shape, 0, 255)

    def __call__(self, faces: Faces) -> Faces:
        """Restore `faces`, grey uint8 (n, d, d) with d from 6 to 96, to uint8 (n, 96, 96).

        Raises `UsageError` for another shape or dtype.
        """
        side = checked_side(faces)
        matrix = resample_matrix(side, FACE_SIDE)
        parts = [
            self._session.run(["restored"], {"faces": faces[i : i + MAX_BATCH], "resample": matrix})[0]
            for i in range(0, len(faces), MAX_BATCH)
        ]
        return np.concatenate(parts) if parts else np.zeros((0, FACE_SIDE, FACE_SIDE), np.uint8)
