"""The appearance of people, and their painting: the albedo of every vertex.

Colours are linear, in [0, 1], of three channels (RGB) or of one (grey).
"""

from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lowbeam.corpora.rendered.face_model import IDENTITIES, PARTS, FaceModel, Vectors

Colour = tuple[float, ...]

FOREHEAD = 3.8  # cm, from brows to hair
CLOTH_CM = 0.3  # between a mask and the tip of the nose
IN_MOUTH_CM = 3.5  # vertices farther behind a mask belong to the inside of the mouth, and stay there
IRIS_RADIUS, PUPIL_RADIUS = 0.58, 0.22  # cm
BROWS = (slice(17, 22), slice(22, 27))  # of the 68 landmarks in Multi-PIE order
OUTER_LIPS = slice(48, 60)
HAIR_STYLES = ("short", "long", "none")


@dataclass(frozen=True)
class Looks:
    """The appearance of one person: `identity` weights (60,), about N(0, 1), colours, and other features.

    `stubble` is in [0, 1]; `brow_width` in cm; `hair_style` is one of `HAIR_STYLES`, with the hairline lowered by
    `hairline` cm and a thickness of `hair_depth` cm; `mottle` is the unevenness of the skin; `asymmetry` shifts the
    left half against the right, in cm along x, y and z; `glasses` is the half width of a lens in cm, 0 for none;
    `texture` is the seed of hair and skin; `wrinkles`, in [0, 1], is how deep the folds of the skin are at rest; `mask`
    is the colour of a mask over nose and mouth, None without one.
    """

    identity: Vectors
    skin: Colour = (0.62, 0.40, 0.30)
    lips: Colour = (0.50, 0.20, 0.18)
    hair: Colour = (0.06, 0.04, 0.03)
    brow: Colour = (0.06, 0.04, 0.03)
    iris: Colour = (0.12, 0.08, 0.05)
    shirt: Colour = (0.10, 0.16, 0.28)
    teeth: Colour = (0.75, 0.72, 0.65)
    sclera: Colour = (0.72, 0.70, 0.68)
    gums: Colour = (0.30, 0.10, 0.10)
    frame: Colour = (0.02, 0.02, 0.02)
    stubble: float = 0.0
    brow_width: float = 0.6
    hair_style: str = "short"
    hairline: float = 0.0
    hair_depth: float = 0.8
    mottle: float = 0.0
    asymmetry: tuple[float, float, float] = (0.0, 0.0, 0.0)
    glasses: float = 0.0
    texture: int = 0
    wrinkles: float = 0.0
    mask: Colour | None = None


def random_looks(rng: np.random.Generator) -> Looks:
    """A random person in grey: skin of any tone, darker or lighter hair, glasses for one in four."""
    skin = float(rng.uniform(0.09, 0.50))
    kinds = [rng.uniform(0.01, 0.05), skin * rng.uniform(0.25, 0.6), min(0.65, skin * rng.uniform(1.3, 1.6))]
    hair = float(rng.choice(kinds, p=[0.55, 0.3, 0.15]))  # black, brown, fair or grey
    style = str(rng.choice(HAIR_STYLES, p=[0.5, 0.35, 0.15]))
    return Looks(
        identity=rng.normal(0, 0.9, IDENTITIES).astype(np.float32),
        skin=(skin,), lips=(skin * float(rng.uniform(0.4, 0.75)),), hair=(hair,),
        brow=(min(hair, skin) * float(rng.uniform(0.3, 0.9)),), iris=(float(rng.uniform(0.02, 0.25)),),
        shirt=(float(rng.uniform(0.02, 0.7)),), teeth=(float(rng.uniform(0.45, 0.85)),),
        sclera=(float(rng.uniform(0.35, 0.6)),), gums=(float(rng.uniform(0.08, 0.18)),),
        frame=(float(rng.choice([0.01, 0.08, 0.4])),),
        stubble=float(rng.choice([0, rng.uniform(0.1, 0.6)], p=[0.65, 0.35])),
        brow_width=float(rng.uniform(0.35, 0.75)), hair_style=style, hairline=float(rng.uniform(-1.2, 0.9)),
        hair_depth=float(rng.uniform(0.3, 1.3)), mottle=float(rng.uniform(0.01, 0.05)),
        asymmetry=(float(rng.normal(0, 0.08)), float(rng.normal(0, 0.10)), float(rng.normal(0, 0.10))),
        glasses=float(rng.choice([0, rng.uniform(1.9, 2.6)], p=[0.74, 0.26])), texture=int(rng.integers(2**31)),
    )  # fmt: skip


def shape_of(model: FaceModel, looks: Looks) -> tuple[Vectors, NDArray[np.float32]]:
    """The person's neutral head, (v, 3) in cm, and the share of hair of each vertex, in [0, 1]: (v,)."""
    vertices = model.neutral + np.tensordot(looks.identity, model.identity, 1).astype(np.float32)
    left = smoothstep(vertices[:, :1], -3.0, 3.0) - 0.5
    vertices = (vertices + left * np.array(looks.asymmetry)).astype(np.float32)
    hair = _hair(model, vertices, looks)
    return vertices, hair


