"""What is refused before anything is allocated for it."""

MAX_SIDE = 16384  # pixels
MAX_AREA = 8192 * 4352  # pixels: 8K, and the largest picture of AVC and HEVC level 6.2
MAX_BUFFERED_AREA = 6 * MAX_AREA  # pixels of all pictures that a decoder must keep for reference; level 6.2 allows 5
MAX_TIME_S = 1e7  # seconds, 115 days: a frame that claims to be later is damaged
MAX_PIXEL_ASPECT = 4  # and at least its inverse: wider or narrower pixels are damage


def size_problem(width: int, height: int) -> str | None:
    """Why a picture of `width` × `height` pixels is not read; None where it is."""
    if max(width, height) > MAX_SIDE:
        return f"is {width}×{height}; at most {MAX_SIDE} pixels a side are read"
    if width * height > MAX_AREA:
        return f"is {width}×{height}; at most {MAX_AREA / 1e6:.0f} megapixels (8K) are read"
    return None
