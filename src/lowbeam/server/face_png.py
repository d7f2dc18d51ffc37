"""A face as a PNG, as it is stored and shown."""

import io

from PIL import Image

from lowbeam.face import Grey


def face_png(face: Grey) -> bytes:
    """A grey face, uint8 (h, w), as a PNG."""
    file = io.BytesIO()
    Image.fromarray(face).save(file, "PNG")
    return file.getvalue()
