"""Layers: a lean and a rich codec at once, in files, through pipes and over the link, and how they are fused."""

import asyncio
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Sequence
from itertools import pairwise
from pathlib import Path

import av
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import lowbeam
from lowbeam.codec import CodedFace, OperatingPoint, PlacedFace, TrackHeader, open_decoder
from lowbeam.codec.budget import Budget
from lowbeam.codec.choice import parse_layers
from lowbeam.codec.compact.feature_networks import TABLES
from lowbeam.codec.compact.policy import CompactBudget, CompactFixed
from lowbeam.codec.compact.prior import load_tables
from lowbeam.codec.cues import BoxCue
from lowbeam.codec.layers import MOST_LEAN_BPS, Layers, TrackLayers, shares
from lowbeam.codec.policy import Fixed, NoMirror
from lowbeam.codec.wire import rtp_bytes
from lowbeam.container import FaceStreamReader, FaceStreamWriter, count_bytes
from lowbeam.container.layout import is_packet_track
from lowbeam.errors import LowbeamError, StreamError, UsageError
from lowbeam.estimator import Estimator
from lowbeam.face import NO_PIXELS, Box, Face, FaceEstimate, Latents
from lowbeam.faces import FrameFaces
from lowbeam.pipeline.fuse import FORGET_S, NEAR_S, fused
from lowbeam.pipeline.outputs import AllFacesOutput, PrimaryOutput
from lowbeam.scale import Faces
from lowbeam.trace import Estimate
from tests.compact_source import Feeling
from tests.failing import said_by

KINDS = ["estimates,pixels", "estimates,features", "features,pixels"]
BOX = Box(10.0, 20.0, 90.0)
ESTIMATES, FEATURES = OperatingPoint("estimates", 1, 6, 10.0), OperatingPoint("features", 1, 8, 5.0)
PIXELS = OperatingPoint("hevc", 8, 32, 5.0)


def received(path: Path, primary_only: bool = False) -> tuple[list[Face], float | None]:
    with FaceStreamReader(path, primary_only) as reader:
        return list(reader), reader.cut_at_s


def kind_of(face: Face) -> str:
    if face.estimate is not None:
        return "estimates"
    return "features" if face.latents is not None else "pixels"


# --- shares and names


@given(bps=st.floats(1, 1e7))
def test_layers_share_a_budget(bps: float) -> None:
    for kind, most_bps in MOST_LEAN_BPS.items():
        lean, rich = shares(bps, kind)
        assert lean + rich == pytest.approx(bps)
        assert 0 < lean <= most_bps
        assert lean < rich


@pytest.mark.parametrize("kinds", KINDS)
def test_two_kinds_are_named_the_lean_one_first(kinds: str) -> None:
    assert ",".join(parse_layers(kinds)) == kinds
    assert parse_layers(kinds.replace(",", " , ")) == parse_layers(kinds)


WRONG = ["", ",", "pixels", "pixels,estimates", "estimates,estimates", "estimates,pixels,features", "estimates,hevc",
         "estimates;pixels", "Estimates,Pixels", "estimates,pixels,", "x\ny"]  # fmt: skip


@pytest.mark.parametrize("text", WRONG)
def test_a_wrong_list_of_layers_is_said_in_one_line(text: str, short_clip: Path, tmp_path: Path) -> None:
    found = said_by("pack", short_clip, "-o", tmp_path / "f.mkv", "--layers", text)
    assert "--layers" in found
    assert "x\ny" in text or "\n" not in found
    assert not [*tmp_path.iterdir()]
    to = ["--to", "lowbeam://127.0.0.1:9", "--token", "x" * 40]
    assert "--layers" in said_by("send", short_clip, *to, "--layers", text)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ("--allow pixels", "leave out --allow"),
        ("--qp 30", "either the budget or these"),
        ("--scale 4 --fps 5", "either the budget or these"),
        ("--budget 0bps", "at least 1 bps"),
        ("--key-face", "--key-face is for features"),
        ("--codec nothing", "codec nothing is not one of"),
    ],
)
def test_options_that_do_not_go_with_layers_are_refused(
    options: str, said: str, short_clip: Path, tmp_path: Path
) -> None:  # fmt: skip
    found = said_by("pack", short_clip, "-o", tmp_path / "f.mkv", "--layers", "estimates,pixels", *options.split())
    assert said in found
    assert "\n" not in found
    assert not [*tmp_path.iterdir()]


