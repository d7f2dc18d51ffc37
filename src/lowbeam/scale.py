"""Downsampling by a scale s, and resampling in general: one definition for encoding, training and evaluation.

The rule is separable bicubic interpolation (Keys 1981, a = -1/2) with antialiasing: when shrinking, the kernel is
stretched by that factor. Pillow's ``BICUBIC``, PyTorch's ``interpolate(mode="bicubic", antialias=True)`` and MATLAB's
``imresize`` agree with it; OpenCV's ``INTER_CUBIC`` does not antialias. It is implemented as a matrix, which NumPy,
PyTorch and ONNX can all apply: a face ``x`` becomes ``R @ x @ R.T``.
"""

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from lowbeam.errors import UsageError

FACE_SIDE = 96  # pixels: side of an HR face
SCALES = (1, 2, 3, 4, 6, 8, 12, 16)  # downsampling factors; face sides 96, 48, 32, 24, 16, 12, 8, 6 pixels
MIN_SIDE = FACE_SIDE // max(SCALES)  # 6 pixels

Faces = NDArray[np.uint8]  # (n, d, d), grey


def side_of(scale: int) -> int:
    """Side of an LR face at `scale` (one of `SCALES`), in pixels.

    Raises `UsageError` for any other scale.
    """
    if scale not in SCALES:
        raise UsageError(f"scale {scale} is not one of {', '.join(map(str, SCALES))}")
    return round(FACE_SIDE / scale)


def _keys_cubic(x: NDArray[np.float64]) -> NDArray[np.float64]:
    """Keys' cubic convolution kernel with a = -1/2 (IEEE Trans. ASSP 29(6), 1981, eq. 15)."""
    x = np.abs(x)
    near = (1.5 * x - 2.5) * x * x + 1
    far = ((-0.5 * x + 2.5) * x - 4) * x + 2
    return np.where(x < 1, near, np.where(x < 2, far, 0.0))


@lru_cache(maxsize=64)
def resample_matrix(side_in: int, side_out: int) -> NDArray[np.float32]:
    """Weights that resample one axis from `side_in` to `side_out` samples: float32 (side_out, side_in), read-only.

    Each row sums to one: taps beyond the border are dropped and the others renormalised, as in Pillow. Raises
    `UsageError` if a side is less than 1.
    """
    if side_in < 1 or side_out < 1:
        raise UsageError(f"cannot resample {side_in} samples to {side_out}: both must be at least 1")
    step = side_in / side_out
    stretch = max(step, 1.0)
    centres = (np.arange(side_out)[:, None] + 0.5) * step
    weights = _keys_cubic((np.arange(side_in)[None, :] + 0.5 - centres) / stretch)
    matrix: NDArray[np.float32] = (weights / weights.sum(axis=1, keepdims=True)).astype(np.float32)
    matrix.setflags(write=False)
    return matrix


def checked_side(faces: Faces) -> int:
    """The side of square grey `faces`, uint8 (n, d, d) with d from 6 to 96 pixels. Raises `UsageError` for another
    shape, dtype or side."""
    if faces.dtype != np.uint8 or faces.ndim != 3 or faces.shape[1] != faces.shape[2]:
        raise UsageError(f"faces must be uint8 (n, d, d), not {faces.dtype} {faces.shape}")
    side: int = faces.shape[1]
    if not MIN_SIDE <= side <= FACE_SIDE:
        raise UsageError(f"faces of {side} px are not {MIN_SIDE} to {FACE_SIDE} px")
    return side


def resample(faces: Faces, side: int) -> Faces:
    """Resample square grey `faces`, uint8 (n, d, d), to uint8 (n, side, side), rounded and clipped to 0..255.

    Raises `UsageError` for another shape or dtype.
    """
    if faces.dtype != np.uint8 or faces.ndim != 3 or faces.shape[1] != faces.shape[2]:
        raise UsageError(f"faces must be uint8 (n, d, d), not {faces.dtype} {faces.shape}")
    if faces.shape[1] == side:
        return faces
    matrix = resample_matrix(faces.shape[1], side)
    wide = matrix @ faces.astype(np.float32) @ matrix.T
    resampled: Faces = np.clip(np.rint(wide), 0, 255).astype(np.uint8)
    return resampled


def shrink(faces: Faces, scale: int) -> Faces:
    """Downsample HR `faces`, uint8 (n, 96, 96), to LR faces at `scale`, uint8 (n, 96/s, 96/s). Raises `UsageError`."""
    return resample(faces, side_of(scale))
