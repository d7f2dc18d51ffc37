"""A head of a few hundred triangles, in the shape of the face model: for tests where the real one is not at hand."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

PARTS = ("Face", "BackHead", "GumsTongue", "Teeth", "ScleraLeft", "IrisLeft", "ScleraRight", "IrisRight", "EyeLashes")
ROWS, COLUMNS = 25, 32
EXPRESSIONS = (
    "browDown", "browInnerUp", "browOuterUp", "cheekRaiser", "cheekSquint", "eyeBlink", "eyeLookDown", "eyeLookIn",
    "eyeLookOut", "eyeLookUp", "eyeSquint", "eyeWide", "mouthDimple", "mouthFrown", "mouthLowerDown", "mouthPress",
    "mouthSmile", "mouthStretch", "mouthUpperUp", "noseSneer",
)  # fmt: skip
MIDDLE = ("jawOpen", "mouthClose", "mouthFunnel", "mouthPucker", "mouthRollLower", "mouthShrugLower")


def landmark_places() -> NDArray[np.float64]:
    """Where the 68 landmarks of an average face are, (68, 2) in cm, x to the subject's left and y up."""
    around = np.linspace(-1.4, 1.4, 17)
    jaw = np.stack([7 * np.sin(around), 1 - 9 * np.cos(around)], 1)
    brows = [(side * x, 4.0) for side, xs in ((-1, (5, 4, 3, 2, 1)), (1, (1, 2, 3, 4, 5))) for x in xs]
    nose = [(0, y) for y in (2.5, 1.5, 0.5, -0.5)] + [(x, -1.3) for x in (-1.2, -0.6, 0, 0.6, 1.2)]
    ring = np.linspace(np.pi, -np.pi, 7)[:6]
    eyes = [(x + 1.3 * np.cos(a), 2.5 + 0.5 * np.sin(a)) for x in (-3, 3) for a in ring]
    lips = [
        (r * np.cos(a), -4 + 0.4 * r * np.sin(a))
        for r, n in ((2.4, 12), (1.6, 8))
        for a in np.linspace(np.pi, -np.pi, n, endpoint=False)
    ]
    return np.array([*jaw, *brows, *nose, *eyes, *lips])


def write_toy_head(path: Path, **changes: object) -> Path:
    """Write the toy head as ``ict_face.npz`` is written; `changes` replace arrays, and None leaves one out."""
    rng = np.random.default_rng(0)
    up, around = np.meshgrid(np.linspace(-1.5, 1.5, ROWS), np.linspace(-np.pi, np.pi, COLUMNS), indexing="ij")
    x, y, z = 7.5 * np.cos(up) * np.sin(around), 11 * np.sin(up) + 1, 9 * np.cos(up) * np.cos(around)
    vertices = np.stack([x, y, z], -1).reshape(-1, 3).astype(np.float32)
    corner = (np.arange(ROWS - 1)[:, None] * COLUMNS + np.arange(COLUMNS - 1)).ravel()
    triangles = np.concatenate([
        np.stack([corner, corner + 1, corner + COLUMNS], 1),
        np.stack([corner + 1, corner + COLUMNS + 1, corner + COLUMNS], 1),
    ]).astype(np.int32)  # fmt: skip
    middle = vertices[triangles].mean(1)
    material = np.where(middle[:, 2] > 0, 0, 1).astype(np.uint8)
    for part, (px, py) in {
        2: (0, -4.3),
        3: (0, -3.9),
        4: (3, 2.5),
        5: (3.4, 2.5),
        6: (-3, 2.5),
        7: (-3.4, 2.5),
        8: (4, 3),
    }.items():
        away = np.hypot(middle[:, 0] - px, middle[:, 1] - py) + 100 * ((middle[:, 2] < 0) | (material > 1))
        material[np.argsort(away)[:3]] = part
    front = np.flatnonzero(vertices[:, 2] > 0)
    landmarks = [front[np.hypot(*(vertices[front, :2] - place).T).argmin()] for place in landmark_places()]
    names = [f"{name}_{side}" for name in EXPRESSIONS for side in "LR"] + list(MIDDLE)
    arrays: dict[str, object] = {
        "neutral": vertices, "identity": rng.normal(0, 0.05, (60, len(vertices), 3)).astype(np.float16),
        "expression": _bumps(vertices, len(names), rng), "expression_names": np.array(names), "triangles": triangles,
        "material": material, "material_names": np.array([f"M_{part}" for part in PARTS]),
        "landmarks68": np.array(landmarks, np.int32),
    } | changes  # fmt: skip
    np.savez(path, **{name: value for name, value in arrays.items() if value is not None})  # type: ignore[arg-type]
    return path


def _bumps(vertices: NDArray, count: int, rng: np.random.Generator) -> NDArray[np.float16]:
    centres = np.stack([rng.uniform(-5, 5, count), rng.uniform(-6, 5, count), np.full(count, 8.0)], 1)
    near = np.exp(-np.square(vertices[None] - centres[:, None]).sum(2) / 8)
    return (near[..., None] * rng.normal(0, 0.6, (count, 1, 3))).astype(np.float16)
