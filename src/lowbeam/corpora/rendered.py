"""People who do not exist: a morphable head (ICT-FaceKit, Li et al. 2020, arXiv 2004.00543; MIT licence) painted, lit
and drawn with a z-buffer.

Geometry is in centimetres: x to the subject's left, y up, z to the camera. Colours are linear RGB in [0, 1].
"""

import zipfile
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path

import numba
import numpy as np
from numpy.typing import NDArray

from lowbeam.errors import CorpusError
from lowbeam.media import Rgb

Vectors = NDArray[np.float32]  # (n, 3)

CAMERA_DISTANCE = 70.0  # cm, from the head's origin between the eyes and ears
NECK = np.array([0.0, -9.0, -2.0], np.float32)  # cm: the joint about which the head turns
SUPERSAMPLING = 2  # each way
DRAWN_MATERIALS = ("Face", "BackHead", "GumsTongue", "Teeth", "ScleraLeft", "IrisLeft", "ScleraRight", "IrisRight")
FOREHEAD = 3.8  # cm, from brows to hair
HAIR_DEPTH = 0.8  # cm
IRIS_RADIUS, PUPIL_RADIUS = 0.58, 0.22  # cm
BROWS = (slice(17, 22), slice(22, 27))  # of the 68 landmarks in Multi-PIE order
OUTER_LIPS = slice(48, 60)


@dataclass(frozen=True)
class FaceModel:
    """The morphable head; shapes are given in DATA.md's words: `neutral` (v, 3), `identity` (60, v, 3), `expression`
    (e, v, 3), `triangles` int32 (t, 3), `part` uint8 (v,) an index of `DRAWN_MATERIALS`, `landmarks` int32 (68,)."""

    neutral: Vectors
    identity: NDArray[np.float32]
    expression: NDArray[np.float32]
    expression_names: tuple[str, ...]
    triangles: NDArray[np.int32]
    part: NDArray[np.uint8]
    landmarks: NDArray[np.int32]


def load_face_model(path: str | Path) -> FaceModel:
    """Read ``ict_face.npz``. Raises `CorpusError` where it is missing or lacks a part."""
    try:
        with np.load(path) as archive:
            names = [str(name).removeprefix("M_") for name in archive["material_names"]]
            drawn = np.array([DRAWN_MATERIALS.index(n) if n in DRAWN_MATERIALS else 255 for n in names], np.uint8)
            material = drawn[archive["material"]]
            triangles = archive["triangles"][material != 255]
            part = np.zeros(len(archive["neutral"]), np.uint8)
            part[triangles.ravel()] = np.repeat(material[material != 255], 3)
            return FaceModel(
                archive["neutral"], archive["identity"].astype(np.float32), archive["expression"].astype(np.float32),
                tuple(map(str, archive["expression_names"])), triangles, part, archive["landmarks68"],
            )  # fmt: skip
    except (OSError, ValueError, KeyError, IndexError, zipfile.BadZipFile) as error:
        raise CorpusError(f"{path} is not a face model: {error}") from error


@dataclass(frozen=True)
class Looks:
    """What a person looks like: `identity` weights (60,), about N(0, 1), and colours."""

    identity: Vectors
    skin: tuple[float, float, float] = (0.62, 0.40, 0.30)
    lips: tuple[float, float, float] = (0.50, 0.20, 0.18)
    hair: tuple[float, float, float] = (0.06, 0.04, 0.03)
    iris: tuple[float, float, float] = (0.12, 0.08, 0.05)
    shirt: tuple[float, float, float] = (0.10, 0.16, 0.28)


@dataclass
class Pose:
    """One moment: `expression` maps blendshape names to weights in [0, 1]; angles in degrees (yaw to the subject's
    left, pitch down, roll to the subject's right); `shift` of the head in cm; `light` the direction that light comes
    from."""

    expression: dict[str, float] = field(default_factory=dict)
    yaw_deg: float = 0.0
    pitch_deg: float = 0.0
    roll_deg: float = 0.0
    shift: tuple[float, float, float] = (0.0, 0.0, 0.0)
    light: tuple[float, float, float] = (-0.5, 0.6, 0.8)


