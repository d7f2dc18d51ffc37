"""Stage 3, optional: the temporal head is trained on the trained network's features of every frame."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from lowbeam.corpora.labelled import Affect
from lowbeam.models.one_for_all import OneForAll
from lowbeam.models.temporal import MAX_GAP_S, TemporalHead
from lowbeam.scale import Faces
from lowbeam.train.coded_tracks import CodedTrack
from lowbeam.train.degrade import on_grid
from lowbeam.train.loop import Task
from lowbeam.train.losses import ccc_loss, gaussian_nll
from lowbeam.train.recognizer_recipe import Temporal

PART = 512  # faces in a forward pass
CHUNK = 64  # frames computed at once: their differences in time make a matrix
WINDOW = 1024  # most frames of a track in a batch
BUDGET = 12288  # most frames in a batch


@dataclass(frozen=True)
class TrackFeatures:
    """What the network computes for each frame of a track: `features` float16 (n, f), and `single` float32 (n, 4), the
    frame's own affect and log variances; at `time_s` (n,) seconds, with labels `affect` (n, 2)."""

    time_s: NDArray[np.float64]
    features: Tensor
    single: Tensor
    affect: Affect
    fps: float


class Batch(NamedTuple):
    """Tracks of equal length (b, t, …), and stills (m, 1, …) as tracks of one frame: features, single-frame outputs,
    seconds since the frame before, labels."""

    tracks: tuple[Tensor, Tensor, Tensor, Tensor]
    stills: tuple[Tensor, Tensor, Tensor, Tensor] | None


def track_features(network: OneForAll, tracks: list[CodedTrack]) -> list[TrackFeatures]:
    """Features and single-frame outputs of every frame of `tracks`."""
    found = []
    for track in tracks:
        features, single = face_features(network, track.pixels)
        found.append(TrackFeatures(track.time_s, features, single, track.affect, track.fps))
    return found


@torch.no_grad()
def face_features(network: OneForAll, pixels: Faces) -> tuple[Tensor, Tensor]:
    """Features float16 (n, f) and outputs (n, 4), affect and log variances, of faces uint8 (n, d, d); on the CPU."""
    features, single, device = [], [], network.readout.weight.device
    for start in range(0, len(pixels), PART):
        with torch.autocast(device.type, torch.bfloat16):
            pooled = network.features(on_grid(torch.from_numpy(pixels[start : start + PART]).to(device)))
            affect, log_variance, _ = network.read(pooled)
        features.append(pooled.half().cpu())
        single.append(torch.cat([affect, log_variance], 1).float().cpu())
    return torch.cat(features), torch.cat(single)


def run_head(head: TemporalHead, features: Tensor, single: Tensor, gaps_s: Tensor) -> tuple[Tensor, Tensor]:
    """The head over whole tracks, (b, t, …), a chunk at a time; affect and its log variances, (b, t, 2) each."""
    state = features.new_zeros((len(features), *head.state_shape))
    affect, log_variance = [], []
    for start in range(0, features.shape[1], CHUNK):
        part = slice(start, start + CHUNK)
        a, v, state = head(features[:, part], single[:, part], gaps_s[:, part], state)
        affect.append(a)
        log_variance.append(v)
    return torch.cat(affect, 1), torch.cat(log_variance, 1)


def gaps(time_s: NDArray[np.float64]) -> NDArray[np.float32]:
    """Seconds since the frame before; the first frame has none before it, which counts as `MAX_GAP_S`."""
    return np.diff(time_s, prepend=time_s[0] - MAX_GAP_S).astype(np.float32)