def test_a_codec_of_another_kind_than_the_rich_layer_is_refused_by_the_option_that_was_given(
    short_clip: Path, tmp_path: Path
) -> None:
    found = said_by("pack", short_clip, "-o", tmp_path / "f.mkv", "--layers", "estimates,pixels", "--codec", "features")
    assert "--layers" in found


def test_wrong_layers_exit_2(
    short_clip: Path, tmp_path: Path, run_cli: Callable[..., subprocess.CompletedProcess[str]]
) -> None:
    for command in (["pack", short_clip, "-o", tmp_path / "f.mkv"],
                    ["send", short_clip, "--to", "lowbeam://127.0.0.1:9", "--token", "x" * 40]):  # fmt: skip
        done = run_cli(*command, "--layers", "pixels,estimates")
        assert done.returncode == 2
        assert done.stderr.count("\n") == 1
        assert done.stderr.startswith("lowbeam: --layers pixels,estimates does not name two kinds")


# --- files

Packed = tuple[Path, lowbeam.Packed]


@pytest.fixture(scope="module")
def packed(clip: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Packed]:
    """The clip in layers, within 1.2 kbit/s."""
    folder = tmp_path_factory.mktemp("layers")
    found = {}
    for kinds in KINDS:
        path = folder / f"{kinds}.mkv"
        found[kinds] = path, lowbeam.pack(clip, path, budget="1200bps", layers=kinds)
    return found


def sizes_of(path: Path) -> list[list[tuple[float, int]]]:
    """For each face track, time and bytes of its faces or packets with the cues before them."""
    with av.open(str(path)) as container:
        faces = [one.index for one in container.streams if one.type == "video" or is_packet_track(one)]
        texts = [one.index for one in container.streams.subtitles if not is_packet_track(one)]
        cues, found = [0] * len(faces), [list[tuple[float, int]]() for _ in faces]
        for packet in container.demux():
            if packet.stream.index in texts:
                cues[texts.index(packet.stream.index)] += packet.size
            elif packet.size:
                number = faces.index(packet.stream.index)
                found[number].append((float((packet.pts or 0) * packet.time_base), packet.size + cues[number]))
                cues[number] = 0
    return found


@pytest.mark.parametrize("kinds", KINDS)
def test_both_layers_keep_to_the_budget_together(kinds: str, packed: dict[str, Packed]) -> None:
    path, result = packed[kinds]
    assert result.report is not None
    assert result.report.budget.bps == pytest.approx(1200)
    assert result.report.is_reachable
    assert result.report.most_bps <= 1200
    tracks = sizes_of(path)
    assert len(tracks) == result.tracks == 2
    assert sum(map(len, tracks)) == result.coded == len(count_bytes(path))
    for sizes, bps in zip(tracks, shares(1200, parse_layers(kinds)[0]), strict=True):
        whole = rtp_bytes(np.array([size for _, size in sizes]))
        assert 8 * whole <= bps * (24 + 10) + 1  # a window more, as the clip ends amid one
        for first, _ in sizes:  # a packet counts when its samples are gathered, up to a span later
            within = [size for time_s, size in sizes if first <= time_s < first + 9]
            assert 8 * rtp_bytes(np.array(within)) <= 10.5 * bps


@pytest.mark.parametrize("kinds", KINDS)
def test_layers_of_a_face_come_in_order_of_time(kinds: str, packed: dict[str, Packed]) -> None:
    faces, cut_at_s = received(packed[kinds][0])
    assert cut_at_s is None
    assert {kind_of(face) for face in faces} == set(kinds.split(","))
    assert all(b.time_s >= a.time_s for a, b in pairwise(faces))
    assert {face.id for face in faces} == {faces[0].id}
    by_kind = {kind: [face.time_s for face in faces if kind_of(face) == kind] for kind in kinds.split(",")}
    for kind, times in by_kind.items():
        assert len(set(times)) == len(times)
        if kind == "estimates":
            assert len(times) == pytest.approx(24 * 10, abs=4)
        if kind == "features":  # as a lean layer, there may be too little room
            report = packed[kinds][1].report
            assert report is not None
            assert 24 * 5 - 4 - report.held_back <= len(times) <= 24 * 10 + 1  # with those between
    sizes = dict(zip(kinds.split(","), sizes_of(packed[kinds][0]), strict=True))
    if "pixels" in sizes:
        assert [time_s for time_s, _ in sizes["pixels"]] == by_kind["pixels"]
    primary, _ = received(packed[kinds][0], primary_only=True)
    assert [(kind_of(face), face.time_s) for face in primary] == [(kind_of(face), face.time_s) for face in faces]


