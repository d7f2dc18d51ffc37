"""Limits that are checked before memory is allocated."""

MAX_SIDE = 16384  # pixels
MAX_AREA = 8192 * 4352  # pixels: 8K, and the largest picture of AVC and HEVC level 6.2
MAX_BUFFERED_AREA = 6 * MAX_AREA  # pixels of all reference pictures of a decoder; level 6.2 allows 5 pictures
MAX_TIME_S = 1e7  # seconds (115 days): a later time means that the source is damaged
MAX_PIXEL_ASPECT = 4  # and at least its inverse: another value means that the source is damaged


def size_problem(width: int, height: int) -> str | None:
    """Why a picture of `width` × `height` pixels cannot be read; None if it can."""
    if max(width, height) > MAX_SIDE:
        return f"is {width}×{height}; at most {MAX_SIDE} pixels a side are read"
    if width * height > MAX_AREA:
        return f"is {width}×{height}; at most {MAX_AREA / 1e6:.0f} megapixels (8K) are read"
    return None
