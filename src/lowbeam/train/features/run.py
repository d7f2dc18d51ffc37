"""A run of a recipe of kind ``features``: all networks together, the memory, calibration, export."""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from lowbeam.corpora.choose import kind_and_place, load_faces, load_labelled
from lowbeam.corpora.ferplus import Stills
from lowbeam.corpora.kinds import STILL_KINDS
from lowbeam.corpora.labelled import LabelledFaces, Track, tracks_of
from lowbeam.errors import UsageError
from lowbeam.files import exclusive, make_folder
from lowbeam.models.export_features import (
    export_animator,
    export_encoder,
    export_readout,
    export_tables,
    tables_of,
)  # fmt: skip
from lowbeam.models.feature_codec import HIDDEN, LEVELS, FeatureCodec
from lowbeam.models.memory_format import channels_last
from lowbeam.models.one_for_all import GRID, SIZES, OneForAll, Trunk
from lowbeam.models.recover import restore_statistics
from lowbeam.models.temporal import TemporalHead
from lowbeam.progress import Progress
from lowbeam.scale import FACE_SIDE, resample, resample_matrix, shrink
from lowbeam.train.calibrate import FACTOR_ONLY, POWERS, fit
from lowbeam.train.checkpoint import UNREADABLE, cpu_weights, load_checkpoint, save_checkpoint
from lowbeam.train.degrade import received
from lowbeam.train.features.batches import Drawer
from lowbeam.train.features.memory import latents_of_faces, read_out, stills_read, tracks_read, with_teacher
from lowbeam.train.features.recipe import FeaturesRecipe
from lowbeam.train.features.task import FeatureTask
from lowbeam.train.loop import fit as fit_task
from lowbeam.train.schedule import OneCycle
from lowbeam.train.start import digest, load_start
from lowbeam.train.temporal import TemporalTask, ccc_by_fps, run_head
from lowbeam.train.temporal import gaps as gaps_of

TYPICAL_ROUNDS, TYPICAL_FACES = 6, 32
Say = Callable[[str], None]
NETWORKS, KIND = "networks.pt", "features"
FILES = ("encoder.onnx", "readout.onnx", "animator.onnx", "tables.json")


def train_features(
    recipe: FeaturesRecipe, corpora: Sequence[str], out: str | Path, *, start: str | Path,
    teacher: str | Path | None = None, unlabelled: str, say: Say = print, progress: Progress | None = None,
) -> Path:  # fmt: skip
    """Train as `recipe` says, on labelled stills and recordings, `corpora` each ``KIND:PATH``, and on the stills
    `unlabelled`. The recognizer `start` gives the encoder its trunk, and is the teacher; or `start` is the folder of
    an earlier run, which goes on, and `teacher` a recognizer. Writes `FILES` to `out`; a stopped run resumes. Runs on
    the CPU.

    Trains on the ``train`` split, selects and calibrates on ``valid``, and never opens ``test``. Returns the folder.
    Raises `UsageError`, `CorpusError`, `ModelError` or `OutputError`.
    """
    stills_corpora = [name for name in corpora if kind_and_place(name)[0] in STILL_KINDS]
    if len(stills_corpora) != 1 or len(corpora) < 2:
        raise UsageError(f"recipe {recipe.name} takes one corpus of labelled stills, and at least one of recordings")
    before = Path(start) / NETWORKS
    if before.is_file() and teacher is None:
        raise UsageError(f"{start} is a run of features: name its teacher (--teacher accurate)")
    taught_by, teacher_head = load_start(start if teacher is None else teacher)
    folder = make_folder(out)
    with exclusive(folder / "lock", wait=False) as ours:
        if not ours:
            raise UsageError(f"{folder} is in use by another run of `lowbeam train`")
        run = _Run(recipe, folder, say)
        stills = {split: _stills(stills_corpora[0], split) for split in ("train", "valid")}
        recordings = [name for name in corpora if name not in stills_corpora]
        tracks = {split: _tracks(recordings, split, progress) for split in ("train", "valid")}
        others = load_faces(unlabelled, "train")
        say(f"{len(stills['train']):,} stills, {len(others):,} unlabelled, {len(tracks['train'])} recordings")
        codec = run.new_codec(taught_by, stills["train"]) if not before.is_file() else load_networks(before)
        run.train_together(codec, channels_last(taught_by), stills, others, tracks["train"])
        save_checkpoint(folder / NETWORKS, kind=KIND, weights=cpu_weights(codec))
        head = run.train_memory(codec, taught_by, teacher_head, stills["train"], tracks)
        run.export(codec, head, stills, tracks["valid"])
    return folder


