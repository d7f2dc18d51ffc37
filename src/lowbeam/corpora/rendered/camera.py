"""The camera: background, objects that cross the picture, exposure, motion blur and noise."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lowbeam.corpora.rendered.motion import Crossing
from lowbeam.corpora.rendered.person import Linear, Scene, to_srgb
from lowbeam.corpora.rendered.raster import capsule
from lowbeam.face import Grey

SHUTTER = 0.5  # share of the frame interval in which the shutter is open
MAX_BLUR = 9  # pixels


@dataclass(frozen=True)
class Camera:
    """`softness` is the share of light that each pixel loses to its four neighbours; `noise` is the standard deviation
    of a mid-grey pixel, in grey levels."""

    softness: float
    noise: float


def random_camera(rng: np.random.Generator) -> Camera:
    """A random camera, like those of laptops and phones."""
    return Camera(float(rng.uniform(0, 0.4)), float(np.exp(rng.uniform(np.log(0.4), np.log(3.0)))))


def room(size: int, rng: np.random.Generator) -> Linear:
    """A background: a wall with a gradient, soft patches and rectangular objects, float32 (size, size, 1)."""
    y, x = np.mgrid[0:size, 0:size] / size
    wall = rng.uniform(0.04, 0.5) * (1 + rng.uniform(-0.7, 0.7) * (x - 0.5) + rng.uniform(-0.7, 0.7) * (y - 0.5))
    for _ in range(rng.integers(4, 12)):
        cx, cy, r = rng.uniform(0, 1, 3) * (1, 1, 0.4)
        wall = wall * (1 + rng.uniform(-0.4, 0.6) * np.exp(-((x - cx) ** 2 + (y - cy) ** 2) / (r + 0.03) ** 2))
    for _ in range(rng.integers(0, 5)):
        left, top, width, height = rng.uniform(0, 1, 4) * (1, 1, 0.4, 0.6)
        inside = (x > left) & (x < left + width) & (y > top) & (y < top + height)
        wall = np.where(inside, wall * rng.uniform(0.4, 1.8), wall)
    albedo: Linear = np.clip(wall, 0.01, 1)[..., None].astype(np.float32)
    return albedo


def cross(scene: Scene, crossing: Crossing, time_s: float, tone: float) -> None:
    """Draw `crossing` as it is at `time_s` (seconds), with the albedo `tone`, over the scene."""
    share = (time_s - crossing.start_s) / (crossing.end_s - crossing.start_s)
    if not 0 <= share <= 1:
        return
    side = len(scene.canvas)
    reach = np.sin(np.pi * share)
    origin, target = np.array(crossing.origin), np.array(crossing.target)
    tip = (0.5 + origin + (target - origin) * reach) * side
    base = (0.5 + 1.3 * origin) * side
    along = (tip - base) / max(float(np.linalg.norm(tip - base)), 1e-6)
    aside = np.array([-along[1], along[0]])
    colour = np.array([tone], np.float32)

    def stroke(start: NDArray[np.float64], end: NDArray[np.float64], radius: float, shade: float) -> None:
        in_front = [np.array([*point, np.inf], np.float32) for point in (start, end)]
        capsule(scene.canvas, scene.depth, in_front[0], in_front[1], radius * side, colour, shade)

    if crossing.kind == "hair":
        for offset in np.linspace(-0.05, 0.05, 6):
            stroke(base + offset * side * aside, tip + 0.6 * offset * side * aside, 0.008, 0.2)
        return
    palm = tip - 0.16 * side * along
    stroke(base, palm, 0.055, 0.4)
    stroke(palm, palm + 0.03 * side * along, 0.085, 0.4)
    for offset, length in ((-0.06, 0.12), (-0.02, 0.16), (0.02, 0.15), (0.06, 0.11)):
        stroke(palm + offset * side * aside, palm + length * side * along + 1.2 * offset * side * aside, 0.02, 0.45)


def photograph(
    scene: Scene, camera: Camera, gain: float, movement: tuple[float, float], rng: np.random.Generator
) -> Grey:
    """The picture that the camera takes of `scene`, grey uint8 (h, w). `movement` is that of the face since the last
    frame, in pixels (x, y)."""
    light: Linear = _motion_blurred(scene.picture()[..., 0], movement) * np.float32(gain)
    edged = np.pad(light, 1, mode="edge")
    neighbours = edged[:-2, 1:-1] + edged[2:, 1:-1] + edged[1:-1, :-2] + edged[1:-1, 2:]
    light = np.float32(1 - camera.softness) * light + np.float32(camera.softness / 4) * neighbours
    levels = to_srgb(light).astype(np.float32)
    noise = rng.standard_normal(levels.shape, np.float32) * np.float32(camera.noise * np.sqrt(max(gain, 0.5)))
    return np.clip(np.rint(levels + noise), 0, 255).astype(np.uint8)


def _motion_blurred(light: NDArray[np.float32], movement: tuple[float, float]) -> NDArray[np.float32]:
    x, y = SHUTTER * movement[0], SHUTTER * movement[1]
    length = min(max(abs(x), abs(y)), MAX_BLUR)
    taps = round(length) + 1
    if taps < 2:
        return light
    shifts = {(round(y * (i / (taps - 1) - 0.5)), round(x * (i / (taps - 1) - 0.5))) for i in range(taps)}
    blurred: Linear = np.mean([np.roll(light, shift, (0, 1)) for shift in sorted(shifts)], axis=0, dtype=np.float32)
    return blurred
