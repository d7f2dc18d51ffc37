"""The temporal head: its state, its export, and estimates with it."""

from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch", reason="training needs the train extra")

import onnx
import onnxruntime
import torch
from hypothesis import given
from hypothesis import strategies as st

from lowbeam.errors import UsageError
from lowbeam.estimator import Estimator
from lowbeam.face import Box, Face
from lowbeam.faces import FrameFaces
from lowbeam.models.export import export_onnx, export_video_onnx
from lowbeam.models.one_for_all import GRID, SIZES, OneForAll, Size, Trunk
from lowbeam.models.temporal import MAX_GAP_S, LeakyAverages, TemporalHead
from lowbeam.pipeline.estimate import estimates_of
from lowbeam.recognize import Recognizer
from lowbeam.scale import SCALES, Faces, resample_matrix, shrink, side_of
from lowbeam.train.degrade import on_grid
from lowbeam.train.temporal import gaps, run_head


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model that remembers, with weights at random."""
    torch.manual_seed(1)
    network = OneForAll(Trunk()).eval()
    head = TemporalHead(network.width).eval()
    torch.nn.init.normal_(head.readout[-1].weight, std=0.3)
    path = tmp_path_factory.mktemp("model") / "video.onnx"
    export_video_onnx(network, head, path)
    return path


def memory_of(values: list[float], gaps_s: list[float]) -> torch.Tensor:
    """Averages of a single channel after the last of `values`, over each span, with full trust."""
    averages = LeakyAverages()
    state = torch.zeros(1, len(averages.log_span), 2)
    given_ = torch.tensor(values)[None, :, None]
    out, _, _ = averages(given_, torch.ones(1, len(values)), torch.tensor(gaps_s)[None], state)
    return out[0, -1, :, 0].detach()


def test_a_memory_of_what_never_changes_is_that() -> None:
    assert torch.allclose(memory_of([0.7] * 20, [MAX_GAP_S, *[0.1] * 19]), torch.tensor(0.7), atol=1e-3)


def test_what_is_long_ago_is_forgotten_the_sooner_the_shorter_the_span() -> None:
    found = memory_of([1.0] * 5 + [0.0] * 5, [MAX_GAP_S, *[0.2] * 9])
    assert (found[:-1] < found[1:]).all()
    after_an_hour = memory_of([1.0, 0.0], [MAX_GAP_S, MAX_GAP_S])
    assert after_an_hour.abs().max() < 1e-3


@given(seed=st.integers(0, 1000), rate=st.sampled_from([5.0, 12.5, 25.0]))
def test_memory_is_of_time_and_not_of_frames(seed: int, rate: float) -> None:
    """A signal that moves slowly leaves nearly the same memory at any frame rate."""
    phase = np.random.default_rng(seed).uniform(0, 6)

    def at(fps: float) -> torch.Tensor:
        times = np.arange(0, 20, 1 / fps)
        return memory_of(np.sin(0.3 * times + phase).tolist(), [MAX_GAP_S, *np.diff(times).tolist()])

    assert (at(rate) - at(50.0))[1:].abs().max() < 0.08


@given(cut=st.integers(1, 29))
def test_a_run_may_be_cut_anywhere(cut: int) -> None:
    torch.manual_seed(0)
    head = TemporalHead(6).eval()
    torch.nn.init.normal_(head.readout[-1].weight)
    features, still, gaps_s = torch.randn(2, 30, 6), torch.randn(2, 30, 4), torch.rand(2, 30)
    with torch.no_grad():
        whole, _, end = head(features, still, gaps_s, torch.zeros(2, *head.state_shape))
        first, _, state = head(features[:, :cut], still[:, :cut], gaps_s[:, :cut], torch.zeros(2, *head.state_shape))
        rest, _, last = head(features[:, cut:], still[:, cut:], gaps_s[:, cut:], state)
        chunked, _ = run_head(head, features, still, gaps_s)
    assert torch.allclose(torch.cat([first, rest], 1), whole, atol=1e-4)
    assert torch.allclose(chunked, whole, atol=1e-4)
    assert torch.allclose(last, end, atol=1e-4)


def test_untrained_the_head_reads_what_the_network_reads() -> None:
    head = TemporalHead(6).eval()
    still = torch.randn(1, 9, 4)
    affect, log_variance, _ = head(torch.randn(1, 9, 6), still, torch.rand(1, 9), torch.zeros(1, *head.state_shape))
    assert torch.equal(torch.cat([affect, log_variance], 2), still)


def test_gaps_begin_with_nothing_before() -> None:
    assert gaps(np.array([3.0, 3.5, 5.0])).tolist() == [MAX_GAP_S, 0.5, 1.5]


def test_the_state_is_carried_between_calls(model: Path, hr_faces: Faces) -> None:
    recognizer = Recognizer(model)
    lr, times = shrink(np.concatenate([hr_faces] * 3), 8), np.arange(150) / 25
    whole, end = recognizer.follow(lr, times)
    parts, memory = [], None
    for start in range(0, 150, 13):
        reading, memory = recognizer.follow(lr[start : start + 13], times[start : start + 13], memory)
        parts.append(reading.valence)
    assert np.allclose(np.concatenate(parts), whole.valence, atol=1e-4)
    assert end is not None
    assert memory is not None
    assert np.allclose(memory.state, end.state, atol=1e-4)
    assert memory.time_s == times[-1]
    each = recognizer(lr)
    assert not np.allclose(each.valence, whole.valence, atol=1e-3)
    assert np.allclose(recognizer.follow_both(lr, times)[1].valence, each.valence, atol=1e-5)


def test_several_people_in_one_run_are_read_as_each_alone(model: Path, hr_faces: Faces) -> None:
    recognizer, times = Recognizer(model), np.arange(70) / 7
    before = [recognizer.follow(hr_faces[i % 40][None], [t - 0.5])[1] for i, t in enumerate(times)]
    memories = [memory if index % 3 else None for index, memory in enumerate(before)]
    faces = hr_faces[np.arange(70) % 40]
    together, after = recognizer.follow_people(faces, times, memories)
    for index in (0, 1, 2, 63, 64, 69):
        alone, memory = recognizer.follow(faces[index : index + 1], times[index : index + 1], memories[index])
        found = after[index]
        assert memory is not None and found is not None  # noqa: PT018
        assert together.valence[index] == pytest.approx(alone.valence[0], abs=1e-5)
        assert together.arousal_std[index] == pytest.approx(alone.arousal_std[0], abs=1e-5)
        np.testing.assert_allclose(found.state, memory.state, atol=1e-5)
        assert found.time_s == memory.time_s


def test_people_whose_time_does_not_rise_or_without_memories_are_named(model: Path, hr_faces: Faces) -> None:
    recognizer = Recognizer(model)
    _, memory = recognizer.follow(hr_faces[:1], [1.0])
    with pytest.raises(UsageError, match="must increase"):
        recognizer.follow_people(hr_faces[:2], [2.0, 1.0], [None, memory])
    with pytest.raises(UsageError, match="2 faces need as many memories, not 1"):
        recognizer.follow_people(hr_faces[:2], [2.0, 1.0], [memory])


def test_a_model_that_does_not_remember_reads_each_face_by_itself(hr_faces: Faces, tmp_path: Path) -> None:
    export_onnx(OneForAll(Trunk(SIZES["fast"])).eval(), tmp_path / "still.onnx")
    recognizer = Recognizer(tmp_path / "still.onnx")
    reading, memory = recognizer.follow(hr_faces, np.arange(len(hr_faces)))
    assert memory is None
    assert np.array_equal(reading.valence, recognizer(hr_faces).valence)


@pytest.mark.parametrize("size", [SIZES["fast"], Size(4, ((16, 0), (24, 2)))])
def test_eight_bits_read_nearly_what_floating_point_reads(size: Size, hr_faces: Faces, tmp_path: Path) -> None:
    torch.manual_seed(3)
    network = OneForAll(Trunk(size))
    with torch.no_grad():  # batch normalisation as after training, and readings that differ
        for pixels in (hr_faces, shrink(hr_faces, 8)):
            network.train()(on_grid(torch.from_numpy(pixels)))
        network.readout.weight *= 4
    typical = [{"faces": shrink(hr_faces, s), "resample": resample_matrix(side_of(s), GRID)} for s in SCALES]
    export_onnx(network.eval(), tmp_path / "float.onnx")
    export_onnx(network.eval(), tmp_path / "int8.onnx", typical)
    exact, near = (Recognizer(tmp_path / f"{name}.onnx")(hr_faces) for name in ("float", "int8"))
    assert (tmp_path / "int8.onnx").stat().st_size < 0.6 * (tmp_path / "float.onnx").stat().st_size
    assert np.corrcoef(exact.valence, near.valence)[0, 1] > 0.98
    assert np.abs(exact.valence - near.valence).max() < 0.1 * np.ptp(exact.valence) + 0.02
    graph = onnx.load(tmp_path / "int8.onnx").graph
    kernels = [w for w in graph.initializer if w.data_type == onnx.TensorProto.INT8 and len(w.dims) == 4]
    weights = [onnx.numpy_helper.to_array(w) for w in kernels]
    assert len(weights) == len([m for m in network.modules() if isinstance(m, torch.nn.Conv2d)])
    assert max(int(np.abs(w.astype(int)).max()) for w in weights) <= 64  # seven bits


def test_the_temporal_head_may_be_left_out_of_a_call(model: Path, hr_faces: Faces) -> None:
    """Whoever runs the file without lowbeam needs two inputs only."""
    session = onnxruntime.InferenceSession(str(model), providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    assert names == ["affect", "std", "logits", "steady_affect", "steady_std", "next_state"]
    found = session.run(None, {"faces": hr_faces[:3], "resample": resample_matrix(96, GRID)})
    assert [len(value) for value in found] == [3, 3, 3, 0, 0, 0]
    assert np.allclose(found[0][:, 0], Recognizer(model)(hr_faces[:3]).valence)


def test_time_that_does_not_rise_is_named(model: Path, hr_faces: Faces) -> None:
    recognizer = Recognizer(model)
    _, memory = recognizer.follow(hr_faces[:2], [0.0, 1.0])
    for times, before in (([0.0, 0.0], None), ([1.0, 2.0], memory), ([0.0], None), ([0.0, np.nan], None)):
        with pytest.raises(UsageError):
            recognizer.follow(hr_faces[:2], times, before)


def test_reading_remembers_each_person_through_changes_of_size_and_clocks_that_stand_still(
    model: Path, hr_faces: Faces
) -> None:
    recognizer = Recognizer(model)
    small, large = shrink(hr_faces, 8), shrink(hr_faces, 4)
    sights, of_one = [], []
    for index in range(40):
        time_s = index / 10
        one = Face(time_s, 1, Box(0, 0, 90), (small if index % 7 < 4 else large)[index])
        other = Face(time_s, 2, Box(200, 0, 90), small[-1 - index])
        sights.append(FrameFaces(time_s, [one, other] if index % 2 else [other, one]))
        of_one.append(one)
    memory, expected = None, []
    for face in of_one:
        reading, memory = recognizer.follow(face.pixels[None], [face.time_s], memory)
        expected.append(float(reading.valence[0]))
    rows = [
        row
        for _, found in estimates_of(sights, Estimator(recognizer=recognizer), 32, keep_frames=False)
        for row in found
        if row[1] == 1
    ]
    assert np.allclose([row[2] for row in rows], expected, atol=1e-4)
    still = [FrameFaces(1.0, [Face(1.0, 1, Box(0, 0, 90), small[0])]) for _ in range(3)]
    assert len(list(estimates_of(still, Estimator(recognizer=recognizer), 2, keep_frames=False))) == 3
