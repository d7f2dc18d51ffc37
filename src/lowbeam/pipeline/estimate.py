"""Estimates batches of faces, with the memory of each person."""

from collections.abc import Hashable, Iterable, Iterator
from itertools import repeat

from lowbeam.estimator import Estimator
from lowbeam.face import Expressions, Face
from lowbeam.faces import FrameFaces
from lowbeam.recognize import Estimates, Memory
from lowbeam.trace import Estimate

BATCH = 32  # faces per run of the recognizer, for a file
OVERLAY_BATCH = 8  # with an overlay, whose frames are kept in memory for a batch
LIVE_BATCH = 1  # for a live source, so that no face waits for another
FORGET_S = 300.0  # after which the memory of an absent person is deleted
MAX_WAITING = 128  # most frames that wait for a batch to fill


def estimates_of(
    frames: Iterable[FrameFaces], estimator: Estimator, batch: int, keep_frames: bool
) -> Iterator[tuple[FrameFaces, list[Estimate]]]:
    """Each of `frames` with the estimates of its faces, in batches of about `batch` faces. Pictures are released early
    unless `keep_frames` is set."""
    people: dict[Hashable, Memory] = {}
    waiting: list[FrameFaces] = []
    count = 0
    for frame in frames:
        waiting.append(frame if keep_frames else FrameFaces(frame.time_s, frame.faces))
        count += len(frame.faces)
        if count >= batch or len(waiting) >= (batch if keep_frames else MAX_WAITING):
            yield from _of_batch(waiting, estimator, people)
            waiting, count = [], 0
    yield from _of_batch(waiting, estimator, people)


def _of_batch(
    frames: list[FrameFaces], estimator: Estimator, people: dict[Hashable, Memory]
) -> Iterator[tuple[FrameFaces, list[Estimate]]]:
    """Estimate the faces of `frames`; `people` maps people to memories and is updated."""
    faces = [face for frame in frames for face in frame.faces]
    found: dict[int, Estimate] = {}  # by the index of the face
    for run in _runs(faces, estimator):
        alike = [faces[i] for i in run]
        first, person = alike[0], estimator.person(alike[0])
        memory = people.get(person)
        if estimator.remembers(first) and (memory is None or first.time_s > memory.time_s):
            read, memory = estimator.follow(alike, memory)
            if memory is not None:
                people[person] = memory
        else:  # nothing is remembered, or a time does not increase
            read = estimator.each(alike)
        columns = (read.valence, read.arousal, read.valence_std, read.arousal_std)
        rows = zip(*(c.tolist() for c in columns), strict=True)
        for i, (v, a, v_std, a_std), known in zip(run, rows, _expressions(read), strict=True):
            face, box = faces[i], faces[i].box
            estimate = Estimate(face.time_s, face.id, v, a, v_std, a_std, box.x, box.y, box.side)
            found[i] = estimate if known is None else estimate.with_expressions(known)
    if faces:
        for gone in [p for p, memory in people.items() if memory.time_s < faces[-1].time_s - FORGET_S]:
            del people[gone]
    left = (found[index] for index in range(len(faces)))
    for frame in frames:
        yield frame, [next(left) for _ in frame.faces]


def _expressions(read: Estimates) -> Iterable[Expressions | None]:
    """The expressions of each face; None where they are unknown."""
    if read.expressions is None:
        return repeat(None, len(read))
    return (Expressions(*row) for row in read.expressions.tolist())


def _runs(faces: list[Face], estimator: Estimator) -> list[list[int]]:
    """Indices of faces that are estimated together: those of one kind, and where faces before are of use, those of one
    person at increasing times."""
    runs: list[list[int]] = []
    latest: dict[Hashable, list[int]] = {}  # by person, or by kind
    for index, face in enumerate(faces):
        by_person, kind = estimator.remembers(face), estimator.kind(face)
        key = estimator.person(face) if by_person else kind
        run = latest.get(key)
        last = None if run is None else faces[run[-1]]
        alike = last is not None and estimator.kind(last) == kind
        if run is not None and last is not None and alike and (not by_person or face.time_s > last.time_s):
            run.append(index)
        else:
            latest[key] = [index]
            runs.append(latest[key])
    return runs
