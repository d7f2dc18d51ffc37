"""Fuses the layers of a face stream: estimates of the lean layer, with those of what came in the rich one."""

from collections.abc import Iterable, Iterator
from dataclasses import replace

from lowbeam.estimator import NEAR_S, fuse, richness
from lowbeam.face import FaceEstimate
from lowbeam.faces import FrameFaces
from lowbeam.trace import Estimate

FORGET_S = 60.0  # after which a person who is absent is forgotten


def fused(
    seen: Iterable[tuple[FrameFaces, list[Estimate]]],
) -> Iterator[tuple[FrameFaces, list[Estimate]]]:
    """Each frame with its estimates, where those of the rich layer are fused with the lean layer's estimate of the same
    person that is `NEAR_S` old at most."""
    told: dict[int, tuple[float, FaceEstimate]] = {}  # by person: time and estimate of the lean layer
    richest = 1
    for frame, estimates in seen:
        richest = max([richest, *map(richness, frame.faces)])
        for face, estimate in zip(frame.faces, estimates, strict=True):
            if richness(face) < richest:
                told[face.id] = face.time_s, FaceEstimate(*estimate[2:6])
        yield _of_frame(frame, estimates, told, richest) if told else (frame, estimates)
        for gone in [person for person, (time_s, _) in told.items() if frame.time_s - time_s > FORGET_S]:
            del told[gone]


def _of_frame(
    frame: FrameFaces, estimates: list[Estimate], told: dict[int, tuple[float, FaceEstimate]], richest: int
) -> tuple[FrameFaces, list[Estimate]]:
    """The faces of a frame, each once, with fused estimates."""
    rich = {face.id for face in frame.faces if richness(face) == richest}
    pairs = []
    for face, estimate in zip(frame.faces, estimates, strict=True):
        is_lean = richness(face) < richest
        if is_lean and face.id in rich:
            continue
        is_told = not is_lean and face.id in told and face.time_s - told[face.id][0] <= NEAR_S
        pairs.append((face, _together(estimate, told[face.id][1]) if is_told else estimate))
    return replace(frame, faces=[face for face, _ in pairs]), [estimate for _, estimate in pairs]


def _together(estimate: Estimate, other: FaceEstimate) -> Estimate:
    own = FaceEstimate(estimate.valence, estimate.arousal, estimate.valence_std, estimate.arousal_std)
    return estimate._replace(**fuse(own, other)._asdict())
