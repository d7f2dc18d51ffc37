"""Searches a frame, or a part of it, at the size at which a detector works best."""

from collections.abc import Iterator

import numpy as np
from PIL import Image

from lowbeam.face import Box, Grey
from lowbeam.faces.detect import Detection, Detector

NEAR_SIDES, FAR_SIDES = 2.0, 2.8  # side of the window around a face, in sides of its box
FACE_PX = 80  # height of the face in a window; multiplied by the above it is a multiple of 32


def search_frame(detector: Detector, grey: Grey, longest_px: int, most_factor: float = 1.0) -> list[Detection]:
    """The faces in the whole frame `grey`, uint8 (h, w), resampled so that its longer side is `longest_px`, but by no
    more than `most_factor`; in frame pixels, by falling score."""
    factor = min(most_factor, longest_px / max(grey.shape))
    small = grey if factor == 1.0 else _resized(grey, factor)
    return [Detection(found.box.scaled(1 / factor), found.score) for found in detector(small)]


def search_around(detector: Detector, grey: Grey, box: Box, sides: float = NEAR_SIDES) -> list[Detection]:
    """The faces in the part of the frame `grey`, uint8 (h, w), around `box`, a square of so many `sides` of it. The
    part is resampled so that a face with the side of `box` has the same size in every frame, which makes the detected
    boxes steadier. In frame pixels, by falling score."""
    reach, length = sides * box.side / 2, round(sides * FACE_PX)
    (x, y), (height, width) = box.centre, grey.shape
    left, right = _span(x, reach, width)
    top, bottom = _span(y, reach, height)
    if right <= left or bottom <= top:
        return []
    factor = FACE_PX / box.side
    window = np.zeros((length, length), np.uint8)  # of one size, for which ONNX Runtime allocates memory once
    small = _resized(grey[top:bottom, left:right], factor)[:length, :length]
    window[: small.shape[0], : small.shape[1]] = small
    return list(_moved(detector(window), 1 / factor, left, top))


def _span(centre: float, reach: float, length: int) -> tuple[int, int]:
    """The pixels within `reach` of `centre` on a line of `length` pixels."""
    return max(0, round(centre - reach)), min(length, round(centre + reach))


def _moved(found: list[Detection], factor: float, left: int, top: int) -> Iterator[Detection]:
    for one in found:
        box = one.box.scaled(factor)
        yield Detection(Box(box.x + left, box.y + top, box.side), one.score)


def _resized(grey: Grey, factor: float) -> Grey:
    height, width = (max(1, round(side * factor)) for side in grey.shape)
    # First reduced by a whole factor, then resampled: twice as fast, and good enough to search in.
    return np.asarray(Image.fromarray(grey).resize((width, height), Image.Resampling.BILINEAR, reducing_gap=1.0))
