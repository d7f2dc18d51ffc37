"""Face detectors. Each converts its own boxes to the same framing; the constants were measured on FER2013 crops."""

from pathlib import Path
from typing import Protocol

import dlib
import numpy as np

from lowbeam.errors import ModelError, UsageError
from lowbeam.face import Box, Grey


class Detector(Protocol):
    """Finds faces in a grey frame, uint8 (h, w); returns their boxes in frame pixels, most confident first."""

    def __call__(self, grey: Grey) -> list[Box]: ...


class DlibDetector:
    """dlib's frontal HOG detector. Its template is 80 px; if it finds nothing, it searches again at twice the size, and
    thus finds faces from about 40 px."""

    MIN_SCORE = 0.0
    SIDE, RIGHT, UP = 1.23, 0.03, 0.05  # side and offset of the square, in sides of dlib's box

    def __init__(self) -> None:
        self._detector = dlib.get_frontal_face_detector()

    def __call__(self, grey: Grey) -> list[Box]:
        for upsampling in (0, 1):
            rectangles, _, _ = self._detector.run(grey, upsampling, self.MIN_SCORE)
            if rectangles:
                break
        boxes = []
        for r in rectangles:
            side = (r.width() + r.height()) / 2
            x, y = r.left() + r.width() / 2, r.top() + r.height() / 2
            boxes.append(Box.around(x + self.RIGHT * side, y - self.UP * side, self.SIDE * side))
        return boxes


class YunetDetector:
    """OpenCV's YuNet from the ONNX file `model` (the `yunet` extra). It also finds turned faces and small ones, from
    about 10 px. Raises `UsageError` if OpenCV is not installed, `ModelError` if the file is missing or not a YuNet
    model."""

    MIN_SCORE = 0.7
    SIDE = 1.0  # side of the square, in heights of YuNet's box

    def __init__(self, model: Path) -> None:
        try:
            import cv2
        except ImportError as error:
            raise UsageError("the YuNet detector needs OpenCV: pip install 'lowbeam[yunet]'") from error
        if not model.is_file():
            raise ModelError(f"{model} is missing; download YuNet's ONNX file from OpenCV's model zoo")
        try:
            cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)
            self._detector = cv2.FaceDetectorYN.create(str(model), "", (320, 320), self.MIN_SCORE)
            self(np.zeros((64, 64), np.uint8))
        except cv2.error as error:
            raise ModelError(f"{model} is not a YuNet model") from error

    def __call__(self, grey: Grey) -> list[Box]:
        self._detector.setInputSize(grey.shape[::-1])
        _, found = self._detector.detect(np.repeat(grey[:, :, None], 3, axis=2))
        rows = [] if found is None else found.tolist()
        return [Box.around(x + w / 2, y + h / 2, self.SIDE * h) for x, y, w, h, *_ in rows]


def make_detector(name: str = "dlib") -> Detector:
    """The detector called `name`: ``dlib``, or ``yunet:PATH`` with the path of YuNet's ONNX file.

    Raises `UsageError` for another name or if the `yunet` extra is not installed, `ModelError` for an invalid file.
    """
    kind, _, path = name.partition(":")
    if name == "dlib":
        return DlibDetector()
    if kind == "yunet" and path:
        return YunetDetector(Path(path))
    raise UsageError(f"detector {name} is not one of dlib, yunet:PATH")
