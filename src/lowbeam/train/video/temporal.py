"""The second half of a run: the head that remembers, on what the trained network makes of every frame."""

import csv
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from lowbeam.corpora.labelled import Affect
from lowbeam.models.one_for_all import OneForAll
from lowbeam.models.temporal import MAX_GAP_S, TemporalHead
from lowbeam.scale import Faces
from lowbeam.train.degrade import on_grid
from lowbeam.train.losses import ccc_loss, gaussian_nll
from lowbeam.train.video.coded_tracks import CodedTrack
from lowbeam.train.video.recipe import Temporal

PART = 512  # faces read at a time
CHUNK = 64  # frames computed at once: their differences in time make a matrix
WINDOW = 1024  # most frames of a track in a batch
BUDGET = 12288  # most frames in a batch
CHECK_EVERY = 200  # steps


@dataclass(frozen=True)
class SeenTrack:
    """What the network makes of a track: `features` float16 (n, f), and `still` float32 (n, 4), affect and the
    logarithms of its variance, of each frame at `time_s`."""

    time_s: NDArray[np.float64]
    features: Tensor
    still: Tensor
    affect: Affect
    fps: float


def see(network: OneForAll, tracks: list[CodedTrack]) -> list[SeenTrack]:
    """Read every frame of `tracks` by itself."""
    seen = []
    for track in tracks:
        features, still = see_faces(network, track.pixels)
        seen.append(SeenTrack(track.time_s, features, still, track.affect, track.fps))
    return seen


@torch.no_grad()
def see_faces(network: OneForAll, pixels: Faces) -> tuple[Tensor, Tensor]:
    """Features float16 (n, f) and readings (n, 4) of faces uint8 (n, d, d)."""
    features, still = [], []
    for start in range(0, len(pixels), PART):
        with torch.autocast("cpu", torch.bfloat16):
            pooled = network.features(on_grid(torch.from_numpy(pixels[start : start + PART])))
            affect, log_variance, _ = network.read(pooled)
        features.append(pooled.half())
        still.append(torch.cat([affect, log_variance], 1).float())
    return torch.cat(features), torch.cat(still)


def run_head(head: TemporalHead, features: Tensor, still: Tensor, gaps_s: Tensor) -> tuple[Tensor, Tensor]:
    """The head over whole runs, (b, t, …), a chunk at a time; affect and the logarithms of its variance (b, t, 2)."""
    state = features.new_zeros((len(features), *head.state_shape))
    affect, log_variance = [], []
    for start in range(0, features.shape[1], CHUNK):
        part = slice(start, start + CHUNK)
        a, v, state = head(features[:, part], still[:, part], gaps_s[:, part], state)
        affect.append(a)
        log_variance.append(v)
    return torch.cat(affect, 1), torch.cat(log_variance, 1)


def gaps(time_s: NDArray[np.float64]) -> NDArray[np.float32]:
    """Seconds since the frame before; nothing was before the first."""
    return np.diff(time_s, prepend=time_s[0] - MAX_GAP_S).astype(np.float32)


