"""Estimates of the faces that came of several recordings, together."""

import logging
from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from typing import NamedTuple

from lowbeam.estimator import Estimator
from lowbeam.face import Face
from lowbeam.recognize import Estimates, Memory
from lowbeam.server.face_png import face_png
from lowbeam.server.followed import Arrival, Followed
from lowbeam.server.store import Row
from lowbeam.trace import Estimate

log = logging.getLogger(__name__)


class Seen(NamedTuple):
    """A row for the store, and the face that it was made of."""

    row: Row
    face: Face


def estimate_together(
    estimator: Estimator, parts: Sequence[tuple[Followed, Sequence[Arrival]]], keep_faces: bool = False
) -> list[list[Seen] | None]:
    """Estimate the faces of several recordings: the first of each in one run of the network, then the second of each,
    and so on. Returns the rows of each recording in order, with pictures if `keep_faces`; None where a face of the
    recording cannot be estimated, which does not disturb the others."""
    for followed, _ in parts:
        followed.fit(estimator.fits)
    found: list[list[Seen] | None] = [[] for _ in parts]
    for turn in zip_longest(*(arrivals for _, arrivals in parts)):
        jobs = [
            _Job(rows, parts[number][0], arrival, parts[number][0].memory(arrival))
            for number, (rows, arrival) in enumerate(zip(found, turn, strict=True))
            if rows is not None and arrival is not None
        ]
        failed = [job.rows for group in _groups(estimator, jobs) for job in _estimate(estimator, group, keep_faces)]
        found = [None if any(rows is one for one in failed) else rows for rows in found]
    return found


@dataclass(frozen=True)
class _Job:
    """A face with the memory of its person, and where its row goes."""

    rows: list[Seen]
    followed: Followed
    arrival: Arrival
    memory: Memory | None

    @property
    def goes_on(self) -> bool:
        """Whether the face is later than what is remembered of its person; one that is not is estimated by itself."""
        return self.memory is None or self.arrival.face.time_s > self.memory.time_s


def _groups(estimator: Estimator, jobs: Sequence[_Job]) -> Iterable[list[_Job]]:
    """The jobs that can share a run of the network."""
    groups: dict[tuple[Hashable, bool], list[_Job]] = {}
    for job in jobs:
        groups.setdefault((estimator.kind(job.arrival.face), job.goes_on), []).append(job)
    return groups.values()


def _estimate(estimator: Estimator, jobs: Sequence[_Job], keep_faces: bool) -> list[_Job]:
    """Estimate all in one run; returns those that cannot be estimated."""
    try:
        faces = [job.arrival.face for job in jobs]
        if jobs[0].goes_on:
            read, memories = estimator.follow_people(faces, [job.memory for job in jobs])
        else:
            read, memories = estimator.each(faces), [None] * len(jobs)
        rows = [_row(job.arrival, read, place, keep_faces) for place, job in enumerate(jobs)]
    except Exception:  # a defect
        if len(jobs) > 1:
            return [failed for job in jobs for failed in _estimate(estimator, [job], keep_faces)]
        log.exception("a face cannot be estimated")
        return [*jobs]
    for job, row, memory in zip(jobs, rows, memories, strict=True):
        job.followed.learn(job.arrival, memory)
        job.rows.append(Seen(row, job.arrival.face))
    return []


def _row(arrival: Arrival, read: Estimates, place: int, keep_faces: bool) -> Row:
    face = arrival.face
    valence, arousal = float(read.valence[place]), float(read.arousal[place])
    stds = float(read.valence_std[place]), float(read.arousal_std[place])
    estimate = Estimate(face.time_s, face.id, valence, arousal, *stds, face.box.x, face.box.y, face.box.side)
    picture = face_png(face.pixels) if keep_faces and face.pixels.size else None
    return Row(arrival.number, estimate, arrival.arrived_utc, arrival.is_final, picture, arrival.place)
