"""The morphable head model: ICT-FaceKit (Li et al. 2020, arXiv 2004.00543; MIT licence), in one npz file or as a clone
of its repository."""

import json
import zipfile
import zlib
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lowbeam.errors import CorpusError

Vectors = NDArray[np.float32]  # (n, 3)

PARTS = ("Face", "BackHead", "GumsTongue", "Teeth", "ScleraLeft", "IrisLeft", "ScleraRight", "IrisRight")
IDENTITIES = 60  # of ICT-FaceKit's 100 components, the strongest first
LANDMARKS = 68


@dataclass(frozen=True)
class FaceModel:
    """The head model, without the parts that are not drawn. `neutral` (v, 3) in cm: x to the subject's left, y up, z to
    the viewer; `identity` (60, v, 3) offsets for weights of about N(0, 1); `expression` (e, v, 3) offsets for weights
    in [0, 1], by `expression_names`; `triangles` int32 (t, 3); `part` uint8 (v,), an index of `PARTS`; `landmarks`
    int32 (68,) vertices in the Multi-PIE order."""

    neutral: Vectors
    identity: NDArray[np.float32]
    expression: NDArray[np.float32]
    expression_names: tuple[str, ...]
    triangles: NDArray[np.int32]
    part: NDArray[np.uint8]
    landmarks: NDArray[np.int32]


def load_face_model(path: str | Path, needed: Iterable[str] = ()) -> FaceModel:
    """Read ``ict_face.npz``, or a clone of the public ICT-FaceKit repository.

    Raises `CorpusError` if it is missing or lacks a part or one of the `needed` expressions.
    """
    try:
        raw = _read_repository(Path(path)) if Path(path).is_dir() else _read_npz(path)
        return _checked(raw, needed)
    except (OSError, ValueError, KeyError, IndexError, TypeError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        raise CorpusError(f"{path} is not a face model: {error}") from error


@dataclass(frozen=True)
class _Raw:
    neutral: NDArray[Any]
    identity: NDArray[Any]
    expression: NDArray[Any]
    expression_names: list[str]
    triangles: NDArray[Any]
    part_names: list[str]  # of each triangle
    landmarks: NDArray[Any]


def _read_npz(path: str | Path) -> _Raw:
    with np.load(path) as archive:
        names = np.array([str(name).removeprefix("M_") for name in archive["material_names"]])
        return _Raw(
            archive["neutral"], archive["identity"], archive["expression"], list(map(str, archive["expression_names"])),
            archive["triangles"], names[archive["material"]].tolist(), archive["landmarks68"],
        )  # fmt: skip


def _read_repository(path: Path) -> _Raw:
    folder = path / "FaceXModel" if (path / "FaceXModel").is_dir() else path
    about = json.loads((folder / "vertex_indices.json").read_text())
    neutral, triangles, part_names = _read_obj(folder / "generic_neutral_mesh.obj")

    def offsets(names: list[str]) -> NDArray[np.float32]:
        return np.stack([_read_vertices(folder / f"{name}.obj") - neutral for name in names])

    known = {"generic_neutral_mesh", *(file.stem for file in folder.glob("identity*.obj"))}
    expressions = sorted(file.stem for file in folder.glob("*.obj") if file.stem not in known)
    identity = offsets([f"identity{i:03d}" for i in range(IDENTITIES)])
    landmarks = np.array(about["idx_to_landmark_verts"])
    return _Raw(neutral, identity, offsets(expressions), expressions, triangles, part_names, landmarks)


def _read_vertices(path: Path) -> NDArray[np.float32]:
    lines = (line.split() for line in path.read_text().splitlines() if line.startswith("v "))
    return np.array([[float(v) for v in words[1:4]] for words in lines], np.float32)


def _read_obj(path: Path) -> tuple[Vectors, NDArray[np.int32], list[str]]:
    """Vertices, triangles (polygons as fans) and the material of each triangle, without the prefix ``M_``."""
    triangles, names, material = [], [], ""
    for line in path.read_text().splitlines():
        words = line.split()
        if line.startswith("usemtl "):
            material = words[1].removeprefix("M_")
        elif line.startswith("f "):
            corners = [int(word.split("/")[0]) - 1 for word in words[1:]]
            for second, third in pairwise(corners[1:]):
                triangles.append((corners[0], second, third))
                names.append(material)
    return _read_vertices(path), np.array(triangles, np.int32), names


def _checked(raw: _Raw, needed: Iterable[str]) -> FaceModel:
    """The model without the parts that are not drawn, with renumbered vertices. Raises `ValueError` that names missing
    parts."""
    count = len(raw.neutral)
    shapes = {"identity": raw.identity, "expression": raw.expression}
    for name, offsets in shapes.items():
        if offsets.ndim != 3 or offsets.shape[1:] != (count, 3):
            raise ValueError(f"{name} has shape {offsets.shape}, not (k, {count}, 3)")
    missing = [name for name in needed if name not in raw.expression_names]
    missing += [part for part in PARTS if part not in raw.part_names]
    if missing or len(raw.identity) < IDENTITIES or raw.landmarks.shape != (LANDMARKS,):
        lacks = ", ".join(missing[:5]) or f"{IDENTITIES} identities or {LANDMARKS} landmarks"
        raise ValueError(f"it lacks {lacks}")
    drawn = np.array([PARTS.index(n) if n in PARTS else 255 for n in raw.part_names], np.uint8)
    triangles = raw.triangles[drawn != 255]
    kept = np.unique(np.concatenate([triangles.ravel(), raw.landmarks]))
    number = np.zeros(count, np.int32)
    number[kept] = np.arange(len(kept), dtype=np.int32)
    part = np.zeros(count, np.uint8)
    part[triangles.ravel()] = np.repeat(drawn[drawn != 255], 3)
    return FaceModel(
        raw.neutral[kept].astype(np.float32), raw.identity[:IDENTITIES, kept].astype(np.float32),
        raw.expression[:, kept].astype(np.float32), tuple(raw.expression_names), number[triangles], part[kept],
        number[raw.landmarks],
    )  # fmt: skip
