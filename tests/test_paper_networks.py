"""The paper's two networks, and the faces that they read."""

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="PyTorch comes with the train extra")

from lowbeam.models.normalised import normalise  # noqa: E402
from lowbeam.models.paper import BORDER, CnnD, SrFcn, parameter_count  # noqa: E402
from lowbeam.scale import SCALES, Faces, resample, shrink  # noqa: E402
from lowbeam.train.paper.networks import draw_scales, interpolated, mixed  # noqa: E402


def test_the_recognizer_is_the_paper_s() -> None:
    network = CnnD()
    shapes = [tuple(p.shape) for p in network.parameters() if p.dim() > 1]
    assert shapes == [(64, 1, 5, 5), (128, 64, 5, 5), (256, 128, 5, 5), (300, 1024), (2, 300)]
    assert network.features(torch.zeros(1, 1, 96, 96)).shape == (1, 1024)
    assert network(torch.zeros(3, 1, 96, 96)).shape == (3, 2)


def test_the_released_pooling_costs_the_parameters_that_its_docstring_states() -> None:
    released = CnnD(pooling="stride4")
    assert released.features(torch.zeros(1, 1, 96, 96)).shape == (1, 25 * 256)
    assert parameter_count(released) - parameter_count(CnnD()) == 1_612_800
    assert "1,612,800" in (CnnD.__doc__ or "")


def test_quadrant_pooling_keeps_the_largest_of_each_quarter() -> None:
    network = CnnD((1, 1, 1))
    with torch.no_grad():
        for convolution in (network.convolutions.first, network.convolutions.second, network.convolutions.third):
            convolution.weight.zero_()
            convolution.weight[0, 0, 2, 2] = 1.0
            convolution.bias.zero_()
    faces = torch.zeros(1, 1, 96, 96)
    faces[0, 0, 30, 70] = 5.0  # upper right
    assert network.features(faces).tolist() == [[0.0, 5.0, 0.0, 0.0]]


def test_sr_fcn_is_the_paper_s_and_shares_the_recognizer_s_convolutions() -> None:
    network = SrFcn()
    assert [tuple(p.shape) for p in network.parameters() if p.dim() > 1][3] == (1, 256, 5, 5)
    assert network(torch.zeros(1, 1, 40, 40)).shape == (1, 1, 40 - 2 * BORDER, 40 - 2 * BORDER)
    CnnD().convolutions.load_state_dict(network.convolutions.state_dict())


def test_a_network_that_paints_nothing_restores_the_interpolated_face(hr_faces: Faces) -> None:
    network = SrFcn((2, 3, 4))
    torch.nn.init.zeros_(network.paint.weight)
    torch.nn.init.zeros_(network.paint.bias)
    faces = torch.from_numpy(hr_faces[:3]).float()
    assert torch.allclose(network.restore(faces), faces, atol=1e-3)
    normalised, _, _ = normalise(faces)
    assert torch.allclose(network(normalised), network.inner(normalised))


def test_normalised_faces_have_no_mean_and_a_contrast_below_one(hr_faces: Faces) -> None:
    faces, mean, contrast = normalise(torch.from_numpy(hr_faces))
    assert float(faces.mean((2, 3)).abs().max()) < 1e-4
    assert 0.5 < float(faces.std()) < 1
    assert torch.allclose(faces * contrast + mean, torch.from_numpy(hr_faces)[:, None].float(), atol=1e-3)


def test_faces_are_interpolated_exactly_as_the_sender_s_come_back(hr_faces: Faces) -> None:
    native = shrink(hr_faces, 2)
    for scale in SCALES:
        sent = resample(shrink(resample(native, 96), scale), 96)
        got = interpolated(torch.from_numpy(native), scale).numpy()
        assert np.abs(got - sent).max() <= 2, scale  # a rounding may fall the other way, once or twice
        assert np.abs(got - sent).mean() < 0.01


def test_max_mix_gives_each_face_the_scale_drawn_for_it(hr_faces: Faces) -> None:
    pixels = torch.from_numpy(hr_faces[:6])
    drawn = torch.tensor([0, 1, 2, 2, 1, 0])
    faces = mixed(pixels, (3, 8, 16), drawn)
    for index, scale in enumerate((3, 8, 16, 16, 8, 3)):
        assert torch.equal(faces[index], interpolated(pixels[index : index + 1], scale)[0])
    counts = torch.bincount(draw_scales(6000, (3, 4, 6), torch.Generator().manual_seed(0)))
    assert counts.min() > 1850
