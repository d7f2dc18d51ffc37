"""One run from a recipe for video to an ONNX file: code, mix, remember, export, calibrate."""

import json
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from lowbeam.corpora import ferplus
from lowbeam.corpora.choose import load_faces
from lowbeam.corpora.ferplus import Stills
from lowbeam.corpora.labelled import LabelledFaces, Track, tracks_of
from lowbeam.errors import UsageError
from lowbeam.files import make_folder, whole_file
from lowbeam.models.export import export_onnx, export_video_onnx
from lowbeam.models.one_for_all import GRID, OneForAll
from lowbeam.models.temporal import TemporalHead
from lowbeam.pool import cores
from lowbeam.scale import FACE_SIDE, SCALES, Faces, resample, resample_matrix, shrink, side_of
from lowbeam.train.calibrate import calibrate, calibrate_tracks
from lowbeam.train.video.coded_stills import CodedStills, coded_stills
from lowbeam.train.video.coded_tracks import CodedTrack, coded_tracks
from lowbeam.train.video.mixture import started, taught_by, train_mixture
from lowbeam.train.video.recipe import VideoRecipe
from lowbeam.train.video.sources import Corpora, Sources
from lowbeam.train.video.temporal import SeenTrack, TemporalTraining, measure, see, see_faces

TYPICAL_ROUNDS, TYPICAL_FACES = 6, 32

Say = Callable[[str], None]
Progress = Callable[[int, int | None], None]


def train_video(
    recipe: VideoRecipe, corpus: str | Path, video: Iterable[str], out: str | Path, *, start: Path | None = None,
    teacher: Path | None = None, unlabelled: str | None = None, say: Say = print, progress: Progress | None = None,
) -> Path:  # fmt: skip
    """Train as `recipe` says on the stills of a FER+ folder and the recordings of `video`, corpora ``KIND:PATH``; what
    is finished is kept in `out`, and a killed run goes on from it. `start` is the folder of a finished run, whose
    network is trained on; `teacher` that of one that teaches; `unlabelled` a corpus of stills of which only the
    teacher tells.

    Trains on ``train``, chooses and calibrates on ``valid``, and never opens ``test``. Returns the path of the ONNX
    file. Raises `UsageError` where recipe, recordings, start and teacher do not agree, or `out` is of another run;
    `CorpusError` or `OutputError`.
    """
    video = list(video)
    if not video:
        raise UsageError(f"recipe {recipe.name} needs recordings: name a corpus with --video")
    network, taught = started(recipe, start), taught_by(recipe, teacher)
    if bool(recipe.mixture.shares.unlabelled) != (unlabelled is not None):
        found = "needs" if unlabelled is None else "has no use for"
        raise UsageError(f"recipe {recipe.name} {found} unlabelled stills: --unlabelled")
    folder = make_folder(out)
    corpora = _corpora(recipe, corpus, video, folder, progress)
    if unlabelled is not None:
        corpora = replace(corpora, unlabelled=load_faces(unlabelled, "train").pixels)
    say(f"{len(corpora.stills)} stills, {len(corpora.people)} faces of recordings")
    sources = Sources(corpora, recipe.mixture, recipe.augmentation, recipe.seed)
    network = train_mixture(network, sources, recipe, folder / "mixture", taught)
    path = folder / f"{recipe.name}.onnx"
    seen = _typical(corpora, recipe.seed) if recipe.int8 else None
    if recipe.temporal is None:
        with whole_file(path) as beside:
            export_onnx(network, beside, seen)
            calibrate(beside, *_valid_stills(recipe, corpus, folder, progress))
        return path
    valid = _code_tracks(_tracks(video, "valid", progress), folder / "coded" / "valid-tracks", recipe, progress)
    head = _remember(network, corpora, valid, recipe, folder, say)
    with whole_file(path) as beside:
        export_video_onnx(network, head, beside, seen)
        calibrate(beside, *_valid_stills(recipe, corpus, folder, progress))
        calibrate_tracks(beside, [(track.codec, track.time_s, track.pixels, track.affect) for track in valid])
    return path


def _valid_stills(
    recipe: VideoRecipe, corpus: str | Path, folder: Path, progress: Progress | None
) -> tuple[Stills, list[dict[int, Faces]]]:
    """Stills to calibrate on, and where coded ones were shown in training, as codecs leave them."""
    stills = ferplus.load(corpus, "valid")
    if not recipe.mixture.shares.coded_stills:
        return stills, []
    rounds = coded_stills(stills, folder / "coded" / "valid", 1, recipe.seed, None, cores(), progress)
    return stills, [found.pixels for found in rounds]


