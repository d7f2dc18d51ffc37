"""The estimator: estimates of faces of every kind, by what was received of them.

Pixels are estimated by the recognizer, latents by the network that belongs to them; the estimates that a camera made
itself are taken as they are.
"""

import os
from collections.abc import Hashable, Sequence
from functools import cached_property

import numpy as np

from lowbeam.face import Face, FaceEstimate, Latents
from lowbeam.latent_reader import LatentReader
from lowbeam.recognize import DEFAULT_MODEL, Estimates, Memory, Recognizer

NEAR_S = 0.25  # seconds for which an estimate of one layer counts beside that of another
LEAST_STD = 1e-6  # a smaller deviation counts as this one


def richness(face: Face) -> int:
    """How much came of a face: 0 for an estimate, 1 for latents, 2 for pixels."""
    return 0 if face.estimate is not None else 1 if face.latents is not None else 2


def fuse(one: FaceEstimate, other: FaceEstimate) -> FaceEstimate:
    """The mean of two estimates of the same face, weighted by the inverse of their variances. Both see the same face
    and err alike, so that the deviation is the smaller one of both."""
    valence, valence_std = _mean((one.valence, one.valence_std), (other.valence, other.valence_std))
    arousal, arousal_std = _mean((one.arousal, one.arousal_std), (other.arousal, other.arousal_std))
    return FaceEstimate(valence, arousal, valence_std, arousal_std)


def _mean(one: tuple[float, float], other: tuple[float, float]) -> tuple[float, float]:
    weights = max(one[1], LEAST_STD) ** -2, max(other[1], LEAST_STD) ** -2
    return (weights[0] * one[0] + weights[1] * other[0]) / sum(weights), min(one[1], other[1])


class Estimator:
    """Estimates faces. `recognizer` may be shared; without it `model` is loaded, with `threads` cores and, if wanted,
    `expressions`, which only pixels have (a shared recognizer has them or not). Raises `ModelError` or `UsageError`."""

    def __init__(
        self, model: str | os.PathLike[str] = DEFAULT_MODEL, threads: int = 1, recognizer: Recognizer | None = None, *,
        expressions: bool = False,
    ) -> None:  # fmt: skip
        self.recognizer = Recognizer(model, threads, expressions=expressions) if recognizer is None else recognizer
        self._threads = threads

    @cached_property
    def _latents(self) -> LatentReader:
        return LatentReader(self._threads)

    def kind(self, face: Face) -> Hashable:
        """Faces of the same kind can be estimated together."""
        if face.estimate is not None:
            return "estimate"
        return "latents" if face.latents is not None else len(face.pixels)

    def remembers(self, face: Face) -> bool:
        """Whether the faces before `face` of the same person are of use."""
        return face.estimate is None and (face.latents is not None or self.recognizer.remembers)

    def person(self, face: Face) -> Hashable:
        """Who remembers `face`: each person twice, as pixels and latents are remembered by networks of their own."""
        return face.id, face.latents is not None

    def fits(self, memory: Memory) -> bool:
        """Whether a memory, maybe of another version or model, can be used."""
        return memory.state.shape in (self.recognizer.memory_shape, self._latents.memory_shape)

    def each(self, faces: Sequence[Face]) -> Estimates:
        """Estimates of faces of one kind, each by itself."""
        if estimates := _told(faces):
            return _as_they_came(estimates)
        if latents := _latents_of(faces):
            return self._latents.each(latents)
        return self.recognizer(np.stack([face.pixels for face in faces]))

    def follow(self, faces: Sequence[Face], memory: Memory | None) -> tuple[Estimates, Memory | None]:
        """Estimates of one person's faces, of one kind and in order, and the memory after them; `memory` is as in
        `Recognizer.follow`. One that other kinds of faces left is of no use."""
        times_s = [face.time_s for face in faces]
        if estimates := _told(faces):
            return _as_they_came(estimates), memory
        if latents := _latents_of(faces):
            return self._latents.follow(latents, times_s, _of_shape(memory, self._latents.memory_shape))
        memory = _of_shape(memory, self.recognizer.memory_shape)
        return self.recognizer.follow(np.stack([face.pixels for face in faces]), times_s, memory)

    def follow_people(
        self, faces: Sequence[Face], memories: Sequence[Memory | None]
    ) -> tuple[Estimates, list[Memory | None]]:
        """Estimates of one face each of several people, of one kind, and the memories after them."""
        times_s = [face.time_s for face in faces]
        if estimates := _told(faces):
            return _as_they_came(estimates), [*memories]
        if latents := _latents_of(faces):
            known = [_of_shape(memory, self._latents.memory_shape) for memory in memories]
            read, after = self._latents.follow_people(latents, times_s, known)
            return read, [*after]
        known = [_of_shape(memory, self.recognizer.memory_shape) for memory in memories]
        return self.recognizer.follow_people(np.stack([face.pixels for face in faces]), times_s, known)


def _told(faces: Sequence[Face]) -> list[FaceEstimate]:
    """The estimates that came with the faces; none unless they are of that kind."""
    return [face.estimate for face in faces if face.estimate is not None]


def _latents_of(faces: Sequence[Face]) -> list[Latents]:
    return [face.latents for face in faces if face.latents is not None]


def _of_shape(memory: Memory | None, shape: tuple[int, ...]) -> Memory | None:
    return memory if memory is not None and memory.state.shape == shape else None


def _as_they_came(estimates: Sequence[FaceEstimate]) -> Estimates:
    return Estimates(*np.array(estimates, np.float32).T)
