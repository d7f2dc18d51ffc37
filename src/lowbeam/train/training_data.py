"""What a run trains and validates on: stills and recordings, as they are and as codecs leave them."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from lowbeam.corpora.choose import kind_and_place, load_faces, load_labelled
from lowbeam.corpora.ferplus import Stills
from lowbeam.corpora.kinds import STILL_KINDS
from lowbeam.corpora.labelled import Affect, LabelledFaces, Track, tracks_of
from lowbeam.errors import CorpusError, UsageError
from lowbeam.pool import cores
from lowbeam.progress import Progress
from lowbeam.scale import Faces
from lowbeam.train.coded_stills import CodedStills, coded_stills, digest
from lowbeam.train.coded_tracks import CodedTrack, coded_tracks
from lowbeam.train.recognizer_recipe import RecognizerRecipe


@dataclass(frozen=True)
class StillCorpus:
    """Labelled stills, and rounds of the same stills coded, in the same order."""

    faces: Stills
    coded: list[CodedStills] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.faces)


@dataclass(frozen=True)
class TrainingData:
    """One split of a run's corpora. `stills` are its corpora of stills; `people` are the faces of all recordings;
    `unlabelled` are faces uint8 (n, d, d) for distillation. What a recipe does not use is None or empty."""

    stills: list[StillCorpus] = field(default_factory=list)
    people: LabelledFaces | None = None
    coded_tracks: list[CodedTrack] = field(default_factory=list)
    unlabelled: Faces | None = None

    def digest(self) -> str:
        """The first digits of a SHA-256 of the labels."""
        return digest(*self.labels(with_coded=self.people is None))[:16]

    def labels(self, with_coded: bool = True) -> list[Affect]:
        """Affect (n, 2) of the stills, of the faces of recordings, and of all coded tracks together."""
        labels = [corpus.faces.affect for corpus in self.stills]
        labels += [self.people.affect] if self.people is not None else []
        coded = [track.affect for track in self.coded_tracks]
        return [*labels, np.concatenate(coded)] if coded and with_coded else labels


@dataclass(frozen=True)
class Corpora:
    """The corpora of a run, each ``KIND:PATH``: any number of `stills` and of `recordings`, and stills of which the
    labels are not used."""

    stills: tuple[str, ...]
    recordings: tuple[str, ...]
    unlabelled: str | None = None


def choose_corpora(recipe: RecognizerRecipe, corpora: Sequence[str], unlabelled: str | None) -> Corpora:
    """Sort `corpora` by kind, and check that they are what `recipe` trains on. Raises `UsageError`."""
    stills = tuple(name for name in corpora if kind_and_place(name)[0] in STILL_KINDS)
    recordings = tuple(name for name in corpora if name not in stills)
    for what, given, needed in (
        ("stills", bool(stills), recipe.needs_stills), ("recordings", bool(recordings), recipe.needs_recordings),
    ):  # fmt: skip
        if needed and not given:
            raise UsageError(f"recipe {recipe.name} trains on {what}: name a corpus of them with --corpus")
        if given and not needed:
            raise UsageError(f"recipe {recipe.name} does not train on {what}: leave out that --corpus")
    if bool(recipe.mixture.shares.unlabelled) != (unlabelled is not None):
        verb = "needs" if unlabelled is None else "does not use"
        raise UsageError(f"recipe {recipe.name} {verb} unlabelled stills (--unlabelled)")
    return Corpora(stills, recordings, unlabelled)


def load_training_data(
    recipe: RecognizerRecipe, corpora: Corpora, folder: Path, progress: Progress | None
) -> TrainingData:
    """The ``train`` split; coded faces are cached in ``folder/coded``. Raises `CorpusError` or `OutputError`."""
    shares, people = recipe.mixture.shares, None
    rounds = recipe.coded.still_rounds if recipe.shows_coded_stills else 0
    stills = _all_stills(corpora, "train", folder, rounds, recipe, progress)
    tracks_coded: list[CodedTrack] = []
    if corpora.recordings:
        recordings = [_tracks(name, "train", progress) for name in corpora.recordings]
        people = _people([track for tracks in recordings for track in tracks])
        if shares.coded_tracks or recipe.temporal is not None:
            tracks_coded = _code_tracks(recordings, folder / "coded" / "train-tracks", recipe, progress)
    unlabelled = None if corpora.unlabelled is None else load_faces(corpora.unlabelled, "train").pixels
    return TrainingData(stills, people, tracks_coded, unlabelled)


def load_validation_data(
    recipe: RecognizerRecipe, corpora: Corpora, folder: Path, progress: Progress | None
) -> TrainingData:
    """The ``valid`` split, without augmentation: stills, and coded ones where training shows such; recordings, coded,
    where there is a temporal head, or where there are no stills. Raises `CorpusError` or `OutputError`."""
    rounds = 1 if recipe.mixture.shares.coded_stills else 0
    stills = _all_stills(corpora, "valid", folder, rounds, recipe, progress)
    tracks_coded: list[CodedTrack] = []
    if recipe.temporal is not None or not stills:
        recordings = [_tracks(name, "valid", progress) for name in corpora.recordings]
        tracks_coded = _code_tracks(recordings, folder / "coded" / "valid-tracks", recipe, progress)
    found = TrainingData(stills, coded_tracks=tracks_coded)
    if any(not labels.size or np.ptp(labels, axis=0).min() == 0 for labels in found.labels()):
        raise CorpusError("valence or arousal is the same in all of the valid split: nothing can be selected by it")
    return found


def _all_stills(
    corpora: Corpora, split: str, folder: Path, rounds: int, recipe: RecognizerRecipe, progress: Progress | None
) -> list[StillCorpus]:
    """A split of each corpus of stills, coded in `rounds` rounds, augmented in the train split. Each has a folder of
    its own, so that another may join without coding it anew."""
    bounds = recipe.augmentation if split == "train" else None
    found = []
    for number, corpus in enumerate(corpora.stills):
        faces = load_labelled(corpus, split)
        assert isinstance(faces, Stills)  # as all labelled kinds of stills are
        place, seed = folder / "coded" / f"{split}-stills-{number}", recipe.seed + number
        coded = coded_stills(faces, place, rounds, seed, bounds, cores(), progress) if rounds else []
        found.append(StillCorpus(faces, coded))
    return found


def _tracks(corpus: str, split: str, progress: Progress | None) -> list[Track]:
    return tracks_of(load_labelled(corpus, split, progress=progress))


def _people(tracks: list[Track]) -> LabelledFaces:
    return LabelledFaces(
        np.concatenate([track.pixels for track in tracks]), np.concatenate([track.affect for track in tracks]),
        np.repeat(np.arange(len(tracks), dtype=np.int32), [len(track) for track in tracks]),
    )  # fmt: skip


def _code_tracks(
    recordings: list[list[Track]], folder: Path, recipe: RecognizerRecipe, progress: Progress | None
) -> list[CodedTrack]:
    """All recordings coded; each corpus has a folder of its own, so that another may join without coding it anew."""
    found: list[CodedTrack] = []
    for number, tracks in enumerate(recordings):
        place = folder.with_name(f"{folder.name}-{number}")
        found += coded_tracks(tracks, place, recipe.coded.track_draws, recipe.seed + number, cores(), progress)
    return found