def _typical(corpora: Corpora, seed: int) -> Iterator[dict[str, NDArray[Any]]]:
    """Inputs of a network in use, by which the ranges of its activations are set: stills at every scale, as they are
    and as codecs leave them."""
    rng = np.random.default_rng(seed)
    for scale in SCALES * TYPICAL_ROUNDS:
        rows = rng.integers(len(corpora.stills), size=TYPICAL_FACES)
        given = [shrink(resample(corpora.stills.pixels[rows], FACE_SIDE), scale)]
        given += [found.pixels[scale][rows] for found in corpora.coded_stills[:1]]
        for faces in given:
            yield {"faces": faces, "resample": resample_matrix(side_of(scale), GRID)}


def _tracks(video: list[str], split: str, progress: Progress | None) -> list[list[Track]]:
    """The recordings of each corpus."""
    return [tracks_of(load_faces(name, split, progress=progress)) for name in video]


def _code_tracks(
    corpora: list[list[Track]], folder: Path, recipe: VideoRecipe, progress: Progress | None
) -> list[CodedTrack]:
    """All recordings coded, each corpus in a folder of its own: another may join without this one being coded anew."""
    found: list[CodedTrack] = []
    for number, tracks in enumerate(corpora):
        place = folder.with_name(f"{folder.name}-{number}")
        found += coded_tracks(tracks, place, recipe.coded.track_draws, recipe.seed + number, cores(), progress)
    return found


def _corpora(
    recipe: VideoRecipe, corpus: str | Path, video: list[str], folder: Path, progress: Progress | None
) -> Corpora:
    shares, stills = recipe.mixture.shares, ferplus.load(corpus, "train")
    recordings = _tracks(video, "train", progress)
    coded_faces: list[CodedStills] = []
    if shares.coded_stills or recipe.temporal is not None:
        coded_faces = coded_stills(
            stills, folder / "coded" / "train", recipe.coded.still_rounds, recipe.seed, recipe.augmentation, cores(),
            progress,
        )  # fmt: skip
    coded: list[CodedTrack] = []
    if shares.coded_tracks or recipe.temporal is not None:
        coded = _code_tracks(recordings, folder / "coded" / "train-tracks", recipe, progress)
    tracks = [track for one in recordings for track in one]
    people = LabelledFaces(
        np.concatenate([track.pixels for track in tracks]), np.concatenate([track.affect for track in tracks]),
        np.repeat(np.arange(len(tracks), dtype=np.int32), [len(track) for track in tracks]),
    )  # fmt: skip
    return Corpora(stills, coded_faces, people, coded)


def _remember(
    network: OneForAll, corpora: Corpora, valid: list[CodedTrack], recipe: VideoRecipe, folder: Path, say: Say
) -> TemporalHead:
    assert recipe.temporal is not None
    torch.manual_seed(recipe.seed)
    training = TemporalTraining(
        see(network, corpora.coded_tracks), _seen_stills(network, corpora, recipe.seed), recipe.temporal, recipe.seed
    )
    seen = see(network, valid)
    head = training.train(TemporalHead(network.width, recipe.temporal.dropout), seen, folder)
    measured = {"each frame by itself": measure(None, seen), "with memory": measure(head, seen)}
    for name, found in measured.items():
        say(f"CCC on valid, {name}: " + ", ".join(f"{value:.3f} at {fps:g} fps" for fps, value in found.items()))
    with whole_file(folder / f"{recipe.name}-valid.json") as beside:
        beside.write_text(json.dumps({"loss": recipe.temporal.loss, "ccc": measured}, indent=1) + "\n")
    return head


def _seen_stills(network: OneForAll, corpora: Corpora, seed: int) -> SeenTrack:
    """A round of coded stills and the stills as they are, each at a scale drawn at random; times mean nothing here."""
    rng = np.random.default_rng(seed)
    drawn = rng.choice(SCALES, len(corpora.stills))
    features, still, order = [], [], []
    for scale in SCALES:
        rows = np.flatnonzero(drawn == scale)
        plain = shrink(resample(corpora.stills.pixels[rows], FACE_SIDE), scale)
        for pixels in (plain, corpora.coded_stills[0].pixels[scale][rows]):
            f, s = see_faces(network, pixels)
            features.append(f)
            still.append(s)
            order.append(rows)
    affect = corpora.stills.affect[np.concatenate(order)]
    return SeenTrack(np.arange(len(affect), dtype=float), torch.cat(features), torch.cat(still), affect, 1.0)
