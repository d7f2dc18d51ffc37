"""Draws a person in any pose: a morphable head under a simple light, with a z-buffer.

Geometry is in centimetres: x to the subject's left, y up, z to the camera. Light is linear.
"""

from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from lowbeam.corpora.rendered.face_model import FaceModel, Vectors
from lowbeam.corpora.rendered.looks import FOLDS, Looks, draped, folds, paint, shape_of, smoothstep, under_cloth
from lowbeam.corpora.rendered.raster import capsule, deform, rasterize, shade, vertex_normals
from lowbeam.media import Rgb

CAMERA_DISTANCE = 70.0  # cm, from the head's origin between the eyes and ears
NECK = np.array([0.0, -9.0, -2.0], np.float32)  # cm: the joint about which the head rotates
SUPERSAMPLING = 2  # in each direction
SHADOW_EDGE = 2.0  # cm
RIM = 0.13  # cm: half the thickness of a pair of glasses' rim
RIM_POINTS = 18

Linear = NDArray[np.float32]  # (h, w, c), light in [0, 1]


@dataclass
class Pose:
    """The pose and light of one frame: `expression` maps blendshape names to weights in [0, 1]; angles are in degrees
    (yaw to the subject's left, pitch down, roll to the subject's right); `shift` of the head in cm; `light` is the
    direction of the key light and `ambient` the share of ambient light; `shadow` is (x, y, z, place, share): along the
    direction (x, y, z), a share of the key light is lost beyond `place` in cm."""

    expression: dict[str, float] = field(default_factory=dict)
    yaw_deg: float = 0.0
    pitch_deg: float = 0.0
    roll_deg: float = 0.0
    shift: tuple[float, float, float] = (0.0, 0.0, 0.0)
    light: tuple[float, float, float] = (-0.5, 0.6, 0.8)
    ambient: float = 0.22
    shadow: tuple[float, float, float, float, float] = (1.0, 0.0, 0.0, 100.0, 0.0)