@pytest.mark.parametrize("kinds", KINDS)
def test_a_trace_of_layers_has_each_time_once(kinds: str, packed: dict[str, Packed]) -> None:
    trace = lowbeam.read(packed[kinds][0])
    faces, _ = received(packed[kinds][0])
    if kinds.startswith("estimates"):
        assert trace.time_s.tolist() == sorted({face.time_s for face in faces})
    assert np.all(np.diff(trace.time_s) >= 0)
    assert np.all(np.isfinite(np.stack([*trace.columns.values()])))
    assert np.abs(trace.valence).max() <= 1
    assert trace.cut_at_s is None


def test_a_trace_of_features_and_pixels_has_each_time_once(packed: dict[str, Packed]) -> None:
    trace = lowbeam.read(packed["features,pixels"][0])
    assert np.all(np.diff(trace.time_s) > 0)


def test_layers_are_written_once_in_the_tags(packed: dict[str, Packed]) -> None:
    with av.open(str(packed["estimates,pixels"][0])) as container:
        streams = [one for one in container.streams if one.type == "video" or is_packet_track(one)]
        assert [one.metadata.get("LOWBEAM_LAYER") for one in streams] == [None, "1"]
        assert [one.metadata.get("LOWBEAM_GATHERED") is not None for one in streams] == [True, False]
        assert container.metadata["LOWBEAM"] == "3"


def test_the_lean_layer_is_what_it_is_alone(clip: Path, packed: dict[str, Packed], tmp_path: Path) -> None:
    lean, _ = shares(1200, "estimates")
    lowbeam.pack(clip, tmp_path / "f.mkv", budget=f"{lean}bps", allow="estimates")
    alone, _ = received(tmp_path / "f.mkv")
    for kinds in KINDS[:2]:
        found = [face for face in received(packed[kinds][0])[0] if face.estimate is not None]
        assert [(one.time_s, one.estimate) for one in found] == [(one.time_s, one.estimate) for one in alone]


def test_two_people_have_their_layers_each(clip: Path, tmp_path: Path, hr_faces: Faces) -> None:
    path = write(tmp_path / "f.mkv", two_people(hr_faces), [CompactFixed(ESTIMATES), Fixed(PIXELS)])
    faces, cut_at_s = received(path)
    assert cut_at_s is None
    found = Counter((face.id, kind_of(face)) for face in faces)
    assert found == {(0, "estimates"): 60, (0, "pixels"): 30, (1, "estimates"): 30, (1, "pixels"): 15}
    assert all(b.time_s >= a.time_s for a, b in pairwise(faces))
    primary, cut_at_s = received(path, primary_only=True)
    assert cut_at_s is None
    assert Counter((face.id, kind_of(face)) for face in primary) == {(0, "estimates"): 60, (0, "pixels"): 30}
    trace = lowbeam.read(path, faces="all")
    assert sorted(trace.faces()) == [0, 1]
    for person in (0, 1):
        one = trace.of_face(person)
        assert np.all(np.diff(one.time_s) > 0)
        assert len(one) == 60 - 30 * person
    assert lowbeam.read(path).faces() == [0]


Frames = Sequence[tuple[float, list[Face]]]


def two_people(hr_faces: Faces, seconds: float = 6.0) -> Frames:
    """The second comes in the middle, and is smaller."""
    boxes = [Box(10.0, 20.0, 90.0), Box(200.0, 20.0, 70.0)]
    return [
        (n / 10, [Face(n / 10, person, boxes[person], hr_faces[(n + 25 * person) % 50])
                  for person in ((0,) if n < 5 * seconds else (0, 1))])
        for n in range(round(10 * seconds))
    ]  # fmt: skip