class TemporalTraining:
    """Trains a head on seen tracks, each batch of one frame rate, and on stills, each a run of one frame."""

    def __init__(self, tracks: list[SeenTrack], stills: SeenTrack, settings: Temporal, seed: int) -> None:
        self._by_fps = {fps: [t for t in tracks if t.fps == fps] for fps in sorted({t.fps for t in tracks})}
        self._stills, self._settings = stills, settings
        self._rng = np.random.default_rng(seed)

    def train(self, head: TemporalHead, valid: list[SeenTrack], folder: Path) -> TemporalHead:
        """Train `head`, and leave it as it was when it read `valid` best; ``temporal.csv`` in `folder` tells how it
        went."""
        settings = self._settings
        optimizer = torch.optim.AdamW(head.parameters(), lr=settings.learning_rate, weight_decay=settings.weight_decay)
        schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, settings.learning_rate, total_steps=settings.steps)
        best, best_score, rows = head.state_dict(), -1.0, []
        for step in range(1, settings.steps + 1):
            head.train()
            loss = self._tracks_loss(head) + self._stills_loss(head)
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            torch.nn.utils.clip_grad_norm_(head.parameters(), 1.0)
            optimizer.step()
            schedule.step()
            if step % CHECK_EVERY == 0 or step == settings.steps:
                score = float(np.mean(list(measure(head, valid).values())))
                rows.append([step, f"{loss.item():.4f}", f"{score:.4f}"])
                if score > best_score:
                    best, best_score = {k: v.clone() for k, v in head.state_dict().items()}, score
        head.load_state_dict(best)
        with (folder / "temporal.csv").open("w", newline="") as file:
            csv.writer(file).writerows([["step", "loss", "valid_ccc"], *rows])
        return head.eval()

    def _loss(self, affect: Tensor, log_variance: Tensor, truth: Tensor) -> Tensor:
        main = ccc_loss(affect, truth) if self._settings.loss == "ccc" else (affect - truth).square().mean()
        return main + self._settings.nll_weight * gaussian_nll(affect, log_variance, truth)

    def _tracks_loss(self, head: TemporalHead) -> Tensor:
        tracks = self._by_fps[float(self._rng.choice(list(self._by_fps)))]
        # As long as one of them, drawn at random, and from anywhere in those that are longer.
        window = min(WINDOW, len(tracks[self._rng.integers(len(tracks))].time_s))
        tracks = [track for track in tracks if len(track.time_s) >= window]
        count = max(1, min(self._settings.tracks, BUDGET // window))
        parts = [self._part(tracks[i], window) for i in self._rng.integers(len(tracks), size=count)]
        length = min(len(part[3]) for part in parts)
        features, still, gaps_s, truth = (torch.stack([part[i][:length] for part in parts]) for i in range(4))
        affect, log_variance = run_head(head, features, still, gaps_s)
        return self._loss(affect.flatten(0, 1), log_variance.flatten(0, 1), truth.flatten(0, 1))

    def _part(self, track: SeenTrack, window: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """A window of a track, from which the link has lost some frames."""
        start = int(self._rng.integers(len(track.time_s) - window + 1))
        kept = self._rng.random(window) >= self._rng.uniform(0, self._settings.frame_loss)
        kept[0] = True
        rows = start + np.flatnonzero(kept)
        chosen = torch.from_numpy(rows)
        return (
            track.features[chosen].float(), track.still[chosen], torch.from_numpy(gaps(track.time_s[rows])),
            torch.from_numpy(track.affect[rows]),
        )  # fmt: skip

    def _stills_loss(self, head: TemporalHead) -> Tensor:
        if not self._settings.stills:
            return torch.zeros(())
        rows = torch.from_numpy(self._rng.integers(len(self._stills.still), size=self._settings.stills))
        affect, log_variance = run_head(
            head, self._stills.features[rows].float()[:, None], self._stills.still[rows][:, None],
            torch.full((len(rows), 1), MAX_GAP_S),
        )  # fmt: skip
        return self._loss(affect[:, 0], log_variance[:, 0], torch.from_numpy(self._stills.affect)[rows])


@torch.no_grad()
def readings(head: TemporalHead | None, track: SeenTrack) -> NDArray[np.float32]:
    """Affect (n, 2) of a track's frames, by the head, or of each frame by itself where there is none."""
    if head is None:
        return track.still[:, :2].numpy()
    head.eval()
    gaps_s = torch.from_numpy(gaps(track.time_s))[None]
    return run_head(head, track.features.float()[None], track.still[None], gaps_s)[0][0].numpy()


def measure(head: TemporalHead | None, tracks: list[SeenTrack]) -> dict[float, float]:
    """Mean CCC of valence and arousal over all frames at each frame rate."""
    found = {}
    for fps in sorted({t.fps for t in tracks}):
        alike = [t for t in tracks if t.fps == fps]
        read = torch.from_numpy(np.concatenate([readings(head, t) for t in alike]))
        truth = torch.from_numpy(np.concatenate([t.affect for t in alike]))
        found[fps] = 1 - float(ccc_loss(read, truth))
    return found