@dataclass(frozen=True)
class Scene:
    """A drawn frame at `SUPERSAMPLING` times its size: `canvas` (h, w, c), `depth` (h, w) in cm."""

    canvas: Linear
    depth: NDArray[np.float32]

    def picture(self) -> Linear:
        """The canvas at the size of the picture."""
        height, width = (side // SUPERSAMPLING for side in self.depth.shape)
        mean: Linear = self.canvas.reshape(height, SUPERSAMPLING, width, SUPERSAMPLING, -1).mean((1, 3))
        return mean


class Person:
    """A person with the given looks, who can be drawn in any pose."""

    def __init__(self, model: FaceModel, looks: Looks) -> None:
        self._model, self._looks = model, looks
        self._neutral, hair = shape_of(model, looks)
        self._expression_index = {name: i for i, name in enumerate(model.expression_names)}
        self._albedo = paint(model, self._neutral, looks, hair)
        self._folds = folds(model, self._neutral)
        if looks.mask is not None:
            self._folds *= 1 - under_cloth(model, self._neutral)
            self._neutral = draped(model, self._neutral)
        self._rims = _rims(self._neutral[model.landmarks], looks.glasses) if looks.glasses else []
        self._neutral += looks.hair_depth * hair[:, None] * vertex_normals(self._neutral, model.triangles)
        self._moves = smoothstep(self._neutral[:, 1:2], -15.0, -8.0).astype(np.float32)  # shoulders stay, the jaw moves

    def draw(self, pose: Pose, background: Linear, pixels_per_cm: float) -> Rgb:
        """The person before `background`, float32 (h, w, 3) linear RGB: uint8 (h, w, 3) in sRGB."""
        return to_srgb(self.render(pose, background, pixels_per_cm).picture())

    def render(self, pose: Pose, background: Linear, pixels_per_cm: float) -> Scene:
        """The person before `background`, float32 (h, w, c), with the channels of the person's colours."""
        vertices = self._posed(pose)
        normals = vertex_normals(vertices, self._model.triangles)
        light = np.asarray(pose.light, np.float32)
        *direction, place, share = pose.shadow
        shadow = np.array([*direction, place, SHADOW_EDGE, share], np.float32)
        colours = shade(
            self._folded(pose), vertices, normals, light / np.linalg.norm(light), np.float32(pose.ambient), shadow
        )
        canvas = np.repeat(np.repeat(background, SUPERSAMPLING, 0), SUPERSAMPLING, 1)
        depth = np.full(canvas.shape[:2], -np.inf, np.float32)
        zoom = pixels_per_cm * SUPERSAMPLING
        rasterize(_on_canvas(vertices, canvas, zoom), self._model.triangles, colours, canvas, depth)
        frame = np.asarray(self._looks.frame, np.float32)
        for rim in self._rims:
            points = _on_canvas(_turned(rim, pose), canvas, zoom)
            for start, end in pairwise(points):
                capsule(canvas, depth, start, end, RIM * zoom, frame, 0.3)
        return Scene(canvas, depth)

    def _folded(self, pose: Pose) -> Vectors:
        """The albedo, darkened in the folds of the skin."""
        albedo = self._albedo
        for fold, (names, darkness) in zip(self._folds, FOLDS.values(), strict=True):
            pressed = max(self._looks.wrinkles, *(pose.expression.get(name, 0.0) for name in names))
            if pressed > 0.05:
                albedo = albedo * (1 - np.float32(darkness * min(pressed, 1.0)) * fold)[:, None]
        return albedo

    def _posed(self, pose: Pose) -> Vectors:
        active = [(self._expression_index[n], w) for n, w in pose.expression.items() if w > 0.001]
        chosen = np.array([index for index, _ in active], np.int64)
        weights = np.array([weight for _, weight in active], np.float32)
        vertices = deform(self._neutral, self._model.expression, chosen, weights)
        posed: Vectors = vertices + self._moves * (_turned(vertices, pose) - vertices)
        return posed


def head_point(point: tuple[float, float, float], pose: Pose, pixels_per_cm: float) -> tuple[float, float, float]:
    """Where a point of the head, in cm, appears: pixels to the right of and below the picture's centre, and the pixels
    per cm there."""
    x, y, z = _turned(np.array([point], np.float32), pose)[0].tolist()
    zoom = pixels_per_cm * CAMERA_DISTANCE / (CAMERA_DISTANCE - z)
    return x * zoom, -y * zoom, zoom


def _on_canvas(points: Vectors, canvas: Linear, pixels_per_cm: float) -> NDArray[np.float32]:
    """`points` (n, 3) in cm as x, y in pixels of the canvas and z in cm."""
    zoom = pixels_per_cm * CAMERA_DISTANCE / (CAMERA_DISTANCE - points[:, 2])
    x = canvas.shape[1] / 2 + points[:, 0] * zoom
    y = canvas.shape[0] / 2 - points[:, 1] * zoom
    return np.stack([x, y, points[:, 2]], 1).astype(np.float32)


def _turned(points: Vectors, pose: Pose) -> Vectors:
    turned = (points - NECK) @ _rotation(pose).T + NECK + np.asarray(pose.shift, np.float32)
    return turned.astype(np.float32)


def _rotation(pose: Pose) -> NDArray[np.float32]:
    yaw, pitch, roll = np.radians([pose.yaw_deg, pose.pitch_deg, pose.roll_deg])
    about_y = [[np.cos(yaw), 0, np.sin(yaw)], [0, 1, 0], [-np.sin(yaw), 0, np.cos(yaw)]]
    about_x = [[1, 0, 0], [0, np.cos(pitch), -np.sin(pitch)], [0, np.sin(pitch), np.cos(pitch)]]
    about_z = [[np.cos(roll), -np.sin(roll), 0], [np.sin(roll), np.cos(roll), 0], [0, 0, 1]]
    return (np.array(about_z) @ np.array(about_y) @ np.array(about_x)).astype(np.float32)


def _rims(marks: Vectors, half_width: float) -> list[Vectors]:
    """Glasses around the eyes of the landmarks `marks` (68, 3), as lines in cm: two rims, bridge and temples."""
    angles = np.linspace(0, 2 * np.pi, RIM_POINTS)
    front = marks[36:48, 2].max() + 1.0
    lines, inner, outer = [], [], []
    for eye in (slice(36, 42), slice(42, 48)):
        x, y = marks[eye, :2].mean(0)
        ring = [x + half_width * np.cos(angles), y - 0.2 + 0.8 * half_width * np.sin(angles)]
        lines.append(np.stack([*ring, np.full_like(angles, front)], 1))
        side = np.sign(x)
        inner.append([x - side * half_width, y + 0.2, front + 0.3])
        outer.append([[x + side * half_width, y + 0.2, front], [side * (abs(x) + half_width + 1.2), y + 0.4, 0.0]])
    return [np.asarray(line, np.float32) for line in (*lines, inner, *outer)]


def to_srgb(linear: Linear) -> NDArray[np.uint8]:
    """Linear light in [0, 1] as 8-bit sRGB levels (IEC 61966-2-1)."""
    linear = np.clip(linear, 0, 1)
    curve = np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)
    levels: NDArray[np.uint8] = np.rint(curve * 255).astype(np.uint8)
    return levels
