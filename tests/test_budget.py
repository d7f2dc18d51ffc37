"""A budget: how it is written, what it counts, and that it is kept over any ten seconds, with real encoders."""

import math
import subprocess
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from conftest import write_video
from hypothesis import given
from hypothesis import strategies as st

import lowbeam
from lowbeam.codec import CODECS, PIXEL_CODECS, OperatingPoint, open_decoder, open_encoder
from lowbeam.codec.budget import WINDOW_S, Budget, Counts, parse_budget
from lowbeam.codec.layers import Layers
from lowbeam.codec.operating_point import FrameRateLimiter
from lowbeam.codec.operating_table import Entry, Kept, entry_for, ladder, operating_table
from lowbeam.codec.rate_control import RateControl
from lowbeam.codec.trip import code, code_stills, decode
from lowbeam.codec.wire import FACE_HEADER, IP_TCP, IP_UDP_RTP, TLS_RECORD, rtp_bytes, tls_bytes
from lowbeam.container import FaceStreamReader
from lowbeam.errors import UsageError
from lowbeam.face import Box, Face
from lowbeam.faces import FaceTracker, FrameFaces
from lowbeam.mirror import ReceiverMirror
from lowbeam.pipeline.outputs import AllFacesOutput, PrimaryOutput
from lowbeam.recognize import Recognizer
from lowbeam.scale import Faces, shrink
from lowbeam.trace import at_times


@pytest.mark.parametrize(
    ("text", "bps"), [("3kbps", 3000), ("800 bit/s", 800), ("0.5Mbps", 5e5), ("1e3bps", 1000), (" 2 kbit/s ", 2000)]
)
def test_a_budget_is_a_number_and_a_unit(text: str, bps: float) -> None:
    assert parse_budget(text) == Budget(bps, "wire")


