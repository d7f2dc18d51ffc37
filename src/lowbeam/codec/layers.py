"""Layers: one source sent by several codecs at once, the leanest always and the richer with what the budget leaves."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from lowbeam.codec.budget import Budget, BudgetReport
from lowbeam.codec.compact.policy import CompactBudget
from lowbeam.codec.interface import CodedFace, PlacedFace, TrackHeader
from lowbeam.codec.operating_point import OperatingPoint
from lowbeam.codec.policy import Mirror
from lowbeam.codec.rate_control import RateControl
from lowbeam.codec.track_encoders import AnyPolicy, AnyTrackEncoder, open_track_encoder
from lowbeam.face import Face, FaceEstimate

LEAN_SHARE, MOST_LEAN_BPS = 0.25, 150.0  # of the budget, for the lean layer: more would gain it nothing


def shares(bps: float) -> tuple[float, float]:
    """The budgets of a lean and a rich layer within `bps` bits per second."""
    lean = min(LEAN_SHARE * bps, MOST_LEAN_BPS)
    return lean, bps - lean


@dataclass(frozen=True)
class LayeredFace:
    """A coded face or packet of the layer with this number, from the leanest 0 on."""

    layer: int
    placed: PlacedFace


class Layers:
    """The `policies` of the layers of a source, from the leanest to the richest; often there is one. They are shared by
    the tracks of the source."""

    def __init__(self, policies: Sequence[AnyPolicy]) -> None:
        self.policies = [*policies]
        self.due = [True] * len(self.policies)  # of the last frame

    @property
    def point(self) -> OperatingPoint:
        """The operating point of the richest layer."""
        return self.policies[-1].point

    @property
    def may_change(self) -> bool:
        """Whether the operating point or the frame rate of a layer can change."""
        return any(policy.may_change for policy in self.policies)

    def looks_at(self, time_s: float) -> bool:
        """Whether to search the frame at `time_s` (seconds) for faces. Called once per frame, in order."""
        self.due = [policy.looks_at(time_s) for policy in self.policies]
        return any(self.due)

    @property
    def report(self) -> BudgetReport | None:
        """How the budget of all layers together has been kept so far; None without a budget."""
        found = [policy.report for policy in self.policies if isinstance(policy, RateControl | CompactBudget)]
        if not found:
            return None
        richest = found[-1]
        return replace(
            richest, budget=_together([one.budget for one in found]), most_bps=sum(one.most_bps for one in found),
            is_reachable=all(one.is_reachable for one in found), held_back=sum(one.held_back for one in found),
            lean=found[0] if len(found) > 1 else None,
        )  # fmt: skip


def _together(budgets: Sequence[Budget]) -> Budget:
    return replace(budgets[-1], bps=sum(budget.bps for budget in budgets))


class TrackLayers:
    """The encoder side of one track in all layers. The arguments are those of `TrackEncoder`; the mirror is shared."""

    def __init__(self, layers: Layers, mirror: Mirror, *, is_config_in_band: bool = True) -> None:
        self._layers = layers
        shared = _SharedMirror(mirror) if len(layers.policies) > 1 else mirror
        self.encoders: list[AnyTrackEncoder] = [
            open_track_encoder(policy, shared, is_config_in_band=is_config_in_band) for policy in layers.policies
        ]

    @property
    def is_open(self) -> bool:
        """Whether an encoder is open, or samples wait for others."""
        return any(encoder.is_open for encoder in self.encoders)

    def encode(self, face: Face) -> list[LayeredFace]:
        """Encode an HR face, uint8 (96, 96), in the layers that are due. Raises `CodecError`."""
        return [
            LayeredFace(layer, placed)
            for layer, encoder in enumerate(self.encoders)
            if self._layers.due[layer]
            for placed in encoder.encode(face)
        ]

    def finish_by(self, time_s: float) -> list[LayeredFace]:
        """What is complete at `time_s` (seconds), though no face came since."""
        return [LayeredFace(n, one) for n, encoder in enumerate(self.encoders) for one in encoder.finish_by(time_s)]

    def flush(self) -> list[LayeredFace]:
        """Free the encoders; returns what remained."""
        return [LayeredFace(n, one) for n, encoder in enumerate(self.encoders) for one in encoder.flush()]


class _SharedMirror:
    """A mirror that looks once at each face, however many layers ask it to."""

    def __init__(self, mirror: Mirror) -> None:
        self._mirror = mirror
        self._looked_s = -math.inf

    def look(self, face: Face) -> None:
        """Estimate the next face, if this was not done."""
        if face.time_s != self._looked_s:
            self._looked_s = face.time_s
            self._mirror.look(face)

    def receive(self, header: TrackHeader, coded: CodedFace) -> None:
        """As in `Mirror`."""
        self._mirror.receive(header, coded)

    def release(self) -> None:
        """As in `Mirror`."""
        self._mirror.release()

    @property
    def own(self) -> FaceEstimate:
        """As in `Mirror`."""
        return self._mirror.own

    @property
    def debt(self) -> float:
        """As in `Mirror`."""
        return self._mirror.debt
