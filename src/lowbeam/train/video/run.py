"""One run from a recipe for video to an ONNX file: code, mix, remember, export, calibrate."""

import json
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
import torch

from lowbeam.corpora import ferplus
from lowbeam.corpora.choose import load_faces
from lowbeam.corpora.labelled import LabelledFaces, Track, tracks_of
from lowbeam.errors import UsageError
from lowbeam.files import make_folder, whole_file
from lowbeam.models.export import export_onnx, export_video_onnx
from lowbeam.models.one_for_all import OneForAll
from lowbeam.models.temporal import TemporalHead
from lowbeam.pool import cores
from lowbeam.scale import FACE_SIDE, SCALES, resample, shrink
from lowbeam.train.calibrate import calibrate, calibrate_tracks
from lowbeam.train.video.coded_stills import CodedStills, coded_stills
from lowbeam.train.video.coded_tracks import CodedTrack, coded_tracks
from lowbeam.train.video.mixture import started, train_mixture
from lowbeam.train.video.recipe import VideoRecipe
from lowbeam.train.video.sources import Corpora, Sources
from lowbeam.train.video.temporal import SeenTrack, TemporalTraining, measure, see, see_faces

Say = Callable[[str], None]
Progress = Callable[[int, int | None], None]


def train_video(
    recipe: VideoRecipe, corpus: str | Path, video: Iterable[str], out: str | Path, *, start: Path | None = None,
    say: Say = print, progress: Progress | None = None,
) -> Path:  # fmt: skip
    """Train as `recipe` says on the stills of a FER+ folder and the recordings of `video`, corpora ``KIND:PATH``; what
    is finished is kept in `out`, and a killed run goes on from it. `start` is the folder of a finished run of
    ``one-for-all``, whose network is trained on.

    Trains on ``train``, chooses and calibrates on ``valid``, and never opens ``test``. Returns the path of the ONNX
    file.
    """
    video = list(video)
    if not video:
        raise UsageError(f"recipe {recipe.name} needs recordings: name a corpus with --video")
    folder = make_folder(out)
    network = started(recipe, start)
    corpora = _corpora(recipe, corpus, video, folder, progress)
    say(f"{len(corpora.stills)} stills, {len(corpora.people)} faces of recordings")
    sources = Sources(corpora, recipe.mixture, recipe.augmentation, recipe.seed)
    network = train_mixture(network, sources, recipe, folder / "mixture")
    stills = ferplus.load(corpus, "valid")
    path = folder / f"{recipe.name}.onnx"
    if recipe.temporal is None:
        with whole_file(path) as beside:
            export_onnx(network, beside)
            calibrate(beside, stills)
        return path
    valid = _code_tracks(_tracks(video, "valid", progress), folder / "coded" / "valid-tracks", recipe, progress)
    head = _remember(network, corpora, valid, recipe, folder, say)
    with whole_file(path) as beside:
        export_video_onnx(network, head, beside)
        calibrate(beside, stills)
        calibrate_tracks(beside, [(track.time_s, track.pixels, track.affect) for track in valid])
    return path


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
    head = training.train(TemporalHead(OneForAll.FEATURES, recipe.temporal.dropout), seen, folder)
    measured = {"each frame by itself": measure(None, seen), "with memory": measure(head, seen)}
    for name, found in measured.items():
        say(f"CCC on valid, {name}: " + ", ".join(f"{value:.3f} at {fps:g} fps" for fps, value in found.items()))
    with whole_file(folder / "valid.json") as beside:
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
