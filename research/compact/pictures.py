"""What a viewer sees at a budget: faces drawn from latents and a key face, and pixels under rate control.

Every way sends the same recordings within the same budget of RTP packets. Its last picture is enlarged to 48 pixels,
held until the next, and compared with the true face at 48 pixels, at every frame of the recording from the time on at
which every way has shown a picture. Pictures are at their own times: what waits in a packet is stated as `latency_s`.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torchmetrics.functional.image import peak_signal_noise_ratio, structural_similarity_index_measure

from lowbeam.cli.show import print_table
from lowbeam.codec import CodedFace, Decoder, OperatingPoint, PlacedFace, Sample, TrackHeader, open_decoder
from lowbeam.codec.budget import Budget
from lowbeam.codec.compact.feature_networks import GRID
from lowbeam.codec.compact.policy import CompactBudget
from lowbeam.codec.operating_table import entry_for, ladder, lowest_budget
from lowbeam.codec.policy import NoMirror
from lowbeam.codec.rate_control import RateControl
from lowbeam.codec.registry import CODECS
from lowbeam.codec.track_encoders import AnyTrackEncoder, open_track_encoder
from lowbeam.corpora.choose import corpus_name, load_faces, recording_names
from lowbeam.corpora.labelled import Track, tracks_of
from lowbeam.errors import CorpusError
from lowbeam.face import Box, Face
from lowbeam.mirror import ReceiverMirror
from lowbeam.progress import Progress
from lowbeam.recognize import DEFAULT_MODEL, Recognizer
from lowbeam.scale import FACE_SIDE, Faces, resample

FEATURES, STILL = "features + key face", "first picture, still"
DIGITS = {"psnr_db": 2, "ssim": 4}
CLEAN_DB = 100.0  # of a picture without any error, whose PSNR is infinite
EARLY_S = 5e-4  # a picture's time is in whole milliseconds
PERSON = 1
Numbers = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Sent:
    """What a viewer gets of a recording in one way: `pictures`, uint8 (n, 48, 48), at increasing times `time_s` (n,) in
    seconds, which are visible `latency_s` later. `about` says how they were sent, ready for JSON."""

    time_s: Numbers
    pictures: Faces
    latency_s: float
    about: dict[str, Any]

    def at(self, time_s: Numbers) -> Faces:
        """The pictures held at `time_s` (m,), none before the first: uint8 (m, 48, 48)."""
        return self.pictures[np.searchsorted(self.time_s, time_s + EARLY_S, "right") - 1]


@dataclass(frozen=True, eq=False)
class Viewed:
    """A recording as it is seen: its `name`, the times of the frames at which all ways show a picture, seconds (m,),
    the true faces at 48 pixels, and those of each way, uint8 (m, 48, 48)."""

    name: str
    time_s: Numbers
    true: Faces
    shown: dict[str, Faces]


def measure_pictures(
    corpora: Sequence[str], budget: Budget, *, split: str = "test", most_s: float | None = None,
    least_s: float | None = None, model: str = DEFAULT_MODEL, progress: Progress | None = None,
) -> tuple[dict[str, Any], list[list[Viewed]]]:  # fmt: skip
    """Send the recordings of a split of each of `corpora` (``KIND:PATH``) within `budget`. Of each recording the first
    `most_s` seconds are sent, by default all; one of fewer than `least_s` is played to and fro until it has that many.

    Returns results ready for JSON, and what is seen of the recordings of each corpus. In the results each corpus has a
    row for each recording, with the frames that are compared and for each way what was sent, PSNR in dB and SSIM, each
    the mean over these frames; and the means over the frames of all recordings. Raises `UsageError`, `CorpusError`,
    `CodecError` or `ModelError`.
    """
    rows, views, recognizer = [], [], Recognizer(model)
    for number, corpus in enumerate(corpora):
        tracks, names, found = tracks_of(load_faces(corpus, split)), recording_names(corpus, split), []
        for track in tracks:
            played = to_and_fro(_first(track, most_s), least_s)
            found.append(_measure_recording(names[track.number], played, budget, recognizer))
        recordings, seen = [row for row, _ in found], [viewed for _, viewed in found if viewed is not None]
        if not seen:
            raise CorpusError(f"{corpus}: no recording is long enough for every way to show a picture")
        rows.append({
            "corpus": corpus_name(corpus), "split": split, "recordings": recordings,
            "ways": _means(recordings), "frames": sum(row["frames"] for row in recordings),
        })  # fmt: skip
        views.append(seen)
        if progress is not None:
            progress(number + 1, len(corpora))
    about = {"budget_bps": budget.bps, "counts": budget.counts, "side_px": GRID, "least_s": least_s, "most_s": most_s}
    return about | {"corpora": rows}, views


def to_and_fro(track: Track, least_s: float | None) -> Track:
    """`track`, played forwards and backwards in turn until it lasts `least_s` seconds; without a limit, as it is."""
    if least_s is None or track.time_s[-1] - track.time_s[0] >= least_s:
        return track
    steps = np.diff(track.time_s)
    there, rows, gaps = np.arange(len(track)), [np.array([0])], [np.zeros(1)]
    seconds, is_forwards = 0.0, True
    while seconds < least_s:
        rows.append(there[1:] if is_forwards else there[-2::-1])
        gaps.append(steps if is_forwards else steps[::-1])
        seconds, is_forwards = seconds + steps.sum(), not is_forwards
    order, time_s = np.concatenate(rows), track.time_s[0] + np.cumsum(np.concatenate(gaps))
    part = slice(0, int(np.searchsorted(time_s, time_s[0] + least_s)))
    order = order[part]
    return replace(
        track, time_s=time_s[part], pixels=np.asarray(track.pixels)[order], affect=track.affect[order],
        box=track.box[order],
    )  # fmt: skip


def quality(shown: Faces, true: Faces) -> dict[str, float]:
    """PSNR in dB and SSIM (Wang et al. 2004) of `shown` faces against `true` ones, uint8 (n, d, d): the means over
    faces."""
    given = [torch.from_numpy(faces.astype(np.float32))[:, None] for faces in (shown, true)]
    psnr = peak_signal_noise_ratio(*given, data_range=255.0, dim=(1, 2, 3), reduction="none").clamp(max=CLEAN_DB)
    ssim = structural_similarity_index_measure(*given, data_range=255.0)
    found = {"psnr_db": float(psnr.mean()), "ssim": float(ssim)}
    return {name: round(value, DIGITS[name]) for name, value in found.items()}


def send_features(track: Track, budget: Budget) -> Sent:
    """Latents with a key face, within `budget`, at the point of the operating table, or else the codec's usual one."""
    is_in_table = math.isfinite(lowest_budget("features"))
    usual = OperatingPoint("features", *CODECS["features"].usual)
    point = entry_for(ladder(budget.bps, "features"), budget.bps).point if is_in_table else usual
    policy = CompactBudget(budget, point, has_key_face=True)
    encoder = open_track_encoder(policy, NoMirror())
    packets = _packets(track, policy, encoder)
    decoder = open_decoder(encoder.header)
    samples = [sample for packet in packets for sample in decoder.decode(packet.coded)]
    return _sent(samples, policy.latency_s, _about(packets, track, policy, budget))


