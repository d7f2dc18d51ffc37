"""Cutting a face's square from a frame."""

import math

import numpy as np
from PIL import Image

from lowbeam.face import Box, Grey
from lowbeam.scale import FACE_SIDE


def crop(grey: Grey, box: Box) -> Grey:
    """Cut `box` from `grey` and resample it to 96×96, uint8, by antialiased bicubic interpolation at sub-pixel place.
    Where the box leaves the frame the border is repeated."""
    margin = 2 * math.ceil(max(box.side / FACE_SIDE, 1.0)) + 1  # the kernel's reach beyond the box
    left, top = math.floor(box.x) - margin, math.floor(box.y) - margin
    length = math.ceil(box.side) + 2 * margin + 1
    rows = np.clip(np.arange(top, top + length), 0, grey.shape[0] - 1)
    columns = np.clip(np.arange(left, left + length), 0, grey.shape[1] - 1)
    region = Image.fromarray(grey[rows[:, None], columns[None, :]])
    x, y = box.x - left, box.y - top
    face = region.resize((FACE_SIDE, FACE_SIDE), Image.Resampling.BICUBIC, (x, y, x + box.side, y + box.side))
    return np.asarray(face)
