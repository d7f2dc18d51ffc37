"""Expressions: each person's own mapping from valence and arousal to blendshapes (action units)."""

import numpy as np
from numpy.typing import NDArray

from lowbeam.corpora.rendered.feelings import Affect, wandering

REACH = 0.20  # standard deviation, on the circumplex, of the region in which an expression is shown
LAG_S = (0.08, 0.4)  # delay of the face after the emotion
MID_FACE = ("jaw", "mouthFunnel", "mouthPucker", "mouthClose", "mouthShrug", "mouthRoll")  # blendshapes without sides

# Places on the circumplex (valence, arousal) and their blendshapes; a name without a side stands for both. Emotions of
# FER+ are at the places of `ferplus.CIRCUMPLEX`, with the action units of EMFACS-7 (Ekman & Friesen 1983). The others
# are our own, after Russell (1980), A circumplex model of affect.
EXPRESSIONS: dict[str, tuple[tuple[float, float], dict[str, float]]] = {
    "neutral": ((0.0, 0.0), {}),
    "happiness": ((0.81, 0.51), {  # 6 + 12 + 25
        "cheekSquint": 0.9, "cheekRaiser": 0.9, "eyeSquint": 0.3, "mouthSmile": 1.0, "mouthUpperUp": 0.5,
        "mouthLowerDown": 0.3, "mouthDimple": 0.3, "jawOpen": 0.08}),
    "delight": ((0.65, 0.85), {
        "cheekSquint": 0.5, "mouthSmile": 0.9, "jawOpen": 0.4, "mouthUpperUp": 0.4, "browInnerUp": 0.4,
        "browOuterUp": 0.5, "eyeWide": 0.2}),
    "content": ((0.65, -0.25), {
        "mouthSmile": 0.6, "cheekSquint": 0.3, "eyeSquint": 0.2, "mouthDimple": 0.2, "eyeBlink": 0.12}),
    "calm": ((0.25, -0.70), {"eyeBlink": 0.42, "mouthSmile": 0.25, "eyeLookDown": 0.15}),
    "interest": ((0.30, 0.30), {"browOuterUp": 0.4, "browInnerUp": 0.3, "eyeWide": 0.35, "mouthSmile": 0.3}),
    "surprise": ((0.40, 0.67), {  # 1 + 2 + 5 + 26
        "browInnerUp": 0.9, "browOuterUp": 0.9, "eyeWide": 0.9, "jawOpen": 0.45}),
    "alarm": ((-0.10, 0.90), {
        "browInnerUp": 1.0, "browOuterUp": 0.7, "eyeWide": 1.0, "jawOpen": 0.6, "mouthStretch": 0.4}),
    "fear": ((-0.64, 0.60), {  # 1 + 2 + 4 + 5 + 20 + 26
        "browInnerUp": 1.0, "browDown": 0.7, "eyeWide": 0.9, "mouthStretch": 0.5, "jawOpen": 0.2, "mouthFrown": 0.8,
        "mouthLowerDown": 0.2, "mouthShrugLower": 0.2}),
    "anger": ((-0.51, 0.59), {  # 4 + 5 + 7 + 10 + 23 + 25
        "browDown": 1.0, "eyeWide": 0.4, "eyeSquint": 0.3, "noseSneer": 1.0, "mouthUpperUp": 0.4, "mouthLowerDown": 0.6,
        "mouthFunnel": 0.2, "mouthFrown": 0.6, "jawOpen": 0.05}),
    "disgust": ((-0.60, 0.35), {  # 9 + 10 + 15 + 17
        "noseSneer": 1.0, "mouthUpperUp": 0.5, "browDown": 0.9, "eyeSquint": 0.6, "mouthShrugLower": 0.5,
        "mouthFrown": 0.8, "cheekRaiser": 0.3}),
    "contempt": ((-0.32, 0.20), {  # 12 + 14, of one side
        "mouthSmile_L": 0.4, "mouthDimple_L": 0.9, "eyeSquint": 0.4, "browDown_R": 0.4, "mouthFrown_R": 0.4}),
    "sadness": ((-0.63, -0.27), {  # 1 + 4 + 15 + 17, lids and gaze lowered
        "browInnerUp": 1.0, "browDown": 0.5, "mouthFrown": 1.0, "mouthShrugLower": 1.0, "mouthPress": 0.2,
        "eyeSquint": 0.4, "eyeLookDown": 0.3, "eyeBlink": 0.1}),
    "gloom": ((-0.45, -0.65), {
        "mouthFrown": 1.0, "browInnerUp": 0.8, "eyeBlink": 0.35, "eyeLookDown": 0.5, "mouthShrugLower": 0.5}),
    "tired": ((-0.08, -0.85), {"eyeBlink": 0.58, "browInnerUp": 0.2, "mouthFrown": 0.2, "jawOpen": 0.04}),
}  # fmt: skip
NAMES = tuple(EXPRESSIONS)
PLACES = np.array([place for place, _ in EXPRESSIONS.values()])