def load_networks(path: Path) -> FeatureCodec:
    """The networks of an earlier run. Raises `UsageError`."""
    try:
        content = load_checkpoint(path)
        if content["kind"] != KIND:
            raise ValueError(f"networks of kind {content['kind']}")
        codec = FeatureCodec(OneForAll(Trunk(SIZES["accurate"])))
        codec.load_state_dict(content["weights"])
    except UNREADABLE as error:
        raise UsageError(f"{path} is damaged or of another version") from error
    return channels_last(codec)


def _stills(corpus: str, split: str) -> Stills:
    found = load_labelled(corpus, split)
    assert isinstance(found, Stills)  # the one labelled kind of stills
    return found


def _tracks(corpora: Sequence[str], split: str, progress: Progress | None) -> list[Track]:
    return [track for name in corpora for track in tracks_of(load_labelled(name, split, progress=progress))]


class _Run:
    """The stages of a run in `folder`."""

    def __init__(self, recipe: FeaturesRecipe, folder: Path, say: Say) -> None:
        self._recipe, self._folder, self._say = recipe, folder, say

    def new_codec(self, teacher: OneForAll, stills: Stills) -> FeatureCodec:
        """Networks whose encoder begins with the trunk of `teacher`."""
        torch.manual_seed(self._recipe.seed)
        own = OneForAll(Trunk(teacher.trunk.size))
        own.load_state_dict(teacher.state_dict())
        restore_statistics(own, _typical_grids(stills, self._recipe.seed))
        return channels_last(FeatureCodec(own))

    def train_together(
        self, codec: FeatureCodec, teacher: OneForAll, stills: dict[str, Stills], unlabelled: LabelledFaces,
        tracks: list[Track],
    ) -> None:  # fmt: skip
        """Encoder, prior, readout and animator."""
        recipe = self._recipe
        torch.manual_seed(recipe.seed)
        rng = np.random.default_rng(recipe.seed)
        drawer = Drawer(recipe, stills["train"], unlabelled, tracks, rng)
        task = FeatureTask(codec, teacher, recipe, drawer, rng, stills["valid"])
        optimizer = torch.optim.AdamW(
            task.parameter_groups(), lr=recipe.learning_rate, weight_decay=recipe.weight_decay
        )
        about = {
            "recipe": recipe.model_dump_json(exclude={"temporal", "memory_fps"}), "teacher": digest(teacher),
            "start": digest(codec),
        }  # fmt: skip
        keep_best = not recipe.weights.identity  # the validation loss does not see what the adversary finds
        fit_task(task, optimizer, OneCycle(optimizer, recipe.steps), self._folder / "together", about=about,
                 max_gradient_norm=1.0, average_decay=recipe.average_decay, keep_best=keep_best)  # fmt: skip
        codec.eval()

    def train_memory(
        self, codec: FeatureCodec, teacher: OneForAll, teacher_head: TemporalHead | None, stills: Stills,
        tracks: dict[str, list[Track]],
    ) -> TemporalHead:  # fmt: skip
        """The temporal head, on what the readout makes of tracks."""
        recipe, rng = self._recipe, np.random.default_rng(self._recipe.seed)
        read = {}
        for split, some in tracks.items():
            targets = with_teacher(some, teacher, teacher_head) if split == "train" else some
            pairs = [(track, latents_of_faces(codec, np.asarray(track.pixels))) for track in targets]
            read[split] = tracks_read(codec, pairs, recipe.memory_fps, rng)
        torch.manual_seed(recipe.seed)
        head = TemporalHead(HIDDEN, recipe.temporal.dropout)
        shown = stills_read(codec, stills, rng)
        task = TemporalTask(head, read["train"], shown, read["valid"], recipe.temporal, recipe.seed)
        settings = recipe.temporal
        optimizer = torch.optim.AdamW(head.parameters(), lr=settings.learning_rate, weight_decay=settings.weight_decay)
        about = {"recipe": recipe.model_dump_json(), "network": digest(codec)}
        fit_task(task, optimizer, OneCycle(optimizer, settings.steps), self._folder / "memory", about=about,
                 max_gradient_norm=1.0, start_competes=True)  # fmt: skip
        for name, found in (
            ("each face by itself", ccc_by_fps(None, read["valid"])), ("with memory", ccc_by_fps(head, read["valid"])),
        ):  # fmt: skip
            self._say(f"CCC on valid, {name}: " + ", ".join(f"{v:.3f} at {fps:g} fps" for fps, v in found.items()))
        return head.eval()

    def export(
        self, codec: FeatureCodec, head: TemporalHead, stills: dict[str, Stills], tracks: list[Track]
    ) -> None:  # fmt: skip
        """Write `FILES`, calibrated on the valid split."""
        folder = self._folder
        pairs = [(track, latents_of_faces(codec, np.asarray(track.pixels))) for track in tracks]
        latents = latents_of_faces(codec, stills["valid"].pixels)
        alone = [_fitted([_still_errors(codec, latents, stills["valid"], level)]) for level in range(LEVELS)]
        followed = [
            _fitted([_track_errors(codec, head, track, one, level) for track, one in pairs], FACTOR_ONLY)
            for level in range(LEVELS)
        ]
        export_encoder(codec, folder / FILES[0], _typical_inputs(stills["train"], self._recipe.seed))
        export_readout(codec, head, folder / FILES[1], alone, followed)
        export_animator(codec.animator, folder / FILES[2])
        export_tables(tables_of(codec), folder / FILES[3])