@pytest.mark.parametrize(
    ("text", "said"),
    [("0kbps", "at least 1 bps"), ("-3kbps", "at least 1 bps"), ("3", "unit"), ("3kB/s", "unit kb/s"),
     ("kbps", "not a number"), ("", "not a number"), ("1.2.3kbps", "not a number"),
     ("1e400bps", "finite"), ("5e-324bps", "at least 1 bps")],
)  # fmt: skip
def test_what_is_no_budget_is_named(text: str, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        parse_budget(text)


def test_what_a_budget_counts_is_named() -> None:
    assert parse_budget("3kbps", "payload").weigh(100, 12) == 100
    assert parse_budget("3kbps", "wire").weigh(100, 12) == 112 + IP_UDP_RTP
    with pytest.raises(UsageError, match="budget of water"):
        parse_budget("3kbps", "water")


def test_every_packet_of_rtp_pays_its_headers() -> None:
    assert rtp_bytes(np.array([100, 20])) == 120 + 2 * IP_UDP_RTP
    assert rtp_bytes(np.array([3000])) == 3000 + 3 * (IP_UDP_RTP + 3)
    assert rtp_bytes(np.array([], np.int64)) == 0


def test_a_second_of_faces_shares_the_headers_of_tls() -> None:
    sizes = np.array([20, 20, 20])
    together = 60 + 3 * FACE_HEADER + TLS_RECORD + IP_TCP
    assert tls_bytes(np.array([0.0, 0.4, 0.96]), sizes) == together
    assert tls_bytes(np.array([0.0, 1.0, 2.0]), sizes) == together + 2 * (TLS_RECORD + IP_TCP)
    assert tls_bytes(np.array([]), np.array([], np.int64)) == 0


@given(sizes=st.lists(st.integers(1, 5000), min_size=1, max_size=50), fps=st.sampled_from([1.0, 5.0, 25.0]))
def test_the_wire_costs_more_than_the_faces(sizes: list[int], fps: float) -> None:
    time_s = np.arange(len(sizes)) / fps
    assert rtp_bytes(np.array(sizes)) >= sum(sizes) + len(sizes) * IP_UDP_RTP
    assert tls_bytes(time_s, np.array(sizes)) > sum(sizes)


@given(fps=st.floats(0.5, 60), source=st.floats(5, 60))
def test_a_pacer_keeps_to_its_rate_and_takes_what_there_is(fps: float, source: float) -> None:
    times = np.arange(round(20 * source)) / source
    pacer = FrameRateLimiter(fps)
    taken = [t for t in times if pacer.takes(t)]
    assert taken[0] == 0
    assert 0.8 * min(fps, source) * 20 - 2 <= len(taken) <= 1.02 * fps * 20 + 2


@pytest.mark.parametrize("codec", PIXEL_CODECS)
def test_a_run_comes_back_as_the_far_side_sees_it(codec: str, hr_faces: Faces) -> None:
    for scale in (1, 8):
        lr = shrink(hr_faces, scale)
        run = code(OperatingPoint(codec, scale, 20, 25), lr, [40 * i for i in range(len(lr))])
        assert len(run.faces) == len(lr)
        assert run.faces[0].is_key
        found = decode(run)
        assert found.shape == lr.shape
        assert np.abs(found.astype(int) - lr).mean() < 4
        stills = code_stills(codec, scale, 20, lr[:5])
        assert np.abs(stills.astype(int) - lr[:5]).mean() < 4


KEPT = Kept(0.9, 0.7)


def rungs(codec: str) -> list[Entry]:
    """Entries that differ in scale and QP; the sizes of faces are about right for the clip."""
    qps = (62, 57, 50, 42, 34) if codec in ("av1", "vp9") else (47, 42, 37, 32, 27)
    steps = zip((12, 8, 4, 2, 1), qps, (500, 1200, 2600, 8000, 30_000), (20, 25, 40, 90, 400), strict=True)
    return [Entry(OperatingPoint(codec, scale, qp, 10), bps, size, 4, KEPT) for scale, qp, bps, size in steps]


def face_at(time_s: float, face: int = 1) -> Face:
    return Face(time_s, face, Box(10, 20, 100), np.zeros((96, 96), np.uint8))


def pack_faces(control: RateControl, path: Path, faces: Faces, fps: float) -> int:
    """Write `faces` at `fps` a second, as many as `control` admits; how many were sent."""
    with PrimaryOutput(Layers([control]), path, 2.0) as output:
        for index, pixels in enumerate(faces):
            if control.looks_at(index / fps):
                face = Face(index / fps, 1, Box(10 + index % 7, 20, 100), pixels)
                output.add(FrameFaces(face.time_s, [face], None, (640, 360)))
        output.finish()
    return output.coded


@pytest.fixture(scope="module")
def restless(hr_faces: Faces) -> Faces:
    """A minute of faces at 10 a second: still, then covered in noise, then still again."""
    rng = np.random.default_rng(0)
    faces = np.concatenate([hr_faces] * 12)[:600]
    noise = rng.integers(0, 256, faces[250:400].shape, dtype=np.uint8)
    faces[250:400] = faces[250:400] // 2 + noise // 2
    return faces


@pytest.mark.parametrize("codec", PIXEL_CODECS)
@pytest.mark.parametrize("bps", [900, 3000, 9000])
def test_no_ten_seconds_hold_more_than_the_budget(codec: str, bps: float, restless: Faces, tmp_path: Path) -> None:
    budget = Budget(bps, "wire")
    sent: list[tuple[float, int]] = []

    class Listening(RateControl):
        def admits(self, face: Face, face_bytes: int, cue_bytes: int, is_key: bool) -> bool:
            admitted = super().admits(face, face_bytes, cue_bytes, is_key)
            if admitted:
                sent.append((face.time_s, budget.weigh(face_bytes, cue_bytes)))
            return admitted

    control = Listening(budget, rungs(codec))
    coded = pack_faces(control, tmp_path / "b.mkv", restless, 10)
    times, sizes = np.array(sent).T
    for start in times:
        assert sizes[(times >= start) & (times < start + WINDOW_S)].sum() <= budget.window_bytes
    assert control.report.is_reachable
    assert control.report.most_bps <= budget.bps
    with FaceStreamReader(tmp_path / "b.mkv") as reader:
        faces = list(reader)
    assert reader.cut_at_s is None
    assert len(faces) == coded == len(sent)
    for face in faces:
        if not 24 <= face.time_s < 40:
            true = shrink(restless[round(face.time_s * 10)][None], 96 // len(face.pixels))[0]
            assert np.abs(face.pixels.astype(int) - true).mean() < 32  # of 255, at the coarsest QP


def test_a_picture_of_noise_is_sent_smaller_and_the_stream_is_read_in_order(restless: Faces, tmp_path: Path) -> None:
    control = RateControl(Budget(9000), rungs("hevc"))
    coded = pack_faces(control, tmp_path / "b.mkv", restless, 10)
    scales = [point.scale for _, point in control.report.chosen]
    assert len(scales) > 1
    assert max(scales[1:]) > scales[0]
    trace = lowbeam.read(tmp_path / "b.mkv")
    assert len(trace) == coded
    assert (np.diff(trace.time_s) > 0).all()


@given(
    sizes=st.lists(st.tuples(st.floats(0.02, 1.5), st.integers(1, 600)), min_size=1, max_size=120),
    bps=st.floats(600, 20_000), counts=st.sampled_from(["wire", "payload", "file"]),
)  # fmt: skip
def test_rate_control_never_lets_a_window_overflow(sizes: list[tuple[float, int]], bps: float, counts: Counts) -> None:
    budget = Budget(bps, counts)
    control = RateControl(budget, rungs("hevc"))
    sent, now = [], 0.0
    for gap, size in sizes:
        now += gap
        face = face_at(now)
        if control.wants(face, math.inf, False) and control.admits(face, size, 0, False):
            sent.append((now, budget.weigh(size, 0)))
    for start, _ in sent:
        assert sum(size for t, size in sent if start <= t < start + WINDOW_S) <= budget.window_bytes + 1e-6


def test_a_stream_begins_with_no_more_than_three_seconds_of_its_budget() -> None:
    control = RateControl(Budget(4000), rungs("hevc"))
    face = face_at(0.0)
    sent = [
        size for size in [100] * 20 if control.wants(face, math.inf, False) and control.admits(face, size, 0, False)
    ]
    assert sum(size + IP_UDP_RTP for size in sent) <= 3 * 4000 / 8


def test_a_budget_for_less_than_a_face_sends_one_in_ten_seconds_and_says_so(hr_faces: Faces, tmp_path: Path) -> None:
    control = RateControl(Budget(20), rungs("hevc"))
    assert pack_faces(control, tmp_path / "b.mkv", np.concatenate([hr_faces] * 5), 10) == 3  # in 25 seconds
    assert not control.report.is_reachable


def test_a_calm_face_is_sent_seldom_and_a_lively_one_often() -> None:
    def faces_sent(debt_per_s: float) -> int:
        control, debt, count = RateControl(Budget(4000), rungs("hevc")), math.inf, 0
        for now in np.arange(0, 60, 0.1).tolist():
            face = face_at(now)
            if control.wants(face, debt, count == 0) and control.admits(face, 80, 0, count == 0):
                debt, count = 0.0, count + 1
            debt += 0.1 * debt_per_s
        return count

    calm, lively = faces_sent(0.0), faces_sent(0.1)
    assert 20 <= calm <= 35  # a face is sent every two seconds in any case
    assert lively > 4 * calm
    assert faces_sent(1.0) >= lively


def test_more_budget_sends_more_faces() -> None:
    def faces_sent(bps: float) -> int:
        control = RateControl(Budget(bps), rungs("hevc"))
        faces = map(face_at, np.arange(0, 60, 0.1).tolist())
        return sum(control.wants(face, 0.05, False) and control.admits(face, 60, 0, False) for face in faces)

    counts = [faces_sent(bps) for bps in (500, 1000, 2000, 4000, 8000)]
    assert counts == sorted(counts)
    assert counts[-1] > 4 * counts[0]


def test_the_table_that_ships_rises_for_every_codec() -> None:
    assert {entry.point.codec for entry in operating_table()} == set(CODECS)
    for codec in PIXEL_CODECS:
        steps = ladder(4000, codec)
        assert [e.bps for e in steps] == sorted({e.bps for e in steps})
        kept = [e.kept.real + e.kept.rendered for e in steps]
        assert all(later > earlier - 0.08 for earlier, later in pairwise(kept))
        assert min(min(e.kept.real, e.kept.rendered) for e in steps) > 0.1
    with pytest.raises(UsageError, match="gif"):
        ladder(4000, "gif")


@pytest.mark.parametrize("bps", [300, 1000, 2000, 5000, 20_000, 1e6])
def test_the_ladder_is_of_the_codec_that_keeps_most_within_the_budget(bps: float) -> None:
    def kept(codec: str | None) -> float:
        entry = entry_for(ladder(bps, codec), bps)
        return entry.kept.real + entry.kept.rendered

    assert kept(None) == max(kept(codec) for codec in PIXEL_CODECS)


def test_time_in_which_nobody_was_there_is_no_thrift() -> None:
    control = RateControl(Budget(3000), rungs("hevc"))
    before = control.entry
    for now in np.arange(0, 90.0, 1.0).tolist():
        assert control.looks_at(now)  # and nobody is there
    assert control.wants(face_at(90.0), math.inf, True)
    assert control.admits(face_at(90.0), 260, 0, True)
    assert control.entry == before


def test_the_mirror_knows_what_the_receiver_estimates(hr_faces: Faces, tmp_path: Path) -> None:
    recognizer = Recognizer()
    mirrors: list[ReceiverMirror] = []

    def mirror() -> ReceiverMirror:
        mirrors.append(ReceiverMirror(recognizer))
        return mirrors[-1]

    known = []
    control = RateControl(Budget(8000), rungs("hevc"))
    with PrimaryOutput(Layers([control]), tmp_path / "b.mkv", 2.0, mirror) as output:
        for index, pixels in enumerate(hr_faces):
            face = Face(index / 10, 1, Box(10, 20, 100), pixels)
            before = output.coded
            if control.looks_at(face.time_s):
                output.add(FrameFaces(face.time_s, [face], None, (640, 360)))
            last = mirrors[0].last
            if output.coded > before and last is not None:
                known.append((float(last.valence[0]), float(last.arousal[0])))
                assert mirrors[0].debt == 0
        output.finish()
    assert 2 < len(known) < len(hr_faces)
    trace = lowbeam.read(tmp_path / "b.mkv")
    assert np.allclose(np.stack([trace.valence, trace.arousal], 1), known, atol=0.01)  # batches are rounded differently


def test_with_fixed_points_faces_are_looked_for_only_in_frames_that_are_coded(
    clip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    searched = []
    update = FaceTracker.update
    monkeypatch.setattr(FaceTracker, "update", lambda *given: (searched.append(given[2]), update(*given))[1])
    assert lowbeam.pack(clip, tmp_path / "f.mkv", fps=5).coded == len(searched) == 120


def test_pack_with_a_budget_says_what_it_chose_and_what_to_expect(
    short_clip: Path, tmp_path: Path, run_cli: Callable[..., subprocess.CompletedProcess[str]]
) -> None:
    done = run_cli("pack", short_clip, "-o", tmp_path / "b.mkv")
    assert done.returncode == 0
    assert "4 kbit/s on the wire: at most" in done.stderr
    assert "from 0.0 s: " in done.stderr
    assert "expected CCC" in done.stderr
    assert len(lowbeam.read(tmp_path / "b.mkv")) >= 2
    lean = run_cli("pack", short_clip, "-o", tmp_path / "c.mkv", "--budget", "20bps")
    assert lean.returncode == 0
    assert "less than one face in ten seconds needs" in lean.stderr


CLIPS = ("WolfgangLanger_Pexels.mp4", "face_noface.mov", "single_face.mp4", "real/expressive_d18.mp4",
         "real/expressive_d20.mp4", "real/expressive_d3.mp4", "real/expressive_d9.mp4", "real/speech_a.mp4",
         "real/speech_b.mp4", "real/turning_a.mp4")  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("name", CLIPS)
def test_more_budget_is_not_worse_on_real_video(name: str, shared: Path, tmp_path: Path) -> None:
    video, reader = shared / "video" / name, lowbeam.Reader()
    uncoded = reader.read(video)

    def error(budget: str) -> float:
        """Root mean square over the frames with a face, valence and arousal, with estimates held."""
        lowbeam.pack(video, tmp_path / "b.mkv", budget=budget)
        found = reader.read(tmp_path / "b.mkv")
        errors = [
            at_times(found.time_s, found[v], found[f"{v}_std"], uncoded.time_s, "hold")[0] - uncoded[v]
            for v in ("valence", "arousal")
        ]
        return float(np.sqrt(np.mean(np.square(errors))))

    errors = [error(budget) for budget in ("1kbps", "4kbps", "16kbps")]
    assert errors[1] <= errors[0] + 0.03  # some clips are short and noisy
    assert errors[2] <= errors[1] + 0.03


def test_a_budget_of_a_file_holds_for_the_file(clip: Path, tmp_path: Path) -> None:
    packed = lowbeam.pack(clip, tmp_path / "b.mkv", budget="2kbps", budget_of="file")
    header = 1600  # bytes: tracks, tags and the end of the file
    assert 8 * (packed.size_bytes - header) / packed.duration_s <= 2000
    assert packed.report is not None
    counted = packed.report.most_bps * packed.duration_s / 8
    assert packed.size_bytes - header < counted


def test_a_second_face_whose_point_changes_before_it_begins_is_read_as_sent(hr_faces: Faces, tmp_path: Path) -> None:
    class Changing(RateControl):
        """Takes the next entry when the second face is wanted for the first time, and refuses that face once."""

        refused = False

        def wants(self, face: Face, debt: float, is_key: bool) -> bool:
            self.entry = self._rungs[3 if face.id == 2 else 2]
            return True

        def admits(self, face: Face, face_bytes: int, cue_bytes: int, is_key: bool) -> bool:
            if face.id == 2 and not self.refused:
                self.refused = True
                return False
            return True

    for codec in PIXEL_CODECS:
        with AllFacesOutput(Layers([Changing(Budget(1e6), rungs(codec))]), tmp_path / "two.mkv", 2.0) as output:
            for index in range(20):
                ids = (1, 2) if index >= 10 else (1,)
                faces = [Face(index / 10, n, Box(10 * n, 20, 100), hr_faces[index]) for n in ids]
                output.add(FrameFaces(index / 10, faces, None, (640, 360)))
            output.finish()
        with FaceStreamReader(tmp_path / "two.mkv", primary_only=False) as reader:
            found = list(reader)
        assert reader.cut_at_s is None
        assert [sum(face.id == n for face in found) for n in (1, 2)] == [20, 9]
        for face in found:
            true = shrink(hr_faces[round(face.time_s * 10)][None], 96 // len(face.pixels))[0]
            assert np.abs(face.pixels.astype(int) - true).mean() < 15


def test_no_face_waits_for_ever_beside_another() -> None:
    control = RateControl(Budget(800), rungs("hevc"))
    sent, seen = {1: 0, 2: 0}, set()
    for now in np.arange(0, 60, 0.1).tolist():
        for n in sent:
            face, is_key = face_at(now, n), n not in seen
            size = 180 if is_key else 70
            if control.wants(face, math.inf if is_key else 0.05, is_key) and control.admits(face, size, 0, is_key):
                seen.add(n)
                sent[n] += 1
    assert min(sent.values()) > 5


def test_the_mirror_keeps_the_people_of_a_track_apart(hr_faces: Faces) -> None:
    mirror, recognizer = ReceiverMirror(Recognizer()), Recognizer()
    encoder = open_encoder(OperatingPoint("hevc", 2, 22, 10))
    decoder, memories = open_decoder(encoder.header), {}
    for index in range(12):
        person = index // 4 % 2  # the primary face changes twice
        face = Face(index / 10, person, Box(0, 0, 9), hr_faces[20 * person + index])
        mirror.look(face)
        assert math.isinf(mirror.debt) == (index in (0, 4))  # new people
        (coded,) = encoder.encode(shrink(face.pixels[None], 2)[0], 100 * index)
        mirror.receive(encoder.header, coded)
        (sample,) = decoder.decode(coded)
        expected, memories[person] = recognizer.follow(sample.pixels[None], [face.time_s], memories.get(person))
        assert mirror.last is not None
        assert mirror.last.valence == pytest.approx(expected.valence)


def test_all_faces_share_a_budget(short_frames: list, tmp_path: Path) -> None:
    both = [np.concatenate([frame, frame[:, ::-1]], 1) for frame in short_frames]
    video = write_video(tmp_path / "two.mp4", both, options={"crf": "20"})
    packed = lowbeam.pack(video, tmp_path / "two.mkv", faces="all", budget="6kbps")
    assert packed.tracks == 2
    assert packed.report is not None
    assert packed.report.most_bps <= 6000
    trace = lowbeam.read(tmp_path / "two.mkv", faces="all")
    assert len(trace.faces()) == 2
    assert len(trace) == packed.coded


@pytest.mark.parametrize(
    ("options", "said"),
    [(("--budget", "0kbps"), "at least 1 bps"), (("--budget", "3furlongs"), "unit furlongs"),
     (("--budget", "3kbps", "--qp", "30"), "a budget chooses"),
     (("--qp", "30", "--budget-of", "file"), "a budget chooses"), (("--budget", "3kbps", "--codec", "mpeg2"), "mpeg2"),
     (("--budget", "3kbps", "--budget-of", "air"), "budget of air"),
     (("--model", "none.onnx"), "none.onnx")],
)  # fmt: skip
def test_a_budget_that_cannot_be_is_one_line(
    options: tuple[str, ...], said: str, short_clip: Path, tmp_path: Path,
    run_cli: Callable[..., subprocess.CompletedProcess[str]],
) -> None:  # fmt: skip
    done = run_cli("pack", short_clip, "-o", tmp_path / "b.mkv", *options)
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert said in done.stderr
    assert not (tmp_path / "b.mkv").exists()
