"""What is read of a recording, or of a span of it: its estimates, and the times of its frames."""

import io
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lowbeam.estimator import Estimator
from lowbeam.face import Face
from lowbeam.pipeline.estimate import BATCH, estimates_of
from lowbeam.pipeline.fuse import fused
from lowbeam.pipeline.sources import FaceSource
from lowbeam.trace import COLUMNS, columns_of, row_of

Table = NDArray[np.float64]
TIME, FACE, X, Y, SIDE = (COLUMNS.index(name) for name in ("time_s", "face", "x", "y", "side"))


@dataclass(frozen=True)
class Rows:
    """What was read: `estimates`, float64 (n, k), rows of `columns_of` in order of time; the `light` of each face,
    float64 (n,), the mean grey value of its pixels from 0 to 255, NaN where none came; the times of all frames,
    `times_s`, float64 (m,). `size`, `point` and `cut_at_s` are those of `FaceSource`."""

    estimates: Table
    light: Table
    times_s: Table
    size: tuple[int, int]
    point: str | None = None
    cut_at_s: float | None = None

    def to_bytes(self) -> bytes:
        """As an ``.npz`` file. The point and the cut of a face stream are not kept: spans are of videos."""
        buffer = io.BytesIO()
        np.savez(buffer, estimates=self.estimates, light=self.light, times_s=self.times_s, size=np.array(self.size))
        return buffer.getvalue()

    @classmethod
    def from_bytes(cls, data: bytes) -> "Rows":
        """From an ``.npz`` file. Raises what NumPy raises if it is none."""
        with np.load(io.BytesIO(data)) as found:
            width, height = found["size"].tolist()
            return cls(found["estimates"], found["light"], found["times_s"], (width, height))


def read_rows(opened: FaceSource, estimator: Estimator, expressions: bool = False) -> Rows:
    """Read a source to its end, with the columns of `expressions` if wanted."""
    estimates: list[tuple[float, ...]] = []
    light: list[float] = []
    times_s: list[float] = []
    for frame, found in fused(estimates_of(opened, estimator, BATCH, keep_frames=False)):
        estimates += (row_of(one, expressions) for one in found)
        light += map(_light, frame.faces)
        times_s.append(frame.time_s)
    table = np.array(estimates, np.float64).reshape(-1, len(columns_of(expressions)))
    return Rows(table, np.array(light), np.array(times_s), opened.size, opened.point, opened.cut_at_s)


def _light(face: Face) -> float:
    return float(face.pixels.mean()) if face.pixels.size else float("nan")