Weights = dict[str, NDArray[np.float64]]  # by blendshape name, each (n,)


class Style:
    """How one person expresses emotions: preferred expressions, strength, asymmetry and delay."""

    def __init__(self, rng: np.random.Generator) -> None:
        self._rng = rng
        self._preference = rng.normal(0, 0.5, len(NAMES))
        self._strength = rng.uniform(0.8, 1.25)
        self._lag_s = rng.uniform(*LAG_S)
        self._gain: dict[str, float] = {}

    def show(self, affect: Affect, fps: float) -> Weights:
        """The blendshape weights, in [0, 1], for `affect` (n, 2) at `fps` frames per second: a blend of the expressions
        near the delayed affect, with preferences that drift over time."""
        felt = _delayed(affect, self._lag_s * fps)
        drift = np.stack([0.4 * wandering(len(felt), 1 / fps, 15.0, self._rng) for _ in NAMES], 1)
        distance = np.square(felt[:, None] - PLACES).sum(2)
        closeness = np.exp(-distance / (2 * REACH**2) + self._preference + drift)
        shares = closeness / (closeness.sum(1, keepdims=True) + 1e-3)
        weights: Weights = {}
        for share, (_, shapes) in zip(shares.T, EXPRESSIONS.values(), strict=True):
            for name, weight in both_sides(shapes):
                shown = self._strength * self._of(name) * weight * share
                weights[name] = weights.get(name, np.zeros(len(felt))) + shown
        for name in weights:
            flutter = 1 + 0.12 * wandering(len(felt), 1 / fps, 1.5, self._rng)
            weights[name] = np.clip(weights[name] * flutter, 0, 1)
        return weights

    def _of(self, name: str) -> float:
        """This person's gain of a blendshape; the two sides differ by about 10 %."""
        stem = name.removesuffix("_L").removesuffix("_R")
        if stem not in self._gain:
            self._gain[stem] = float(np.exp(self._rng.normal(0, 0.22)))
        if name not in self._gain:
            self._gain[name] = self._gain[stem] * float(np.exp(self._rng.normal(0, 0.1)))
        return self._gain[name]


def both_sides(shapes: dict[str, float]) -> list[tuple[str, float]]:
    """`shapes` with one name per side for blendshapes that have two sides."""
    pairs: list[tuple[str, float]] = []
    for name, weight in shapes.items():
        single = name.startswith(MID_FACE) or name.endswith(("_L", "_R"))
        pairs += [(name, weight)] if single else [(f"{name}_L", weight), (f"{name}_R", weight)]
    return pairs


def _delayed(affect: Affect, frames: float) -> Affect:
    """`affect` after a first-order low-pass filter with a delay of `frames`."""
    keep = frames / (1 + frames)
    out = affect.copy()
    for i in range(1, len(out)):
        out[i] = keep * out[i - 1] + (1 - keep) * affect[i]
    return out
