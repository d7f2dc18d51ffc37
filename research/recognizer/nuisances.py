"""Who is served how well: error and bias of recognizers on rendered people, of whom one thing is changed at a time."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lowbeam.corpora.labelled import Affect
from lowbeam.corpora.rendered.camera import Camera, photograph, room
from lowbeam.corpora.rendered.expressions import Style
from lowbeam.corpora.rendered.face_model import FaceModel, load_face_model
from lowbeam.corpora.rendered.feelings import feel
from lowbeam.corpora.rendered.looks import Looks, random_looks
from lowbeam.corpora.rendered.motion import blink_and_look, talk
from lowbeam.corpora.rendered.person import Person, Pose, head_point
from lowbeam.corpora.rendered.talker import FACE_CENTRE, FACE_SIDE_CM, HEAD_AT, PIXELS_PER_CM, needed_expressions
from lowbeam.evaluate.curve.systems import System, reader_of
from lowbeam.face import Box, Grey
from lowbeam.faces import crop
from lowbeam.metrics import AFFECT_NAMES, ccc, rmse
from lowbeam.progress import Progress
from lowbeam.scale import Faces, shrink

SEED, SIZE, FPS = 4017, 192, 1.0  # of nobody in a rendered corpus; frames a second of what is felt
MIDDLE_SKIN = 0.28  # albedo
HIDING = 110  # grey level of a mask

Change = Callable[[Grey, Box], Grey]


@dataclass(frozen=True)
class Condition:
    """One nuisance at one `level`: how it changes a person's looks, and the pose, light, exposure and motion of every
    frame; `angles_deg` are added to yaw, pitch and roll, on the other side for every second person."""

    nuisance: str
    level: str
    looks: Callable[[Looks], Looks] = lambda looks: looks
    angles_deg: tuple[float, float, float] = (0.0, 0.0, 0.0)
    light: tuple[float, float, float] = (-0.3, 0.4, 0.9)
    gain: float = 1.0
    moved: tuple[float, float] = (0.0, 0.0)
    camera: Camera = field(default_factory=lambda: Camera(0.2, 1.0))
    change: Change | None = None


def _toned(skin: float) -> Callable[[Looks], Looks]:
    """The same person with another skin; lips and brows keep their contrast with it."""

    def change(looks: Looks) -> Looks:
        ratio = skin / looks.skin[0]
        return replace(looks, skin=(skin,), lips=(looks.lips[0] * ratio,), brow=(min(looks.brow[0], 0.9 * skin),))

    return change


def _covered(picture: Grey, box: Box) -> Grey:
    """The picture with a grey rectangle, as a mask, over nose and mouth."""
    hidden = picture.copy()
    rows = slice(round(box.y + 0.55 * box.side), round(box.y + 0.98 * box.side))
    hidden[rows, max(0, round(box.x + 0.2 * box.side)) : round(box.x + 0.8 * box.side)] = HIDING
    return hidden


BASE = Condition("none", "frontal, middle skin, soft light from above")
CONDITIONS = (
    BASE,
    *(Condition("skin", f"albedo {skin:g}", looks=_toned(skin)) for skin in (0.09, 0.18, 0.5)),
    *(Condition("turned", f"{angle}°", angles_deg=(angle, 0, 0)) for angle in (15, 30, 45)),
    *(Condition("nodding", way, angles_deg=(0, angle, 0)) for way, angle in (("20° down", 20), ("20° up", -20))),
    *(Condition("tilted", f"{angle}°", angles_deg=(0, 0, angle)) for angle in (15, 30)),
    *(Condition("light", f"from {way}", light=light) for way, light in (
        ("the side", (-1.0, 0.1, 0.2)), ("above", (0.0, 1.0, 0.2)), ("below", (0.0, -0.9, 0.4)),
    )),
    *(Condition("exposure", f"{gain:g} times the light", gain=gain) for gain in (0.06, 0.2, 2.5)),
    Condition("glasses", "on", looks=lambda looks: replace(looks, glasses=2.2)),
    Condition("beard", "stubble", looks=lambda looks: replace(looks, stubble=0.6)),
    Condition("mask", "over nose and mouth", change=_covered),
    Condition("blur", "8 px of motion", moved=(16.0, 0.0)),
    Condition("noise", "10 grey levels", camera=Camera(0.2, 10.0)),
)  # fmt: skip


def measure_nuisances(
    face_model: Path, systems: list[System], scales: tuple[int, ...], *, people: int = 16, frames: int = 40,
    progress: Progress | None = None,
) -> dict[str, Any]:  # fmt: skip
    """Estimates of `people` in `frames` moments each, the same in every one of `CONDITIONS`, cropped with their true
    boxes.

    Returns ``{"people", "frames", "systems", "rows"}``; a row has nuisance, level, scale and, by system, for valence
    and arousal the CCC, the RMSE, and the bias: the mean error. Raises `CorpusError` or `ModelError`.
    """
    model = load_face_model(face_model, needed_expressions())
    readers = {system.name: reader_of(system) for system in systems}
    rows = []
    for number, condition in enumerate(CONDITIONS):
        shown = [_faces(model, condition, person, frames) for person in range(people)]
        faces: Faces = np.concatenate([face for face, _ in shown])
        truth = np.concatenate([affect for _, affect in shown])
        for scale in scales:
            found = {name: _errors(read(shrink(faces, scale), scale)[0], truth) for name, read in readers.items()}
            rows.append({"nuisance": condition.nuisance, "level": condition.level, "scale": scale, "scores": found})
        if progress is not None:
            progress(number + 1, len(CONDITIONS))
    return {
        "people": people, "frames": frames, "systems": {system.name: system.model for system in systems}, "rows": rows,
    }  # fmt: skip


def _errors(affect: Affect, truth: Affect) -> dict[str, dict[str, float]]:
    return {
        name: {
            "ccc": ccc(affect[:, i], truth[:, i]), "rmse": rmse(affect[:, i], truth[:, i]),
            "bias": float((affect[:, i] - truth[:, i]).mean()),
        }
        for i, name in enumerate(AFFECT_NAMES)
    }  # fmt: skip


def _faces(model: FaceModel, condition: Condition, person: int, frames: int) -> tuple[Faces, Affect]:
    """The faces of a person, uint8 (frames, 96, 96), and what they show, (frames, 2)."""
    affect, pictures = _acted(model, condition, person, frames)
    return np.stack([crop(picture, box) for picture, box in pictures]), affect.astype(np.float32)


def _acted(
    model: FaceModel, condition: Condition, person: int, frames: int
) -> tuple[NDArray[np.float64], Iterator[tuple[Grey, Box]]]:
    looks_rng, act_rng, rng = (np.random.default_rng(s) for s in np.random.SeedSequence([SEED, person]).spawn(3))
    looks = replace(_toned(MIDDLE_SKIN)(random_looks(looks_rng)), glasses=0.0, stubble=0.0)
    actor, background = Person(model, condition.looks(looks)), room(SIZE, looks_rng)
    affect = feel(frames, FPS, act_rng)
    weights = Style(act_rng).show(affect, FPS)
    talk(weights, frames, FPS, act_rng)
    blink_and_look(weights, frames, FPS, act_rng)
    side = 1 if person % 2 == 0 else -1
    yaw, pitch, roll = condition.angles_deg
    across, up, near = condition.light
    pixels_per_cm = SIZE * PIXELS_PER_CM

    def pictures() -> Iterator[tuple[Grey, Box]]:
        for index in range(frames):
            expression = {name: float(weight[index]) for name, weight in weights.items()}
            pose = Pose(expression, side * yaw, pitch, side * roll, HEAD_AT, (side * across, up, near))
            x, y, zoom = head_point(FACE_CENTRE, pose, pixels_per_cm)
            box = Box.around(SIZE / 2 + x, SIZE / 2 + y, FACE_SIDE_CM * zoom)
            scene = actor.render(pose, background, pixels_per_cm)
            picture = photograph(scene, condition.camera, condition.gain, condition.moved, rng)
            yield (picture if condition.change is None else condition.change(picture, box)), box

    return affect, pictures()
