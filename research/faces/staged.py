"""Rendered people in conditions that are hard for a face finder, with the true face box of every frame (the `render`
extra)."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from lowbeam.corpora.rendered.camera import photograph, random_camera, room
from lowbeam.corpora.rendered.expressions import Style
from lowbeam.corpora.rendered.face_model import FaceModel
from lowbeam.corpora.rendered.feelings import feel
from lowbeam.corpora.rendered.looks import random_looks
from lowbeam.corpora.rendered.motion import blink_and_look, move_head, talk
from lowbeam.corpora.rendered.person import CAMERA_DISTANCE, Person, Pose, head_point
from lowbeam.corpora.rendered.talker import FACE_CENTRE, FACE_SIDE_CM, HEAD_AT, Shot
from lowbeam.face import Box, Grey

SIZE = (640, 360)  # pixels
FPS = 25.0
SEED = 3
CALM = 0.4  # share of the head motion of rendered corpora
DASH_CM, DASH_HZ = 8.0, 1.5  # amplitude and frequency of fast motion: up to 75 cm/s
BAR = 110  # grey level of what hides a face

Change = Callable[[Grey, Box, np.random.Generator], Grey]


@dataclass(frozen=True)
class Condition:
    """How a face is shown: turned and tilted by angles in degrees, `face_px` high, `fast` or calm; `change` alters the
    finished picture."""

    name: str
    turned_deg: float = 0.0
    tilted_deg: float = 0.0
    face_px: float = 120.0
    is_fast: bool = False
    change: Change | None = None


def _dark(picture: Grey, box: Box, rng: np.random.Generator) -> Grey:
    noise = 4 * rng.standard_normal(picture.shape, np.float32)
    dark: Grey = np.clip(np.rint(0.25 * picture + noise), 0, 255).astype(np.uint8)
    return dark


def _hidden(left: float, top: float, right: float, bottom: float) -> Change:
    """A grey bar over a part of the face, in sides of its box from the upper left corner."""

    def change(picture: Grey, box: Box, rng: np.random.Generator) -> Grey:
        hidden = picture.copy()
        columns = slice(max(0, round(box.x + left * box.side)), round(box.x + right * box.side))
        hidden[max(0, round(box.y + top * box.side)) : round(box.y + bottom * box.side), columns] = BAR
        return hidden

    return change


CONDITIONS = (
    Condition("frontal"),
    *(Condition(f"turned by {angle}°", turned_deg=angle) for angle in (15, 30, 45, 60)),
    *(Condition(f"tilted by {angle}°", tilted_deg=angle) for angle in (15, 30, 45)),
    Condition("dark: a quarter of the light", change=_dark),
    *(Condition(f"small: {side} px", face_px=side) for side in (40, 30, 20)),
    Condition("lower third hidden", change=_hidden(-0.2, 0.67, 1.2, 1.1)),
    Condition("left half hidden", change=_hidden(-0.2, -0.1, 0.5, 1.1)),
    Condition("fast: up to 75 cm/s", is_fast=True),
)  # fmt: skip


def staged(model: FaceModel, condition: Condition, person: int, seconds: float) -> Iterator[Shot]:
    """The frames of a talking person, grey uint8 (360, 640), at 25 a second. The same `person` (from 0) looks and acts
    the same in every condition; those with odd numbers turn and tilt to the other side."""
    looks_rng, act_rng, rng = (np.random.default_rng(s) for s in np.random.SeedSequence([SEED, person]).spawn(3))
    count, (width, height) = max(3, round(seconds * FPS)), SIZE
    actor, camera = Person(model, random_looks(looks_rng)), random_camera(looks_rng)
    edge = (width - height) // 2
    background = room(width, looks_rng)[edge : edge + height]
    weights = Style(act_rng).show(feel(count, FPS, act_rng), FPS)
    talk(weights, count, FPS, act_rng)
    blink_and_look(weights, count, FPS, act_rng)
    motion, side = move_head(count, FPS, act_rng), 1 if person % 2 == 0 else -1
    calm = CALM * (motion.angles_deg - motion.angles_deg.mean(0))
    angles = calm + np.array([side * condition.turned_deg, 0.0, side * condition.tilted_deg])
    shift = motion.shift - motion.shift.mean(0) + HEAD_AT
    if condition.is_fast:
        shift[:, 0] += DASH_CM * np.sin(2 * np.pi * DASH_HZ * np.arange(count) / FPS)
    pixels_per_cm = condition.face_px / FACE_SIDE_CM * (CAMERA_DISTANCE - FACE_CENTRE[2]) / CAMERA_DISTANCE
    before: tuple[float, float] | None = None
    for index in range(count):
        yaw, pitch, roll = angles[index].tolist()
        expression = {name: float(weight[index]) for name, weight in weights.items()}
        across, up, near = shift[index].tolist()
        pose = Pose(expression, yaw, pitch, roll, (across, up, near))
        x, y, zoom = head_point(FACE_CENTRE, pose, pixels_per_cm)
        moved = (0.0, 0.0) if before is None else (x - before[0], y - before[1])
        before = (x, y)
        box = Box.around(width / 2 + x, height / 2 + y, FACE_SIDE_CM * zoom)
        picture = photograph(actor.render(pose, background, pixels_per_cm), camera, 1.0, moved, rng)
        yield Shot(picture if condition.change is None else condition.change(picture, box, rng), box)