def write(path: Path, frames: Frames, policies: Sequence[object], is_all: bool = True) -> Path:
    layers = Layers(policies)  # type: ignore[arg-type]
    make = AllFacesOutput if is_all else PrimaryOutput
    with path.open("wb") as file, make(layers, file, 2.0, Feeling) as output:
        for time_s, faces in frames:
            if layers.looks_at(time_s):
                output.add(FrameFaces(time_s, faces, None, (640, 360)))
        output.finish()
    return path


def test_no_sample_is_lost_at_regular_and_irregular_times(hr_faces: Faces, tmp_path: Path) -> None:
    rng = np.random.default_rng(4)
    times = np.cumsum(rng.uniform(0.03, 0.06, 400)).round(3).tolist()
    frames = [(time_s, [Face(time_s, 0, BOX, hr_faces[n % 50])]) for n, time_s in enumerate(times)]
    for lean, rich in ((CompactFixed(ESTIMATES, 3.0), Fixed(PIXELS)), (CompactFixed(ESTIMATES), CompactFixed(FEATURES)),
                       (CompactFixed(FEATURES, 4.0), Fixed(PIXELS))):  # fmt: skip
        faces, cut_at_s = received(write(tmp_path / "f.mkv", frames, [lean, rich], is_all=False))
        assert cut_at_s is None
        assert all(b.time_s >= a.time_s for a, b in pairwise(faces))
        for policy in (lean, rich):
            kind = "pixels" if isinstance(policy, Fixed) else policy.point.codec
            found = [face.time_s for face in faces if kind_of(face) == kind]
            assert len(found) >= (times[-1] - times[0]) * policy.point.fps - 4
            assert found[-1] > times[-1] - 0.5