Errors = tuple[NDArray[Any], NDArray[Any]]  # of valence and arousal, and their deviations: (n, 2) each


def _errors(affect: Tensor, log_variance: Tensor, truth: NDArray[Any]) -> Errors:
    return np.abs(affect.numpy() - truth), torch.exp(0.5 * log_variance).numpy()


def _still_errors(codec: FeatureCodec, latents: Tensor, stills: Stills, level: int) -> Errors:
    _, single = read_out(codec, latents, torch.full((len(latents),), level))
    return _errors(single[:, :2], single[:, 2:], stills.affect)


@torch.no_grad()
def _track_errors(codec: FeatureCodec, head: TemporalHead, track: Track, latents: Tensor, level: int) -> Errors:
    step = max(1, round(0.2 / float(np.median(np.diff(track.time_s)))))
    rows = np.arange(0, len(track), step)
    features, single = read_out(codec, latents[rows], torch.full((len(rows),), level))
    gap_s = torch.from_numpy(gaps_of(track.time_s[rows]))[None]
    affect, log_variance = run_head(head, features.float()[None], single[None], gap_s)
    return _errors(affect[0], log_variance[0], track.affect[rows])


def _fitted(errors: Sequence[Errors], powers: Sequence[float] = POWERS) -> list[list[float]]:
    """Factor and power for valence and for arousal."""
    missed, std = (np.concatenate([one[i] for one in errors]) for i in (0, 1))
    return [list(fit([(missed[:, i], std[:, i])], powers)) for i in (0, 1)]


def _typical(stills: Stills, seed: int) -> Iterator[NDArray[np.uint8]]:
    rng = np.random.default_rng(seed)
    for scale in (1, 2, 3, 4, 6, 8) * TYPICAL_ROUNDS:
        rows = np.sort(rng.integers(len(stills), size=TYPICAL_FACES))
        yield shrink(resample(stills.pixels[rows], FACE_SIDE), scale)


def _typical_grids(stills: Stills, seed: int) -> Iterator[Tensor]:
    return (received(torch.from_numpy(resample(faces, FACE_SIDE)).float(), 1) for faces in _typical(stills, seed))


def _typical_inputs(stills: Stills, seed: int) -> Iterator[dict[str, NDArray[Any]]]:
    for faces in _typical(stills, seed):
        yield {"faces": faces, "resample": resample_matrix(faces.shape[1], GRID)}