class Person:
    """A head with looks, ready to be drawn in any pose."""

    def __init__(self, model: FaceModel, looks: Looks) -> None:
        self._model = model
        self._neutral = model.neutral + np.tensordot(looks.identity, model.identity, 1).astype(np.float32)
        self._expression_index = {name: i for i, name in enumerate(model.expression_names)}
        hair = _hair(model, self._neutral)
        self._albedo = _paint(model, self._neutral, looks, hair)
        self._neutral += HAIR_DEPTH * hair[:, None] * _normals(self._neutral, model.triangles)
        self._moves = _share_that_turns(self._neutral)

    def draw(self, pose: Pose, background: NDArray[np.float32], pixels_per_cm: float) -> Rgb:
        """The person before `background`, float32 (h, w, 3) linear RGB: uint8 (h, w, 3) in sRGB."""
        vertices = self._posed(pose)
        normals = _normals(vertices, self._model.triangles)
        colours = _lit(self._albedo, normals, np.asarray(pose.light, np.float32))
        height, width = background.shape[:2]
        canvas = np.repeat(np.repeat(background, SUPERSAMPLING, 0), SUPERSAMPLING, 1)
        depth = np.full(canvas.shape[:2], -np.inf, np.float32)
        zoom = pixels_per_cm * SUPERSAMPLING * CAMERA_DISTANCE / (CAMERA_DISTANCE - vertices[:, 2])
        x = canvas.shape[1] / 2 + vertices[:, 0] * zoom
        y = canvas.shape[0] / 2 - vertices[:, 1] * zoom
        _rasterize(np.stack([x, y, vertices[:, 2]], 1), self._model.triangles, colours, canvas, depth)
        linear = canvas.reshape(height, SUPERSAMPLING, width, SUPERSAMPLING, 3).mean((1, 3))
        return _srgb(linear)

    def _posed(self, pose: Pose) -> Vectors:
        vertices = self._neutral.copy()
        for name, weight in pose.expression.items():
            if weight > 0.001:
                vertices += np.float32(weight) * self._model.expression[self._expression_index[name]]
        turned = (vertices - NECK) @ _rotation(pose).T + NECK + np.asarray(pose.shift, np.float32)
        return (vertices + self._moves * (turned - vertices)).astype(np.float32)


def _rotation(pose: Pose) -> NDArray[np.float32]:
    yaw, pitch, roll = np.radians([pose.yaw_deg, pose.pitch_deg, pose.roll_deg])
    about_y = [[np.cos(yaw), 0, np.sin(yaw)], [0, 1, 0], [-np.sin(yaw), 0, np.cos(yaw)]]
    about_x = [[1, 0, 0], [0, np.cos(pitch), -np.sin(pitch)], [0, np.sin(pitch), np.cos(pitch)]]
    about_z = [[np.cos(roll), -np.sin(roll), 0], [np.sin(roll), np.cos(roll), 0], [0, 0, 1]]
    return (np.array(about_z) @ np.array(about_y) @ np.array(about_x)).astype(np.float32)


def _smoothstep(x: NDArray, low: float, high: float) -> NDArray:
    t = np.clip((x - low) / (high - low), 0, 1)
    return t * t * (3 - 2 * t)


def _share_that_turns(vertices: Vectors) -> Vectors:
    """How much of the head's turn each vertex follows: all above the jaw, none at the shoulders. (v, 1)"""
    return _smoothstep(vertices[:, 1:2], -15.0, -8.0).astype(np.float32)


def _paint(model: FaceModel, vertices: Vectors, looks: Looks, hair: NDArray[np.float32]) -> Vectors:
    """Linear RGB of each vertex: skin, hair, brows, lips, shirt; eyes and teeth by their part."""
    part_colours = {
        "GumsTongue": (0.30, 0.10, 0.10), "Teeth": (0.75, 0.72, 0.65), "ScleraLeft": (0.72, 0.70, 0.68),
        "ScleraRight": (0.72, 0.70, 0.68), "IrisLeft": looks.iris, "IrisRight": looks.iris,
    }  # fmt: skip
    table = np.array([part_colours.get(name, looks.skin) for name in DRAWN_MATERIALS], np.float32)
    colours = table[model.part]
    is_skin = model.part <= DRAWN_MATERIALS.index("BackHead")
    marks = vertices[model.landmarks]
    x, y, z = vertices.T

    def blend(colour: tuple[float, float, float], weight: NDArray) -> None:
        share = (weight * is_skin)[:, None].astype(np.float32)
        colours[:] += share * (np.asarray(colour, np.float32) - colours)

    lips = marks[OUTER_LIPS]
    middle, reach = lips.mean(0), np.abs(lips - lips.mean(0)).max(0)
    inside = np.hypot((x - middle[0]) / reach[0], (y - middle[1]) / reach[1])
    blend(looks.lips, (1 - _smoothstep(inside, 0.8, 1.05)) * (z > middle[2] - 4))
    for brow in BROWS:
        blend(looks.hair, 0.85 * (1 - _smoothstep(_distance_to_curve(vertices, marks[brow]), 0.25, 0.6)))
    blend(looks.hair, hair)
    blend(looks.shirt, 1 - _smoothstep(y - 0.012 * x * x, -13.6, -13.3))
    in_mouth = np.isin(model.part, [DRAWN_MATERIALS.index("GumsTongue"), DRAWN_MATERIALS.index("Teeth")])
    colours *= np.where(in_mouth, 0.05 + 0.7 * _smoothstep(z, 8.5, 10.5), 1)[:, None]  # no light reaches the back teeth
    for eye in ("ScleraLeft", "ScleraRight"):
        # The iris lies behind the cornea, which is part of the sclera's mesh: paint it on there.
        is_eye = model.part == DRAWN_MATERIALS.index(eye)
        pole = vertices[is_eye][vertices[is_eye, 2].argmax()]
        off = np.linalg.norm(vertices - pole, axis=1)
        colours[is_eye & (off < IRIS_RADIUS)] = looks.iris
        colours[is_eye & (off < PUPIL_RADIUS)] = 0.01
    return colours