class TemporalTask(Task[Batch]):
    """Each batch holds tracks of one frame rate, and stills as tracks of one frame; runs on the CPU, where it is fast.

    `stills` may be None where the recipe takes none; `valid` are the tracks of the validation loss, 1 - CCC.
    """

    loss_names = ("tracks", "stills")

    def __init__(
        self, head: TemporalHead, tracks: list[TrackFeatures], stills: TrackFeatures | None,
        valid: list[TrackFeatures], settings: Temporal, seed: int,
    ) -> None:  # fmt: skip
        self._rng = np.random.default_rng(seed)
        super().__init__(head, rng=self._rng)
        self._head, self._valid, self._settings = head, valid, settings
        self._by_fps = {fps: [t for t in tracks if t.fps == fps] for fps in sorted({t.fps for t in tracks})}
        self._stills = stills if settings.stills else None

    def batches(self) -> Iterator[Batch]:
        """Windows of tracks and stills, drawn at random."""
        while True:
            tracks = self._draw_tracks()
            yield Batch(tracks, None if self._stills is None else self._draw_stills(self._stills))

    def losses(self, batch: Batch) -> Tensor:
        """The loss on the tracks, and that on the stills."""
        on_tracks = self._loss(batch.tracks)
        return torch.stack([on_tracks, on_tracks.new_zeros(()) if batch.stills is None else self._loss(batch.stills)])

    def valid_loss(self, network: TemporalHead) -> float:
        """1 - CCC, the mean over frame rates."""
        return 1 - float(np.mean(list(ccc_by_fps(network, self._valid).values())))

    def _loss(self, part: tuple[Tensor, Tensor, Tensor, Tensor]) -> Tensor:
        features, single, gaps_s, truth = part
        affect, log_variance = (out.flatten(0, 1) for out in run_head(self._head, features, single, gaps_s))
        truth = truth.flatten(0, 1)
        main = ccc_loss(affect, truth) if self._settings.loss == "ccc" else (affect - truth).square().mean()
        return main + self._settings.nll_weight * gaussian_nll(affect, log_variance, truth)

    def _draw_tracks(self) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        tracks = self._by_fps[float(self._rng.choice(list(self._by_fps)))]
        # As long as one of them, drawn at random, and from anywhere in those that are longer.
        window = min(WINDOW, len(tracks[self._rng.integers(len(tracks))].time_s))
        tracks = [track for track in tracks if len(track.time_s) >= window]
        count = max(1, min(self._settings.tracks, BUDGET // window))
        parts = [self._window(tracks[i], window) for i in self._rng.integers(len(tracks), size=count)]
        length = min(len(part[3]) for part in parts)
        features, single, gaps_s, truth = (torch.stack([part[i][:length] for part in parts]) for i in range(4))
        return features, single, gaps_s, truth

    def _window(self, track: TrackFeatures, window: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """A window of a track, without the frames that a link is taken to lose."""
        start = int(self._rng.integers(len(track.time_s) - window + 1))
        kept = self._rng.random(window) >= self._rng.uniform(0, self._settings.frame_loss)
        kept[0] = True
        rows = start + np.flatnonzero(kept)
        chosen = torch.from_numpy(rows)
        return (
            track.features[chosen].float(), track.single[chosen], torch.from_numpy(gaps(track.time_s[rows])),
            torch.from_numpy(track.affect[rows]),
        )  # fmt: skip

    def _draw_stills(self, stills: TrackFeatures) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        rows = torch.from_numpy(self._rng.integers(len(stills.single), size=self._settings.stills))
        return (
            stills.features[rows].float()[:, None], stills.single[rows][:, None],
            torch.full((len(rows), 1), MAX_GAP_S), torch.from_numpy(stills.affect)[rows][:, None],
        )  # fmt: skip


@torch.no_grad()
def affect_of(head: TemporalHead | None, track: TrackFeatures) -> NDArray[np.float32]:
    """Affect (n, 2) of a track's frames, by the head, or of each frame by itself where there is none."""
    if head is None:
        return track.single[:, :2].numpy()
    head.eval()
    gaps_s = torch.from_numpy(gaps(track.time_s))[None]
    return run_head(head, track.features.float()[None], track.single[None], gaps_s)[0][0].numpy()


def ccc_by_fps(head: TemporalHead | None, tracks: list[TrackFeatures]) -> dict[float, float]:
    """Mean CCC of valence and arousal over all frames at each frame rate."""
    found = {}
    for fps in sorted({t.fps for t in tracks}):
        alike = [t for t in tracks if t.fps == fps]
        estimated = torch.from_numpy(np.concatenate([affect_of(head, t) for t in alike]))
        truth = torch.from_numpy(np.concatenate([t.affect for t in alike]))
        found[fps] = 1 - float(ccc_loss(estimated, truth))
    return found
