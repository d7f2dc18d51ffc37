"""The estimator: estimates of faces of every kind, by what was received of them.

Pixels are estimated by the recognizer; the estimates that a camera made itself are taken as they are.
"""

import os
from collections.abc import Hashable, Sequence

import numpy as np

from lowbeam.face import Face
from lowbeam.recognize import DEFAULT_MODEL, Estimates, Memory, Recognizer


class Estimator:
    """Estimates faces. `recognizer` may be shared; by default `model` is loaded, with `threads` cores. Raises
    `ModelError` or `UsageError`."""

    def __init__(
        self, model: str | os.PathLike[str] = DEFAULT_MODEL, threads: int = 1, recognizer: Recognizer | None = None
    ) -> None:
        self.recognizer = Recognizer(model, threads) if recognizer is None else recognizer

    def kind(self, face: Face) -> Hashable:
        """Faces of the same kind can be estimated together."""
        return "estimate" if face.estimate is not None else len(face.pixels)

    def remembers(self, face: Face) -> bool:
        """Whether the faces before `face` of the same person are of use."""
        return face.estimate is None and self.recognizer.remembers

    def fits(self, memory: Memory) -> bool:
        """Whether a memory, maybe of another version or model, can be used."""
        return memory.state.shape == self.recognizer.memory_shape

    def each(self, faces: Sequence[Face]) -> Estimates:
        """Estimates of faces of one kind, each by itself."""
        if faces[0].estimate is not None:
            return _as_they_came(faces)
        return self.recognizer(np.stack([face.pixels for face in faces]))

    def follow(self, faces: Sequence[Face], memory: Memory | None) -> tuple[Estimates, Memory | None]:
        """Estimates of one person's faces, of one kind and in order, and the memory after them; `memory` is as in
        `Recognizer.follow`."""
        if faces[0].estimate is not None:
            return _as_they_came(faces), memory
        pixels = np.stack([face.pixels for face in faces])
        return self.recognizer.follow(pixels, [face.time_s for face in faces], memory)

    def follow_people(
        self, faces: Sequence[Face], memories: Sequence[Memory | None]
    ) -> tuple[Estimates, list[Memory | None]]:
        """Estimates of one face each of several people, of one kind, and the memories after them."""
        if faces[0].estimate is not None:
            return _as_they_came(faces), [*memories]
        pixels = np.stack([face.pixels for face in faces])
        return self.recognizer.follow_people(pixels, [face.time_s for face in faces], memories)


def _as_they_came(faces: Sequence[Face]) -> Estimates:
    columns = np.array([face.estimate for face in faces], np.float32).T
    return Estimates(*columns)