def smoothstep(x: NDArray[Any], low: float | NDArray[Any], high: float | NDArray[Any]) -> NDArray[Any]:
    """0 below `low`, 1 above `high`, and a cubic between (GLSL's ``smoothstep``)."""
    t = np.clip((x - low) / (high - low), 0, 1)
    smooth: NDArray[Any] = t * t * (3 - 2 * t)
    return smooth


def paint(model: FaceModel, vertices: Vectors, looks: Looks, hair: NDArray[np.float32]) -> Vectors:
    """Albedo of each vertex, (v, c): skin, hair, brows, lips, stubble and shirt; eyes and teeth by their part."""
    part_colours = {
        "GumsTongue": looks.gums, "Teeth": looks.teeth, "ScleraLeft": looks.sclera, "ScleraRight": looks.sclera,
        "IrisLeft": looks.iris, "IrisRight": looks.iris,
    }  # fmt: skip
    table = np.array([part_colours.get(name, looks.skin) for name in PARTS], np.float32)
    colours = table[model.part]
    is_skin = model.part <= PARTS.index("BackHead")
    marks = vertices[model.landmarks]
    x, y, z = vertices.T

    def blend(colour: Colour, weight: NDArray[Any]) -> None:
        share = (weight * is_skin)[:, None].astype(np.float32)
        colours[:] += share * (np.asarray(colour, np.float32) - colours)

    uneven = _texture(vertices, looks.texture, 0.8)
    colours *= np.where(is_skin, 1 + looks.mottle * uneven, 1)[:, None].astype(np.float32)
    lips = marks[OUTER_LIPS]
    middle, reach = lips.mean(0), np.abs(lips - lips.mean(0)).max(0)
    beard = smoothstep(marks[33, 1] - y, -0.3, 0.8) * (1 - smoothstep(marks[8, 1] - y, 0.5, 2.5)) * (z > 1)
    blend(looks.hair, looks.stubble * beard * (0.8 + 0.2 * np.clip(_texture(vertices, looks.texture + 1, 0.25), -1, 1)))
    inside = np.hypot((x - middle[0]) / reach[0], (y - middle[1]) / reach[1])
    blend(looks.lips, (1 - smoothstep(inside, 0.8, 1.05)) * (z > middle[2] - 4))
    for brow in BROWS:
        distance = _distance_to_curve(vertices, marks[brow])
        blend(looks.brow, 0.85 * (1 - smoothstep(distance, looks.brow_width - 0.35, looks.brow_width)))
    strands = 1 + 0.35 * np.clip(_texture(vertices * np.array([1, 0.25, 1], np.float32), looks.texture + 2, 0.5), -1, 1)
    blend(looks.hair, hair)
    colours *= np.where(is_skin & (hair > 0.5), strands, 1)[:, None].astype(np.float32)
    blend(looks.shirt, 1 - smoothstep(y - 0.012 * x * x, -13.6, -13.3))
    in_mouth = np.isin(model.part, [PARTS.index("GumsTongue"), PARTS.index("Teeth")])
    colours *= np.where(in_mouth, 0.05 + 0.7 * smoothstep(z, 8.5, 10.5), 1)[:, None]  # no light reaches the back teeth
    if looks.mask is not None:
        blend(looks.mask, under_cloth(model, vertices))
        colours[in_mouth] = looks.mask
    _paint_irises(model, vertices, looks, colours)
    return colours


# Folds of the skin: the blendshapes that cause each, and its darkness.
FOLDS = {
    "brows": (("browDown_L", "browDown_R"), 0.5), "bridge": (("noseSneer_L", "noseSneer_R"), 0.4),
    "cheeks": (("mouthSmile_L", "mouthSmile_R", "noseSneer_L", "noseSneer_R"), 0.28),
    "forehead": (("browInnerUp_L", "browOuterUp_L"), 0.25), "mouth": (("mouthFrown_L", "mouthFrown_R"), 0.3),
}  # fmt: skip


def folds(model: FaceModel, vertices: Vectors) -> NDArray[np.float32]:
    """The weight of each vertex in each of `FOLDS`, in [0, 1]: (folds, v)."""
    marks = vertices[model.landmarks]
    x, y, _ = vertices.T
    is_face = model.part == PARTS.index("Face")

    def line(width: float, *points: NDArray[Any]) -> NDArray[Any]:
        return 1 - smoothstep(_distance_to_curve(vertices, np.stack(points)), 0.08, width)

    def both(width: float, *points: tuple[int, tuple[float, float, float]]) -> NDArray[Any]:
        """A line through points relative to landmarks of the right half, and its mirror image."""
        mirror = np.array([-1, 1, 1], np.float32)
        sided = [marks[mark] + np.asarray(off, np.float32) for mark, off in points]
        halves: NDArray[Any] = np.maximum(line(width, *sided), line(width, *(point * mirror for point in sided)))
        return halves

    raised = y - marks[19:25, 1].mean()
    rows = np.cos(2 * np.pi * raised / 0.9) ** 8 * (raised > 0.7) * (raised < 3.2) * (np.abs(x) < 4.2)
    found = [
        both(0.32, (21, (0.15, -0.3, 0)), (21, (0.3, 1.1, 0))),
        line(0.3, marks[27] + np.array([-0.9, -0.1, -0.3]), marks[27], marks[27] + np.array([0.9, -0.1, -0.3])),
        both(0.35, (31, (-0.5, 0.3, -0.3)), (48, (-0.7, 0.6, -0.3)), (48, (-0.8, -0.3, -0.4))),
        rows,
        both(0.35, (48, (-0.2, -0.1, 0)), (48, (-0.5, -1.1, -0.3))),
    ]
    depths: NDArray[np.float32] = (np.stack(found) * is_face).astype(np.float32)
    return depths


