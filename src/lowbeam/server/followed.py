"""What is remembered of the people in one recording: of their final faces, and of those that are shown beyond them."""

import io
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np

from lowbeam.errors import reason
from lowbeam.face import Face
from lowbeam.recognize import Memory

MAX_PEOPLE = 64  # that are remembered of one recording

Memories = dict[int, Memory]  # by `_key`

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Arrival:
    """A face with its `number` in the recording, and its `place` in a packet of several; whether it is final, and when
    it arrived (Unix time)."""

    number: int
    face: Face = field(repr=False)
    is_final: bool
    arrived_utc: float
    place: int = 0


class Followed:
    """The memory of each person in a recording. `saved` is what `save` returned before the server was restarted, maybe
    with another version or model: nothing is then remembered."""

    def __init__(self, saved: bytes = b"") -> None:
        self._final = _loaded(saved)
        self._live: Memories | None = None  # None: as the final ones
        self._taken: set[int] = set()  # final faces that are not settled

    def new(self, arrivals: Sequence[Arrival]) -> list[Arrival]:
        """Those of `arrivals` that were not final before: a sender that connects again may send some twice."""
        found = [one for one in arrivals if one.number not in self._taken]
        self._taken.update(one.number for one in found if one.is_final)
        return found

    def settle(self, number: int) -> None:
        """The faces before `number` will not come again."""
        self._taken = {one for one in self._taken if one >= number}

    def fit(self, fits: Callable[[Memory], bool]) -> None:
        """Forget what another model remembered, which does not fit."""
        self._final = {face: memory for face, memory in self._final.items() if fits(memory)}

    def memory(self, arrival: Arrival) -> Memory | None:
        """What is remembered of the person before this face; None of a person who is new."""
        if not arrival.is_final and self._live is None:
            self._live = dict(self._final)
        return self._memories(arrival).get(_key(arrival.face))

    def learn(self, arrival: Arrival, memory: Memory | None) -> None:
        """Remember a person as of this face; `memory` is None where it changes nothing."""
        face, memories = arrival.face, self._memories(arrival)
        if memory is not None:
            memories[_key(face)] = memory
            if len(memories) > MAX_PEOPLE:
                del memories[min(memories, key=lambda key: memories[key].time_s)]
        if arrival.is_final and self._live is not None and _time(self._live, _key(face)) <= face.time_s:
            self._live = None  # all that was shown is final

    def _memories(self, arrival: Arrival) -> Memories:
        return self._final if arrival.is_final or self._live is None else self._live

    def save(self) -> bytes:
        """The memory of the final faces, as the store keeps it."""
        if not self._final:
            return b""
        shape = next(iter(self._final.values())).state.shape
        kind = np.dtype([("face", "<i8"), ("time_s", "<f8"), ("state", "<f4", shape)])
        people = np.array([(face, memory.time_s, memory.state) for face, memory in self._final.items()], kind)
        file = io.BytesIO()
        np.save(file, people)
        return file.getvalue()


def _key(face: Face) -> int:
    """Who remembers a face: another number where latents came, as another network remembers those."""
    return face.id if face.latents is None else ~face.id


def _time(memories: Memories, key: int) -> float:
    return memories[key].time_s if key in memories else -np.inf


def _loaded(saved: bytes) -> Memories:
    if not saved:
        return {}
    try:
        people = np.lib.format.read_array(io.BytesIO(saved), allow_pickle=False)
        return {int(one["face"]): Memory(one["state"].copy(), float(one["time_s"])) for one in people}
    except (ValueError, IndexError) as error:
        log.warning("what is remembered of a recording cannot be read: %s", reason(error))
        return {}
