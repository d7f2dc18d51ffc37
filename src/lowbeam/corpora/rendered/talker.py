"""One rendered person: appearance, emotion, motion, and the frames."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lowbeam.corpora.rendered.camera import cross, photograph, random_camera, room
from lowbeam.corpora.rendered.expressions import EXPRESSIONS, Style, both_sides
from lowbeam.corpora.rendered.face_model import FaceModel
from lowbeam.corpora.rendered.feelings import Affect, feel
from lowbeam.corpora.rendered.looks import random_looks
from lowbeam.corpora.rendered.motion import LIDS_AND_GAZE, VISEMES, blink_and_look, crossings, move_head, shine, talk
from lowbeam.corpora.rendered.person import Person, Pose, head_point
from lowbeam.corpora.rendered.unconstrained import turn_head, under_mask, vary_light, vary_looks, worse_camera
from lowbeam.face import Box, Grey

PIXELS_PER_CM = 0.036  # of the picture's side, at the usual distance
HEAD_AT = (0.0, -1.8, 0.0)  # cm: the head's origin, from the picture's centre
# The box of the tracker of `lowbeam.faces` is centred on this point of the head (cm) and has this side (cm), by least
# squares over its boxes in 1,500 frames of 24 rendered people.
FACE_CENTRE, FACE_SIDE_CM = (0.55, 1.15, 9.0), 18.7


def needed_expressions() -> list[str]:
    """Names of the blendshapes that `Talker` needs in a face model."""
    sets = [shapes for _, shapes in EXPRESSIONS.values()] + [*VISEMES, LIDS_AND_GAZE]
    return sorted({name for shapes in sets for name, _ in both_sides(shapes)})


@dataclass(frozen=True)
class Shot:
    """One frame, grey uint8 (size, size), and the box of its face in pixels."""

    picture: Grey
    box: Box


class Talker:
    """Person number `index` of the corpus with the given `seed`; the frames are reproducible. `count` is their number,
    `size` their side in pixels; with `unconstrained` they are recorded as outside a laboratory. `affect`, float64
    (count, 2), is the valence and arousal of each frame, and `blinks`, float64 (count,), how far a blink closes the
    eyes, from 0 to 1."""

    def __init__(
        self, model: FaceModel, seed: int, index: int, count: int, fps: float, size: int, *, unconstrained: bool = False
    ) -> None:
        looks_rng, feel_rng, act_rng, self._rng, more_rng = (
            np.random.default_rng(s) for s in np.random.SeedSequence([seed, index]).spawn(5)
        )
        self._fps, self._size = fps, size
        self.looks = random_looks(looks_rng)
        if unconstrained:
            self.looks = vary_looks(self.looks, more_rng)
        self._person = Person(model, self.looks)
        self._camera, self._room = random_camera(looks_rng), room(size, looks_rng)
        self.affect: Affect = feel(count, fps, feel_rng)
        self._weights = Style(act_rng).show(self.affect, fps)
        talk(self._weights, count, fps, act_rng)
        self.blinks = blink_and_look(self._weights, count, fps, act_rng)
        self._head = move_head(count, fps, act_rng)
        self._light = shine(count, fps, act_rng)
        self._crossings = crossings(count / fps, act_rng)
        if unconstrained:
            self._head, self._light = turn_head(self._head, more_rng), vary_light(self._light, more_rng)
            self._camera = worse_camera(self._camera, more_rng)
        if self.looks.mask is not None:
            self._weights = under_mask(self._weights)

    def about(self) -> dict[str, Any]:
        """The properties of this person for the manifest."""
        looks = self.looks
        return {
            "skin": round(looks.skin[0], 3), "hair": looks.hair_style, "glasses": looks.glasses > 0,
            "stubble": round(looks.stubble, 2), "noise": round(self._camera.noise, 2),
            **({"wrinkles": round(looks.wrinkles, 2)} if looks.wrinkles else {}),
            **({"mask": round(looks.mask[0], 2)} if looks.mask else {}),
        }  # fmt: skip

    def shots(self) -> Iterator[Shot]:
        """Every frame in order."""
        before: tuple[float, float] | None = None
        for index in range(len(self.affect)):
            pose, pixels_per_cm = self._pose(index), self._size * PIXELS_PER_CM * self._head.zoom[index]
            scene = self._person.render(pose, self._room, pixels_per_cm)
            for crossing in self._crossings:
                tone = self.looks.hair[0] if crossing.kind == "hair" else 0.8 * self.looks.skin[0]
                cross(scene, crossing, index / self._fps, tone)
            x, y, zoom = head_point(FACE_CENTRE, pose, pixels_per_cm)
            moved = (0.0, 0.0) if before is None else (x - before[0], y - before[1])
            before = (x, y)
            picture = photograph(scene, self._camera, float(self._light.gain[index]), moved, self._rng)
            yield Shot(picture, Box.around(self._size / 2 + x, self._size / 2 + y, FACE_SIDE_CM * zoom))

    def _pose(self, index: int) -> Pose:
        def row(series: NDArray[np.float64]) -> tuple[Any, ...]:
            return tuple(series[index].tolist())

        yaw, pitch, roll = row(self._head.angles_deg)
        shift = tuple(a + b for a, b in zip(HEAD_AT, row(self._head.shift), strict=True))
        expression = {name: float(weight[index]) for name, weight in self._weights.items()}
        return Pose(
            expression, yaw, pitch, roll, shift,
            row(self._light.direction), float(self._light.ambient[index]), row(self._light.shadow),
        )  # fmt: skip
