"""Opens the encoder side of a track, by what its codec sends."""

from lowbeam.codec.compact.policy import CompactBudget, CompactFixed
from lowbeam.codec.compact.track_encoder import CompactTrackEncoder
from lowbeam.codec.policy import Mirror, Policy
from lowbeam.codec.track_encoder import TrackEncoder

AnyPolicy = Policy | CompactFixed | CompactBudget
AnyTrackEncoder = TrackEncoder | CompactTrackEncoder


def open_track_encoder(policy: AnyPolicy, mirror: Mirror, *, is_config_in_band: bool = True) -> AnyTrackEncoder:
    """The encoder of one track by `policy`; the other arguments are those of `TrackEncoder`. Raises `CodecError`."""
    if isinstance(policy, CompactFixed | CompactBudget):
        return CompactTrackEncoder(policy, mirror)
    return TrackEncoder(policy, mirror, is_config_in_band=is_config_in_band)