def _hair(model: FaceModel, vertices: Vectors) -> NDArray[np.float32]:
    """How much each vertex belongs to the hair, in [0, 1]: above a line that falls from the forehead to the nape, and
    not the ears. (v,)"""
    x, y, z = vertices.T
    forehead = vertices[model.landmarks[19:25], 1].mean() + FOREHEAD - 0.03 * x * x
    line = np.where(z > 6, forehead, np.interp(z, [-6, -3.5, 1, 6], [-6, 4, 5, forehead.mean() - 0.5]))
    ears = (np.abs(x) > 7.8) & (y < 5.5) & (z > -4.5)
    skin = model.part <= DRAWN_MATERIALS.index("BackHead")
    return (_smoothstep(y, line, line + 0.7) * skin * ~ears).astype(np.float32)


def _distance_to_curve(points: Vectors, curve: Vectors) -> NDArray:
    """Distance in cm from each of `points` to the polyline through `curve`."""
    best = np.full(len(points), np.inf, np.float32)
    for a, b in pairwise(curve):
        along = np.clip(((points - a) @ (b - a)) / ((b - a) @ (b - a)), 0, 1)[:, None]
        best = np.minimum(best, np.linalg.norm(points - (a + along * (b - a)), axis=1))
    return best


def _normals(vertices: Vectors, triangles: NDArray[np.int32]) -> Vectors:
    corners = vertices[triangles]
    faces = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    weights = np.repeat(faces, 3, axis=0)
    flat = triangles.ravel()
    summed = np.stack([np.bincount(flat, weights[:, i], len(vertices)) for i in range(3)], 1)
    return (summed / np.maximum(np.linalg.norm(summed, axis=1, keepdims=True), 1e-9)).astype(np.float32)


def _lit(albedo: Vectors, normals: Vectors, light: Vectors) -> Vectors:
    """Lambert's law with a key light, a weak fill from the camera and ambient light."""
    key = np.maximum(normals @ (light / np.linalg.norm(light)), 0)
    fill = np.maximum(normals[:, 2], 0)
    shade = 0.22 + 0.75 * key + 0.25 * fill
    return (albedo * shade[:, None]).astype(np.float32)


def _srgb(linear: NDArray[np.float32]) -> Rgb:
    linear = np.clip(linear, 0, 1)
    curve = np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)  # IEC 61966-2-1
    return np.rint(curve * 255).astype(np.uint8)


@numba.njit(cache=True)
def _rasterize(points, triangles, colours, canvas, depth):  # type: ignore[no-untyped-def]  # pragma: no cover
    """Draw triangles that face the camera into `canvas`, nearest first by `depth`; colours are interpolated."""
    height, width = depth.shape
    for t in range(triangles.shape[0]):
        i, j, k = triangles[t]
        ax, ay, bx, by, cx, cy = points[i, 0], points[i, 1], points[j, 0], points[j, 1], points[k, 0], points[k, 1]
        area = (bx - ax) * (cy - ay) - (by - ay) * (cx - ax)
        if area >= 0:  # y runs down: counter-clockwise in space is clockwise here
            continue
        for y in range(max(int(np.ceil(min(ay, by, cy) - 0.5)), 0), min(int(max(ay, by, cy) + 0.5), height)):
            for x in range(max(int(np.ceil(min(ax, bx, cx) - 0.5)), 0), min(int(max(ax, bx, cx) + 0.5), width)):
                px, py = x + 0.5, y + 0.5
                u = ((bx - px) * (cy - py) - (by - py) * (cx - px)) / area
                v = ((cx - px) * (ay - py) - (cy - py) * (ax - px)) / area
                w = 1 - u - v
                if u < 0 or v < 0 or w < 0:
                    continue
                z = u * points[i, 2] + v * points[j, 2] + w * points[k, 2]
                if z > depth[y, x]:
                    depth[y, x] = z
                    for c in range(3):
                        canvas[y, x, c] = u * colours[i, c] + v * colours[j, c] + w * colours[k, c]