def send_pixels(track: Track, budget: Budget, codec: str, recognizer: Recognizer) -> Sent:
    """Faces by `codec` under rate control within `budget`, as ``lowbeam pack --budget`` sends them."""
    policy, mirror = RateControl(budget, ladder(budget.bps, codec)), _Recorder(recognizer)
    packets = _packets(track, policy, open_track_encoder(policy, mirror))
    return _sent(mirror.samples, 0.0, _about(packets, track, policy, budget))


class _Recorder(ReceiverMirror):
    """A receiver whose decoded faces are kept."""

    def __init__(self, recognizer: Recognizer) -> None:
        super().__init__(recognizer)
        self._opened: TrackHeader | None = None
        self._own_decoder: Decoder | None = None
        self.samples: list[Sample] = []

    def receive(self, header: TrackHeader, coded: CodedFace) -> None:
        super().receive(header, coded)
        if self._own_decoder is None or header is not self._opened:  # another encoder, which begins with a key face
            self._opened, self._own_decoder = header, open_decoder(header)
        self.samples += self._own_decoder.decode(coded)


def _packets(track: Track, policy: RateControl | CompactBudget, encoder: AnyTrackEncoder) -> list[PlacedFace]:
    found: list[PlacedFace] = []
    for row, time_s in enumerate(track.time_s.tolist()):
        if policy.looks_at(time_s):
            face = Face(time_s, PERSON, Box(*track.box[row].tolist()), np.asarray(track.pixels[row]))
            found += encoder.encode(face)
    return found + list(encoder.flush())


def _about(
    packets: list[PlacedFace], track: Track, policy: RateControl | CompactBudget, budget: Budget
) -> dict[str, Any]:
    counted = sum(budget.weigh(len(one.coded.data), one.cue_bytes) for one in packets)
    points = [point for _, point in policy.report.chosen]
    return {
        "codec": points[0].codec, "scales": sorted({point.scale for point in points}), "fps": points[0].fps,
        "packets": len(packets), "bps": round(8 * counted / float(track.time_s[-1] - track.time_s[0])),
        "most_bps": round(policy.report.most_bps),
    }  # fmt: skip


