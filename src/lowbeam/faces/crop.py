"""Crops a face from a frame."""

import math

import numpy as np
from PIL import Image

from lowbeam.face import Box, Grey
from lowbeam.scale import FACE_SIDE


def crop(grey: Grey, box: Box) -> Grey:
    """Crop `box` from the frame `grey`, uint8 (h, w), and resample it to uint8 (96, 96) by antialiased bicubic
    interpolation (Pillow's BICUBIC) with sub-pixel accuracy. Outside the frame the border pixels are repeated."""
    margin = 2 * math.ceil(max(box.side / FACE_SIDE, 1.0)) + 1  # reach of the kernel beyond the box
    left, top = math.floor(box.x) - margin, math.floor(box.y) - margin
    length = math.ceil(box.side) + 2 * margin + 1
    region = Image.fromarray(_region(grey, left, top, length))
    x, y = box.x - left, box.y - top
    face = region.resize((FACE_SIDE, FACE_SIDE), Image.Resampling.BICUBIC, (x, y, x + box.side, y + box.side))
    return np.asarray(face)


def _region(grey: Grey, left: int, top: int, length: int) -> Grey:
    """The square of `length` pixels whose upper left corner is at (`left`, `top`)."""
    height, width = grey.shape
    if 0 <= left <= width - length and 0 <= top <= height - length:
        return grey[top : top + length, left : left + length]
    rows = np.clip(np.arange(top, top + length), 0, height - 1)
    columns = np.clip(np.arange(left, left + length), 0, width - 1)
    return grey[rows[:, None], columns[None, :]]