def turns(hr_faces: Faces, seconds: int) -> Frames:
    """The primary face is that of one person, then of another, and so on."""
    return [
        (n / 10, [Face(n / 10, n // 30 % 3, BOX, hr_faces[n % 50])]) for n in range(10 * seconds)
    ]  # fmt: skip


def test_samples_are_in_order_of_time_while_people_take_turns(hr_faces: Faces, tmp_path: Path) -> None:
    """Three people share the budget, so that packets have more seconds than when the file began."""
    policies = [CompactBudget(Budget(150), ESTIMATES), Fixed(PIXELS)]
    faces, cut_at_s = received(write(tmp_path / "f.mkv", turns(hr_faces, 24), policies, is_all=False))
    assert cut_at_s is None
    assert {face.id for face in faces} == {0, 1, 2}
    assert all(b.time_s >= a.time_s for a, b in pairwise(faces))


def test_samples_are_in_order_of_time_when_packets_grow(hr_faces: Faces, tmp_path: Path) -> None:
    """While others were seen lately, the packets of one who stays have more seconds than when the file began."""
    policies = [CompactBudget(Budget(150), ESTIMATES), Fixed(PIXELS)]
    stays = [(9 + n / 10, [Face(9 + n / 10, 0, BOX, hr_faces[n % 50])]) for n in range(200)]
    path = write(tmp_path / "f.mkv", [*turns(hr_faces, 9), *stays], policies, is_all=False)
    faces, cut_at_s = received(path)
    assert cut_at_s is None
    assert all(b.time_s >= a.time_s for a, b in pairwise(faces))


@pytest.mark.parametrize("gathered", ["-1", "61", "nan", "inf", "x"])
def test_a_time_for_which_nothing_is_gathered_is_refused(gathered: str, hr_faces: Faces, tmp_path: Path) -> None:
    path = write(tmp_path / "f.mkv", two_people(hr_faces), [CompactFixed(ESTIMATES), Fixed(PIXELS)])
    data = path.read_bytes()
    assert data.count(b"1.000") == 2
    path.write_bytes(data.replace(b"1.000", gathered.encode().rjust(5)))
    with pytest.raises(StreamError, match="invalid time for which samples are gathered"):
        received(path)


def test_many_layered_people_are_as_many_as_a_file_holds(hr_faces: Faces, tmp_path: Path) -> None:
    frames = [(n / 10, [Face(n / 10, person, Box(10.0, 10.0, 100.0 - person), hr_faces[0]) for person in range(35)])
              for n in range(3)]  # fmt: skip
    layers = Layers([CompactFixed(ESTIMATES), Fixed(PIXELS)])
    with (tmp_path / "f.mkv").open("wb") as file, AllFacesOutput(layers, file, 2.0, Feeling) as output:
        for time_s, faces in frames:
            if layers.looks_at(time_s):
                output.add(FrameFaces(time_s, faces, None, (640, 360)))
        output.finish()
    assert (output.tracks, output.left_out) == (60, 5)
    faces, cut_at_s = received(tmp_path / "f.mkv")
    assert cut_at_s is None
    assert {face.id for face in faces} == set(range(30))


def test_a_face_is_looked_at_once_for_all_layers(hr_faces: Faces) -> None:
    class Counting(Feeling):
        looks = 0

        def look(self, face: Face) -> None:
            self.looks += 1
            super().look(face)

    mirror, layers = Counting(), Layers([CompactFixed(ESTIMATES), Fixed(PIXELS)])
    track = TrackLayers(layers, mirror)
    for n in range(20):
        assert layers.looks_at(n / 10)
        track.encode(Face(n / 10, 0, BOX, hr_faces[n]))
    assert mirror.looks == 20
    assert track.flush()
    assert not track.is_open


# --- what is made of a layered stream


@pytest.mark.parametrize("kinds", KINDS)
def test_all_that_a_stream_gives_is_made_of_layers(kinds: str, packed: dict[str, Packed], tmp_path: Path) -> None:
    path = packed[kinds][0]
    for name in ("t.csv", "t.jsonl"):
        trace = lowbeam.read(path, out=tmp_path / name, plot=tmp_path / "p.png", overlay=tmp_path / "o.mp4",
                             duration_s=2)  # fmt: skip
        assert (tmp_path / name).stat().st_size > 500
    assert (tmp_path / "p.png").read_bytes().startswith(b"\x89PNG")
    with av.open(str(tmp_path / "o.mp4")) as container:
        assert len(list(container.decode(video=0))) >= 10
    whole = lowbeam.read(path)
    for how in ("smooth", "linear", "hold"):
        found = whole.resample(25.0, how)  # type: ignore[arg-type]
        assert len(found) == pytest.approx(24 * 25, abs=15)
        assert np.all(np.diff(found.time_s) > 0)
        assert np.all(np.isfinite(np.stack([*found.columns.values()])))
    later = lowbeam.read(path, start_s=10, duration_s=5)
    assert 10 <= later.time_s[0] <= later.time_s[-1] < 15
    assert len(trace) > 10


def test_faces_of_a_layered_stream_are_restored(packed: dict[str, Packed], tmp_path: Path) -> None:
    lowbeam.read(packed["estimates,pixels"][0], overlay=tmp_path / "o.mp4", restore=True, duration_s=2)
    assert (tmp_path / "o.mp4").stat().st_size > 1000


@settings(max_examples=15)
@given(share=st.floats(0, 0.999), kinds=st.sampled_from(KINDS))
def test_cut_anywhere_what_was_whole_is_read_and_the_end_is_told(
    share: float, kinds: str, packed: dict[str, Packed], tmp_path_factory: pytest.TempPathFactory
) -> None:
    data = packed[kinds][0].read_bytes()
    cut = tmp_path_factory.mktemp("cut") / "cut.mkv"
    cut.write_bytes(data[: int(share * len(data))])
    whole, _ = received(packed[kinds][0])
    try:
        faces, cut_at_s = received(cut)
    except StreamError:
        assert share < 0.7  # the header itself is cut
        return
    assert all(b.time_s >= a.time_s for a, b in pairwise(faces))
    for kind in kinds.split(","):
        times = [[face.time_s for face in some if kind_of(face) == kind] for some in (faces, whole)]
        assert times[0] == times[1][: len(times[0])]
    if len(faces) < len(whole):
        assert cut_at_s == (faces[-1].time_s if faces else 0.0)


@settings(max_examples=15)
@given(places=st.lists(st.tuples(st.floats(0, 1), st.integers(0, 255)), min_size=1, max_size=12))
def test_whatever_the_bytes_nothing_but_our_errors_is_raised(
    places: list[tuple[float, int]], packed: dict[str, Packed], tmp_path_factory: pytest.TempPathFactory
) -> None:
    data = bytearray(packed["features,pixels"][0].read_bytes())
    for share, value in places:
        data[int(share * (len(data) - 1))] = value
    damaged = tmp_path_factory.mktemp("damaged") / "damaged.mkv"
    damaged.write_bytes(data)
    try:
        faces, _ = received(damaged)
    except LowbeamError:
        return
    assert all(b.time_s >= a.time_s for a, b in pairwise(faces))


def test_a_damaged_layer_does_not_take_the_faces_before(hr_faces: Faces, tmp_path: Path) -> None:
    layers, (header, coded) = [CompactFixed(ESTIMATES), Fixed(PIXELS)], coded_layers(hr_faces)
    coded[0][2] = CodedFace(b"\xff" * 12, coded[0][2].time_ms, True)
    with (tmp_path / "f.mkv").open("wb") as file, FaceStreamWriter(file, (640, 360)) as writer:
        tracks = [writer.add_track(one, policy.point, layer=n, gathered_s=1.0 - n)
                  for n, (one, policy) in enumerate(zip(header, layers, strict=True))]  # fmt: skip
        events = [(face.time_ms + 1000 * (n == 0), n, face) for n, faces in enumerate(coded) for face in faces]
        for _, n, face in sorted(events, key=lambda event: event[:2]):
            cues = (BoxCue(0, BOX),) if n == 1 and face is coded[1][0] else ()
            tracks[n].write(PlacedFace(face, cues))
    faces, cut_at_s = received(tmp_path / "f.mkv")
    assert cut_at_s is not None
    assert sum(kind_of(face) == "estimates" for face in faces) >= 20
    assert sum(kind_of(face) == "pixels" for face in faces) >= 10


def coded_layers(hr_faces: Faces) -> tuple[list[TrackHeader], list[list[CodedFace]]]:
    layers = Layers([CompactFixed(ESTIMATES), Fixed(PIXELS)])
    track = TrackLayers(layers, Feeling())
    found: list[list[CodedFace]] = [[], []]
    for n in range(50):
        assert layers.looks_at(n / 10)
        for one in track.encode(Face(n / 10, 0, BOX, hr_faces[n])):
            found[one.layer].append(one.placed.coded)
    for one in track.flush():
        found[one.layer].append(one.placed.coded)
    return [encoder.announced() for encoder in track.encoders], found


# --- pipes


@pytest.mark.parametrize("kinds", ["estimates,pixels", "estimates,features"])
def test_a_layered_stream_through_pipes_has_the_samples_of_a_file(kinds: str, short_clip: Path, tmp_path: Path) -> None:
    through_pipes(kinds, short_clip, tmp_path)
    rows, wanted = (np.loadtxt(tmp_path / name, delimiter=",", skiprows=1) for name in ("t.csv", "u.csv"))
    assert np.all(np.diff(rows[:, 0]) >= 0)
    assert set(rows[:, 0]) == set(wanted[:, 0])


@pytest.mark.parametrize("kinds", ["estimates,pixels", "estimates,features"])
def test_a_layered_stream_through_pipes_is_that_of_a_file(kinds: str, short_clip: Path, tmp_path: Path) -> None:
    through_pipes(kinds, short_clip, tmp_path)
    rows, wanted = (np.loadtxt(tmp_path / name, delimiter=",", skiprows=1) for name in ("t.csv", "u.csv"))
    assert np.allclose(rows, wanted, atol=2e-4)


def through_pipes(kinds: str, short_clip: Path, tmp_path: Path) -> None:
    """Write t.csv through pipes and u.csv by way of a file."""
    command = f"{sys.executable} -m lowbeam.cli"
    done = subprocess.run(
        f"{command} pack {short_clip} -o - --layers {kinds} --budget 2kbps | tee f.mkv | {command} read - -o t.csv",
        shell=True, cwd=tmp_path, capture_output=True, text=True, timeout=90, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    lowbeam.read(tmp_path / "f.mkv", out=tmp_path / "u.csv")


def test_a_budget_of_the_file_is_kept_to_a_pipe(short_clip: Path, tmp_path: Path) -> None:
    done = subprocess.run(
        f"{sys.executable} -m lowbeam.cli pack {short_clip} -o - --layers estimates,pixels --budget 2kbps "
        "--budget-of file > f.mkv",
        shell=True, cwd=tmp_path, capture_output=True, text=True, timeout=90, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "f.mkv").stat().st_size < 2000 * 10 / 8 + 1500  # and the header


# --- fusing

stds = st.floats(0.02, 1.0)


def frame_of(time_s: float, *faces: tuple[int, FaceEstimate | None]) -> FrameFaces:
    return FrameFaces(time_s, [Face(time_s, person, BOX, NO_PIXELS, estimate=told) for person, told in faces])


def row(frame: FrameFaces, number: int, read: FaceEstimate) -> Estimate:
    face = frame.faces[number]
    return Estimate(face.time_s, face.id, *read, face.box.x, face.box.y, face.box.side)


Seen = list[tuple[FrameFaces, list[Estimate]]]


def seen(*frames: tuple[float, list[tuple[int, FaceEstimate | None, FaceEstimate]]]) -> Seen:
    """Frames with the estimates of their faces: person, what came, what was estimated."""
    found = []
    for time_s, faces in frames:
        frame = frame_of(time_s, *((person, came) for person, came, _ in faces))
        found.append((frame, [row(frame, number, read) for number, (_, _, read) in enumerate(faces)]))
    return found


def rows_of(given_frames: Seen) -> list[Estimate]:
    found = []
    for frame, estimates in fused(given_frames):
        assert len(frame.faces) == len(estimates)
        assert [face.id for face in frame.faces] == [one.face for one in estimates]
        found += estimates
    return found


affects = st.floats(-1, 1)
face_estimates = st.builds(FaceEstimate, affects, affects, stds, stds)


@given(lean=face_estimates, rich=face_estimates, late=st.sampled_from([0.0, 0.1, NEAR_S]), is_first=st.booleans())
def test_estimates_are_averaged_by_their_variances(
    lean: FaceEstimate, rich: FaceEstimate, late: float, is_first: bool
) -> None:
    both = [(0, lean, lean), (0, None, rich)]
    if late:
        found = rows_of(seen((1.0, both[:1]), (1.0 + late, both[1:])))
        assert found[0][2:6] == pytest.approx(lean)
    else:
        found = rows_of(seen((1.0, both if is_first else both[::-1])))
        assert len(found) == 1  # each time once
    for name in ("valence", "arousal"):
        a, b = getattr(lean, name), getattr(rich, name)
        std_a, std_b = getattr(lean, f"{name}_std"), getattr(rich, f"{name}_std")
        wanted = (a / std_a**2 + b / std_b**2) / (1 / std_a**2 + 1 / std_b**2)
        assert getattr(found[-1], name) == pytest.approx(wanted, abs=1e-9)
        assert getattr(found[-1], f"{name}_std") == min(std_a, std_b)


ONE, OTHER = FaceEstimate(0.5, 0.5, 0.1, 0.1), FaceEstimate(-0.5, -0.5, 0.1, 0.1)


def test_what_is_old_or_of_another_person_does_not_count() -> None:
    assert rows_of(seen((1.0, [(0, ONE, ONE)]), (1.3, [(0, None, OTHER)])))[1].valence == -0.5
    assert rows_of(seen((1.0, [(0, ONE, ONE)]), (1.1, [(1, None, OTHER)])))[1].valence == -0.5
    assert rows_of(seen((1.0, [(0, ONE, ONE), (1, None, OTHER)])))[1].valence == -0.5


def test_without_estimates_of_the_camera_nothing_changes() -> None:
    given_frames = seen((1.0, [(0, None, ONE), (1, None, OTHER)]), (1.1, []), (1.2, [(0, None, OTHER)]))
    assert [*fused(given_frames)] == given_frames


def test_each_person_is_fused_with_the_own_estimate() -> None:
    found = rows_of(seen((1.0, [(0, ONE, ONE), (1, OTHER, OTHER), (1, None, ONE), (0, None, ONE)])))
    assert [(one.face, one.valence) for one in found] == [(1, pytest.approx(0)), (0, pytest.approx(0.5))]


def test_people_who_are_absent_are_forgotten() -> None:
    frames = [(1.0, [(person, ONE, ONE) for person in range(5)])]
    frames += [(1.0 + FORGET_S + n, [(0, ONE, ONE)]) for n in range(1, 4)]
    assert len(rows_of(seen(*frames))) == 8  # type: ignore[arg-type]


def test_a_deviation_of_zero_is_no_error() -> None:
    exact = FaceEstimate(0.5, 0.5, 0.0, 0.0)
    found = rows_of(seen((1.0, [(0, ONE, ONE), (0, None, exact)])))
    assert found[0].valence == pytest.approx(0.5)


# --- over the link


@pytest.mark.parametrize("loss", [0.0, 0.2])
@pytest.mark.parametrize(
    ("lean", "rich"), [(ESTIMATES, PIXELS), (ESTIMATES, FEATURES), (FEATURES, PIXELS)], ids=lambda point: point.codec
)
def test_the_server_stores_every_sample_of_both_layers_once(
    lean: OperatingPoint, rich: OperatingPoint, loss: float, hr_faces: Faces, tmp_path: Path
) -> None:
    pytest.importorskip("aioquic", reason="aioquic comes with the extra link")
    pytest.importorskip("sqlalchemy", reason="SQLAlchemy comes with the extra serve")
    from tests.link_packets import sent_and_stored

    layers = Layers([Fixed(one) if one.codec == "hevc" else CompactFixed(one) for one in (lean, rich)])
    rows, sent = asyncio.run(sent_and_stored(two_people(hr_faces), layers, tmp_path, loss))
    assert len(sent) == 4  # two people in two layers
    assert all(row.is_final for row in rows)
    places = [(row.number, row.place) for row in rows]
    assert len(set(places)) == len(places)
    decoded = []
    for track in sent:
        header, decoder = track[0][0], open_decoder(track[0][0])
        for one, coded in track:
            if one is not header:
                header, decoder = one, open_decoder(one)
            decoded += [sample.time_ms for sample in decoder.decode(coded)]
    assert len(decoded) >= sum(round(9 * point.fps) for point in (lean, rich))  # with those between
    assert sorted(round(1000 * row.estimate.time_s) for row in rows) == sorted(decoded)
    assert {row.estimate.face for row in rows} == {0, 1}
    assert np.isfinite([row.estimate.valence for row in rows]).all()


def test_a_server_remembers_latents_and_pixels_of_a_person_apart(hr_faces: Faces) -> None:
    pytest.importorskip("sqlalchemy", reason="SQLAlchemy comes with the extra serve")
    from lowbeam.server.estimation import estimate_together
    from lowbeam.server.followed import Arrival, Followed

    rng, estimator = np.random.default_rng(1), Estimator("fast")
    pixels = [Face(n / 5, 0, BOX, hr_faces[n]) for n in range(20)]
    values = rng.normal(0, 1, (20, load_tables(TABLES).count)).astype(np.float32)
    latents = [Face(n / 5 + 0.1, 0, BOX, NO_PIXELS, Latents(one, 3)) for n, one in enumerate(values)]

    def estimated(faces: Sequence[Face]) -> dict[float, Estimate]:
        followed, found = Followed(), []
        for start in (0, len(faces) // 2):  # the server is started anew between
            part = faces[start : start + len(faces) // 2]
            arrivals = [Arrival(start + n, face, True, 0.0) for n, face in enumerate(part)]
            (rows,) = estimate_together(estimator, [(followed, arrivals)])
            assert rows is not None
            found += rows
            followed = Followed(followed.save())
        return {row.estimate.time_s: row.estimate for row, _ in found}

    together = estimated(sorted([*pixels, *latents], key=lambda face: face.time_s))
    for faces in (pixels, latents):
        for time_s, one in estimated(faces).items():
            assert together[time_s] == pytest.approx(one, abs=1e-3)


@pytest.mark.parametrize("layers", KINDS)
def test_a_link_shares_its_budget_among_layers(layers: str) -> None:
    pytest.importorskip("aioquic", reason="aioquic comes with the extra link")
    from lowbeam.link.policy import CompactLinkPolicy, link_layers

    found = link_layers(None, layers)
    found.follow(2000.0, False, 1.0)
    budgets = [one.report.budget.bps if isinstance(one, CompactLinkPolicy) else one._bps for one in found.policies]
    assert budgets == pytest.approx(shares(2000.0, parse_layers(layers)[0]), rel=0.1)
    assert found.held_back == 0
    with pytest.raises(UsageError, match="--layers"):
        link_layers(None, ",".join(reversed(layers.split(","))))


def test_a_fixed_policy_needs_no_mirror_of_layers(hr_faces: Faces) -> None:
    track = TrackLayers(Layers([Fixed(PIXELS)]), NoMirror())
    assert track.encode(Face(0.0, 0, BOX, hr_faces[0]))[0].layer == 0
