"""Finds faces in a picture with YuNet, a convolutional network of 75,000 parameters, under ONNX Runtime."""

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from lowbeam.errors import ModelError
from lowbeam.face import Box, Grey
from lowbeam.onnx_session import WEIGHTS, OnnxSession

MODEL = WEIGHTS / "detector" / "yunet.onnx"
STRIDES = (8, 16, 32)  # pixels between the cells of each output
MULTIPLE = STRIDES[-1]  # the sides of an input are multiples of it
SIDE = 1.28  # side of the square, in widths of YuNet's box: about its height, which changes with the mouth
LOWEST_SCORE = 0.3
SAME_FACE = 0.3  # intersection over union at which two detections are of one face (as OpenCV's FaceDetectorYN)


@dataclass(frozen=True)
class Detection:
    """A face that a detector found: its `box` in pixels and its `score` in [0, 1]."""

    box: Box
    score: float


class Detector(Protocol):
    """Finds faces in a grey picture, uint8 (h, w); returns them by falling score."""

    def __call__(self, grey: Grey) -> list[Detection]: ...


class YunetDetector:
    """YuNet (Wu, Peng & Yu 2023, "YuNet: A Tiny Millisecond-level Face Detector"), OpenCV Zoo's model of March 2023.

    It finds faces with a height of about 25 to 400 pixels, frontal, tilted and turned. Raises `ModelError` if the
    weights are missing, which the installation of the package brings.
    """

    OUTPUTS = tuple(f"{kind}_{stride}" for stride in STRIDES for kind in ("cls", "obj", "bbox"))

    def __init__(self, threads: int = 1) -> None:
        if not MODEL.is_file():
            raise ModelError(f"{MODEL} is missing; install the package again (pip install lowbeam)")
        self._session = OnnxSession(MODEL, None, threads)

    def __call__(self, grey: Grey) -> list[Detection]:
        """The faces in `grey`, uint8 (h, w), by falling score."""
        height, width = (-(-side // MULTIPLE) * MULTIPLE for side in grey.shape)
        given = np.zeros((1, 3, height, width), np.float32)  # blue, green and red, from 0 to 255
        given[:, :, : grey.shape[0], : grey.shape[1]] = grey
        found = self._session.run(list(self.OUTPUTS), {"input": given})
        rows = [
            _decoded(face, object_, box, stride, width // stride)
            for stride, face, object_, box in zip(STRIDES, found[::3], found[1::3], found[2::3], strict=True)
        ]
        return _distinct(np.concatenate(rows))


def _decoded(
    face: NDArray[np.float32], object_: NDArray[np.float32], box: NDArray[np.float32], stride: int, columns: int
) -> NDArray[np.float32]:
    """Detections above `LOWEST_SCORE` from the outputs of one stride, float32 (n, 4): score, centre x, centre y, side.
    The score is √(class · objectness); a box is relative to its cell, its size logarithmic. Its height is not used: it
    grows when the mouth opens."""
    product = (face * object_)[0, :, 0]  # of two probabilities
    cells = np.flatnonzero(product >= LOWEST_SCORE**2)
    if not len(cells):
        return np.empty((0, 4), np.float32)
    right, down, width, _ = box[0, cells].T
    x, y = (cells % columns + right) * stride, (cells // columns + down) * stride
    return np.stack([np.sqrt(product[cells]), x, y, SIDE * np.exp(width) * stride], 1)


def _distinct(rows: NDArray[np.float32]) -> list[Detection]:
    """One detection a face: its box is the mean of all boxes that overlap the one with the highest score, weighted by
    the squares of their scores, which makes it steadier than that box alone (Bazarevsky et al. 2019, "BlazeFace",
    section 4)."""
    kept: list[Detection] = []
    rows = rows[np.argsort(-rows[:, 0], kind="stable")]
    while len(rows):
        is_same = _overlaps(rows[0], rows) >= SAME_FACE
        score, *_ = rows[0].tolist()
        _, x, y, side = np.average(rows[is_same], axis=0, weights=rows[is_same, 0] ** 2).tolist()
        kept.append(Detection(Box.around(x, y, side), score))
        rows = rows[~is_same]
    return kept


def _overlaps(one: NDArray[np.float32], rows: NDArray[np.float32]) -> NDArray[np.float32]:
    """Intersection over union of the square `one` with each of `rows` (n, 4): score, centre x, centre y, side."""
    reach = (one[3] + rows[:, 3]) / 2
    limit = np.minimum(one[3], rows[:, 3])
    width, height = (np.clip(reach - np.abs(one[i] - rows[:, i]), 0, limit) for i in (1, 2))
    shared: NDArray[np.float32] = width * height
    union: NDArray[np.float32] = one[3] ** 2 + rows[:, 3] ** 2 - shared
    return shared / union