def _sent(samples: Sequence[Sample], latency_s: float, about: dict[str, Any]) -> Sent:
    seen = [sample for sample in samples if sample.pixels.size]
    pictures = [resample(sample.pixels[None], GRID) for sample in seen]
    return Sent(
        np.array([sample.time_ms / 1000 for sample in seen]),
        np.concatenate(pictures) if pictures else np.empty((0, GRID, GRID), np.uint8), latency_s, about,
    )  # fmt: skip


def _ways(track: Track, budget: Budget, recognizer: Recognizer) -> dict[str, Sent]:
    """What is sent in each way: features with a key face; the first picture that they show, held for ever, which tells
    what the motion is worth; HEVC; and the best codec of pixels at this budget, if it is another."""
    features = send_features(track, budget)
    still = replace(features, time_s=features.time_s[:1], pictures=features.pictures[:1])
    codecs = dict.fromkeys(["hevc", ladder(budget.bps)[0].point.codec])
    pixels = {codec: send_pixels(track, budget, codec, recognizer) for codec in codecs}
    return {FEATURES: features, STILL: still} | pixels


def _measure_recording(
    name: str, track: Track, budget: Budget, recognizer: Recognizer
) -> tuple[dict[str, Any], Viewed | None]:
    """The row of a recording, and what is seen of it, None if some way never shows a picture."""
    ways = _ways(track, budget, recognizer)
    row: dict[str, Any] = {"recording": name, "seconds": round(float(track.time_s[-1] - track.time_s[0]), 2)}
    about = {
        way: sent.about | {
            "pictures": len(sent.pictures), "latency_s": round(sent.latency_s, 2),
            "first_picture_s": round(float(sent.time_s[0] - track.time_s[0]), 2) if len(sent.time_s) else None,
        }
        for way, sent in ways.items()
    }  # fmt: skip
    if not all(len(sent.time_s) for sent in ways.values()):
        return row | {"frames": 0, "ways": about}, None
    rows = np.flatnonzero(track.time_s + EARLY_S >= max(sent.time_s[0] for sent in ways.values()))
    time_s, hr = track.time_s[rows], resample(np.asarray(track.pixels[rows]), FACE_SIDE)
    viewed = Viewed(name, time_s, resample(hr, GRID), {way: sent.at(time_s) for way, sent in ways.items()})
    for way, shown in viewed.shown.items():
        about[way] |= quality(shown, viewed.true)
    return row | {"frames": len(rows), "compared_from_s": round(float(time_s[0] - track.time_s[0]), 2),
                  "ways": about}, viewed  # fmt: skip


def _means(recordings: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """For each way the means over frames, the range of the time of the first picture, and in how many recordings it is
    ahead of HEVC, of those that are compared."""
    rows = [row for row in recordings if row["frames"]]
    frames = np.array([row["frames"] for row in rows])
    found = {}
    for way in rows[0]["ways"]:
        each = [row["ways"][way] for row in rows]
        hevc = [row["ways"]["hevc"] for row in rows]
        found[way] = {
            name: round(float(np.average([one[name] for one in each], weights=frames)), digits)
            for name, digits in DIGITS.items()
        } | {
            "first_picture_s": [least([one["first_picture_s"] for one in each]) for least in (min, max)],
            "bps": round(float(np.mean([one["bps"] for one in each]))),
            "latency_s": each[0]["latency_s"], "compared": len(rows),
            "ahead_of_hevc": {
                name: sum(a[name] > b[name] for a, b in zip(each, hevc, strict=True)) for name in DIGITS
            },
        }  # fmt: skip
    return found


def _first(track: Track, seconds: float | None) -> Track:
    if seconds is None:
        return track
    end = max(2, int(np.searchsorted(track.time_s, track.time_s[0] + seconds)))
    return Track(track.number, track.time_s[:end], track.pixels[:end], track.affect[:end], track.box[:end])


def print_pictures(results: dict[str, Any]) -> None:
    """Print results of `measure_pictures`: the means of each corpus by way, and in how many recordings it is ahead."""
    for corpus in results["corpora"]:
        print(f"{corpus['corpus']}, {len(corpus['recordings'])} recordings, at {results['budget_bps']:g} bit/s")
        rows = []
        for way, found in corpus["ways"].items():
            first = "{:.1f} to {:.1f}".format(*found["first_picture_s"])
            ahead = [f"{found['ahead_of_hevc'][name]} of {found['compared']}" for name in DIGITS]
            cells = (f"{found['psnr_db']:.2f}", f"{found['ssim']:.3f}", f"{found['bps']}", first)
            rows.append((way, *cells, f"{found['latency_s']:g}", *ahead))
        heads = ("PSNR", "SSIM", "bit/s", "first picture, s", "latency, s", "PSNR ahead", "SSIM ahead")
        print_table(("shown", *heads), rows, words=1)
