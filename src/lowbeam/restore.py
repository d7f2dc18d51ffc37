"""Faces in, restored faces out: the shipped restorer under ONNX Runtime."""

import os
from pathlib import Path

import numpy as np

from lowbeam.errors import ModelError
from lowbeam.onnx_session import OnnxSession, check_output
from lowbeam.scale import FACE_SIDE, MIN_SIDE, Faces, checked_side, resample_matrix

RESTORERS = Path(__file__).parent / "weights" / "restorers"
DEFAULT_RESTORER = "face-restorer"
RESTORER_FORMAT = 1
TRIALS = ((MIN_SIDE, 1), (FACE_SIDE, 2))  # sides and numbers of faces that a model must stand at loading
MAX_BATCH = 8  # faces at a time: its inner pictures are large


def shipped_restorers() -> list[str]:
    """Names of the restorers that ship."""
    return sorted(path.stem for path in RESTORERS.glob("*.onnx"))


class Restorer:
    """Restores faces of any side from 6 to 96 pixels to 96×96, as likely pictures of what was lost, not as evidence.

    `model` is the name of one that ships, or a path; `threads` how many cores it may use. Raises `UsageError` for
    threads that cannot be, `ModelError` where the model is missing or is not one of lowbeam's.
    """

    def __init__(self, model: str | os.PathLike[str] = DEFAULT_RESTORER, threads: int = 1) -> None:
        path = RESTORERS / f"{model}.onnx" if str(model) in shipped_restorers() else Path(model)
        if not os.path.isfile(path):  # noqa: PTH113  (unlike Path.is_file it never raises)
            raise ModelError(f"restorer {model} is neither a file nor one that ships: {', '.join(shipped_restorers())}")
        self._session = OnnxSession(path, "lowbeam-restorer", threads)
        if self._session.about.get("format") != RESTORER_FORMAT:
            raise ModelError(f"{path} is of another format; this lowbeam reads {RESTORER_FORMAT}")
        if path.parent != RESTORERS:
            self._try_out()

    def _try_out(self) -> None:
        for side, count in TRIALS:
            inputs = {"faces": np.zeros((count, side, side), np.uint8), "resample": resample_matrix(side, FACE_SIDE)}
            (restored,) = self._session.try_run(["restored"], inputs)
            shape = (count, FACE_SIDE, FACE_SIDE)
            check_output(self._session.path, f"{count} faces of {side} px, restored,", restored, shape, 0, 255)

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
