"""Estimates of one recording as its faces come: those that are final, and those that are shown at once."""

import io
from collections.abc import Sequence

import numpy as np

from lowbeam.face import Face, Grey
from lowbeam.recognize import Memory, Recognizer
from lowbeam.server.face_png import face_png
from lowbeam.server.store import Row
from lowbeam.trace import Estimate

MAX_PEOPLE = 64  # that are remembered of one recording

Memories = dict[int, Memory]


class Followed:
    """The memory of each person in a recording, of the final faces and of those that were shown beyond them.

    `saved` is what `save` returned before the server was restarted. Not for use from two threads at a time.
    """

    def __init__(self, saved: bytes = b"", keep_faces: bool = False) -> None:
        self._final = _loaded(saved)
        self._live: Memories | None = None  # None: as the final ones
        self._keep_faces = keep_faces

    def estimate(
        self, recognizer: Recognizer, faces: Sequence[tuple[int, Face, bool, float]]
    ) -> list[tuple[Row, Grey]]:
        """Rows of `faces`, each its number, the face, whether it is final, and when it arrived (Unix time)."""
        return [(self._row(recognizer, *one), one[1].pixels) for one in faces]

    def _row(self, recognizer: Recognizer, number: int, face: Face, is_final: bool, arrived_utc: float) -> Row:
        if not is_final and self._live is None:
            self._live = dict(self._final)
        memories = self._final if is_final or self._live is None else self._live
        found = _estimate(recognizer, face, memories)
        if is_final and self._live is not None and _time(self._live, face.id) <= face.time_s:
            self._live = None  # all that was shown is final
        return Row(number, found, arrived_utc, is_final, face_png(face.pixels) if self._keep_faces else None)

    def save(self) -> bytes:
        """The memory of the final faces, as the store keeps it."""
        if not self._final:
            return b""
        arrays = {f"{face}": memory.state for face, memory in self._final.items()}
        times = {f"t{face}": np.float64(memory.time_s) for face, memory in self._final.items()}
        file = io.BytesIO()
        np.savez(file, **arrays, **times)  # type: ignore[arg-type]  # names are those of arrays
        return file.getvalue()


def _estimate(recognizer: Recognizer, face: Face, memories: Memories) -> Estimate:
    memory = memories.get(face.id)
    if memory is None or face.time_s > memory.time_s:
        read, now = recognizer.follow(face.pixels[None], [face.time_s], memory)
        if now is not None:
            memories[face.id] = now
            if len(memories) > MAX_PEOPLE:
                del memories[min(memories, key=lambda key: memories[key].time_s)]
    else:
        read = recognizer(face.pixels[None])
    valence, arousal = float(read.valence[0]), float(read.arousal[0])
    stds, box = (float(read.valence_std[0]), float(read.arousal_std[0])), face.box
    return Estimate(face.time_s, face.id, valence, arousal, *stds, box.x, box.y, box.side)


def _time(memories: Memories, face: int) -> float:
    return memories[face].time_s if face in memories else -np.inf


def _loaded(saved: bytes) -> Memories:
    if not saved:
        return {}
    with np.load(io.BytesIO(saved)) as arrays:
        return {
            int(name): Memory(arrays[name], float(arrays[f"t{name}"])) for name in arrays.files if name.isdigit()
        }  # fmt: skip
