"""Runs the recognizer on batches of faces, with the memory of each person."""

from collections.abc import Iterable, Iterator

import numpy as np

from lowbeam.face import Face
from lowbeam.faces import FrameFaces
from lowbeam.recognize import Memory, Recognizer
from lowbeam.trace import Estimate

BATCH = 32  # faces per run of the recognizer, for a file
OVERLAY_BATCH = 8  # with an overlay, whose frames are kept in memory for a batch
LIVE_BATCH = 1  # for a live source, so that no face waits for another
FORGET_S = 300.0  # after which the memory of an absent person is deleted
MAX_WAITING = 128  # most frames that wait for a batch to fill


def estimates_of(
    frames: Iterable[FrameFaces], recognizer: Recognizer, batch: int, keep_frames: bool
) -> Iterator[tuple[FrameFaces, list[Estimate]]]:
    """Each of `frames` with the estimates of its faces, in batches of about `batch` faces. Pictures are released early
    unless `keep_frames` is set."""
    people: dict[int, Memory] = {}
    waiting: list[FrameFaces] = []
    count = 0
    for frame in frames:
        waiting.append(frame if keep_frames else FrameFaces(frame.time_s, frame.faces))
        count += len(frame.faces)
        if count >= batch or len(waiting) >= (batch if keep_frames else MAX_WAITING):
            yield from _of_batch(waiting, recognizer, people)
            waiting, count = [], 0
    yield from _of_batch(waiting, recognizer, people)


def _of_batch(
    frames: list[FrameFaces], recognizer: Recognizer, people: dict[int, Memory]
) -> Iterator[tuple[FrameFaces, list[Estimate]]]:
    """Estimate the faces of `frames`; `people` maps face ids to memories and is updated."""
    faces = [face for frame in frames for face in frame.faces]
    found: dict[int, Estimate] = {}  # by the index of the face
    for run in _runs(faces, by_person=recognizer.remembers):
        first = faces[run[0]]
        pixels, memory = np.stack([faces[i].pixels for i in run]), people.get(first.id)
        if recognizer.remembers and (memory is None or first.time_s > memory.time_s):
            read, memory = recognizer.follow(pixels, [faces[i].time_s for i in run], memory)
            if memory is not None:
                people[first.id] = memory
        else:  # a model without memory, or a time that does not increase
            read = recognizer(pixels)
        columns = (read.valence, read.arousal, read.valence_std, read.arousal_std)
        for i, (v, a, v_std, a_std) in zip(run, zip(*(c.tolist() for c in columns), strict=True), strict=True):
            face, box = faces[i], faces[i].box
            found[i] = Estimate(face.time_s, face.id, v, a, v_std, a_std, box.x, box.y, box.side)
    if faces:
        for person in [p for p, memory in people.items() if memory.time_s < faces[-1].time_s - FORGET_S]:
            del people[person]
    left = (found[index] for index in range(len(faces)))
    for frame in frames:
        yield frame, [next(left) for _ in frame.faces]


def _runs(faces: list[Face], by_person: bool) -> list[list[int]]:
    """Indices of faces that are estimated together: those with the same side, and with `by_person` those of one person
    at increasing times."""
    runs: list[list[int]] = []
    latest: dict[int, list[int]] = {}  # by person, or by side
    for index, face in enumerate(faces):
        key = face.id if by_person else len(face.pixels)
        run = latest.get(key)
        last = None if run is None else faces[run[-1]]
        alike = last is not None and len(last.pixels) == len(face.pixels)
        if run is not None and last is not None and alike and (not by_person or face.time_s > last.time_s):
            run.append(index)
        else:
            latest[key] = [index]
            runs.append(latest[key])
    return runs
