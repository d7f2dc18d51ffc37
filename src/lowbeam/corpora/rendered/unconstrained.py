"""What recordings outside a laboratory add: age, beards and masks, heads turned away and tilted, light from any side,
and cheap cameras in the dark."""

from dataclasses import replace

import numpy as np

from lowbeam.corpora.rendered.camera import Camera
from lowbeam.corpora.rendered.expressions import Weights
from lowbeam.corpora.rendered.looks import Looks
from lowbeam.corpora.rendered.motion import HeadMotion, Light

MASKED, BEARDED, WRINKLED = 0.1, 0.25, 0.4  # shares of the people
TURNS_DEG, LIMITS_DEG = (18.0, 8.0, 9.0), (45.0, 25.0, 30.0)  # yaw, pitch, roll: standard deviation, most
HIDDEN = ("mouth", "jaw", "nose")  # how the names of blendshapes under a mask begin


def vary_looks(looks: Looks, rng: np.random.Generator) -> Looks:
    """The same person, possibly with wrinkles, a full beard, or a mask over nose and mouth."""
    wrinkles = float(rng.uniform(0.2, 0.9)) if rng.random() < WRINKLED else 0.0
    stubble = float(rng.uniform(0.6, 0.95)) if rng.random() < BEARDED else looks.stubble
    mask = (float(rng.uniform(0.05, 0.7)),) if rng.random() < MASKED else None
    return replace(looks, wrinkles=wrinkles, stubble=stubble, mask=mask)


def under_mask(weights: Weights) -> Weights:
    """What can be seen of an expression above a mask."""
    return {name: weight for name, weight in weights.items() if not name.startswith(HIDDEN)}


def turn_head(head: HeadMotion, rng: np.random.Generator) -> HeadMotion:
    """The same motion about another direction, within `LIMITS_DEG`; as seen by a camera that is beside the person."""
    limits = np.array(LIMITS_DEG)
    rest = rng.normal(0, TURNS_DEG)
    return replace(head, angles_deg=limits * np.tanh((head.angles_deg + rest) / limits))


def vary_light(light: Light, rng: np.random.Generator) -> Light:
    """The same changes of a light that may come from any side, also from below, and be weak or too strong."""
    side = rng.normal(size=3)
    side[2] = abs(side[2])  # not from behind
    gain = np.exp(rng.uniform(np.log(0.1), np.log(2.2)))
    drift = light.direction - light.direction[0]
    direction = side / np.linalg.norm(side) + drift
    direction[:, 2] = np.maximum(direction[:, 2], 0.15)
    return replace(light, direction=direction, gain=light.gain * gain)


def worse_camera(camera: Camera, rng: np.random.Generator) -> Camera:
    """A softer and noisier camera."""
    softness = camera.softness + float(rng.uniform(0, 0.3))
    return Camera(softness, camera.noise * float(np.exp(rng.uniform(0, np.log(4.0)))))