def draped(model: FaceModel, vertices: Vectors) -> Vectors:
    """The head, (v, 3) in cm, with the cloth of a mask stretched from the nose over the mouth to the chin. Nostrils and
    the line of the lips still show faintly."""
    marks = vertices[model.landmarks]
    x, y, z = vertices.T
    tip, chin = marks[30], marks[8]
    cloth = np.interp(y, [chin[1] - 1.0, chin[1], tip[1], marks[28, 1]], [chin[2] - 1.0, chin[2], tip[2], marks[28, 2]])
    behind = cloth + CLOTH_CM - 0.12 * x * x - z
    covered = under_cloth(model, vertices) * (model.part == PARTS.index("Face")) * (behind < IN_MOUTH_CM)
    head = vertices.copy()
    head[:, 2] += np.maximum(behind, 0) * covered
    return head


def under_cloth(model: FaceModel, vertices: Vectors) -> NDArray[np.float32]:
    """The share of each vertex under a mask, from the bridge of the nose to below the chin, in [0, 1]: (v,)."""
    marks = vertices[model.landmarks]
    x, y, z = vertices.T
    upper = marks[28, 1] - 0.06 * x * x  # lower beside the nose
    covered = smoothstep(upper - y, 0.0, 0.3) * smoothstep(y, marks[8, 1] - 1.5, marks[8, 1] - 1.0) * (z > 0)
    weight: NDArray[np.float32] = covered.astype(np.float32)
    return weight


def _paint_irises(model: FaceModel, vertices: Vectors, looks: Looks, colours: Vectors) -> None:
    """Paint the iris on the cornea, which is part of the sclera's mesh and covers the iris."""
    for eye in ("ScleraLeft", "ScleraRight"):
        is_eye = model.part == PARTS.index(eye)
        pole = vertices[is_eye][vertices[is_eye, 2].argmax()]
        off = np.linalg.norm(vertices - pole, axis=1)
        colours[is_eye & (off < IRIS_RADIUS)] = looks.iris
        colours[is_eye & (off < PUPIL_RADIUS)] = 0.01


def _hair(model: FaceModel, vertices: Vectors, looks: Looks) -> NDArray[np.float32]:
    """The share of hair of each vertex, in [0, 1]: (v,). Hair is above a line that falls from the forehead to the nape
    (long hair: also beside the face), without the ears."""
    if looks.hair_style == "none":
        return np.zeros(len(vertices), np.float32)
    x, y, z = vertices.T
    brows = vertices[model.landmarks[19:25], 1].mean()
    forehead = brows + FOREHEAD - looks.hairline - 0.03 * x * x
    line = np.where(z > 6, forehead, np.interp(z, [-6, -3.5, 1, 6], [-6, 4, 5, forehead.mean() - 0.5]))
    ears = (np.abs(x) > 7.8) & (y < 5.5) & (z > -4.5)
    if looks.hair_style == "long":  # over the ears, to the shoulders
        line = np.where((z < 3) | (np.abs(x) > 7.0), np.minimum(line, -11), line)
        ears = np.zeros_like(ears)
    skin = model.part <= PARTS.index("BackHead")
    hair: NDArray[np.float32] = (smoothstep(y, line, line + 0.7) * skin * ~ears).astype(np.float32)
    return hair


def _texture(points: Vectors, seed: int, size_cm: float) -> NDArray[np.float32]:
    """Smooth noise with a standard deviation of about 1 at `points`, with details of about `size_cm`: a sum of random
    waves. (v,)"""
    rng = np.random.default_rng(seed)
    waves = rng.normal(0, 1 / size_cm, (24, 3)).astype(np.float32)
    phases = rng.uniform(0, 2 * np.pi, 24).astype(np.float32)
    noise: NDArray[np.float32] = np.cos(points @ waves.T + phases).sum(1) / np.float32(np.sqrt(12))
    return noise


def _distance_to_curve(points: Vectors, curve: Vectors) -> NDArray[Any]:
    """Distance in cm from each of `points` to the polyline through `curve`."""
    best = np.full(len(points), np.inf, np.float32)
    for a, b in pairwise(curve):
        along = np.clip(((points - a) @ (b - a)) / max((b - a) @ (b - a), 1e-9), 0, 1)[:, None]
        best = np.minimum(best, np.linalg.norm(points - (a + along * (b - a)), axis=1))
    return best
