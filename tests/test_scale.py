"""Downsampling by s: one rule, which Pillow and PyTorch follow too."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from lowbeam.errors import UsageError
from lowbeam.scale import FACE_SIDE, SCALES, Faces, resample, resample_matrix, shrink, side_of

sides = st.integers(1, 120)


def test_sides_are_those_of_the_design() -> None:
    assert [side_of(s) for s in SCALES] == [96, 48, 32, 24, 16, 12, 8, 6]


@pytest.mark.parametrize("scale", [0, -1, 5, 7, 17, 1000])
def test_a_scale_that_is_not_offered_is_refused(scale: int) -> None:
    with pytest.raises(UsageError, match="is not one of 1, 2, 3"):
        side_of(scale)


@given(sides, sides)
def test_a_flat_face_stays_flat(side_in: int, side_out: int) -> None:
    assert np.allclose(resample_matrix(side_in, side_out).sum(axis=1), 1, atol=1e-5)


@given(sides, sides, st.integers(0, 2**32 - 1))
def test_agrees_with_pillow_to_a_grey_level(side_in: int, side_out: int, seed: int) -> None:
    # Greys that never overshoot: Pillow clips between its two passes too, where ours clips once, at the end.
    face = np.random.default_rng(seed).integers(80, 176, (side_in, side_in), np.uint8)
    expected = np.asarray(Image.fromarray(face).resize((side_out, side_out), Image.Resampling.BICUBIC))
    assert np.abs(resample(face[None], side_out)[0].astype(int) - expected).max() <= 1


def test_agrees_with_pillow_on_real_faces(hr_faces: Faces) -> None:
    for scale in SCALES:
        side = side_of(scale)
        for face, lr in zip(hr_faces[::10], shrink(hr_faces[::10], scale), strict=True):
            expected = np.asarray(Image.fromarray(face).resize((side, side), Image.Resampling.BICUBIC))
            assert np.abs(lr.astype(int) - expected).max() <= 1


def test_agrees_with_pytorch_on_real_faces(hr_faces: Faces) -> None:
    torch = pytest.importorskip("torch", reason="PyTorch comes with the train extra")
    tensor = torch.from_numpy(hr_faces[:4, None].astype(np.float32))
    for scale in SCALES[1:]:
        side = side_of(scale)
        expected = torch.nn.functional.interpolate(tensor, (side, side), mode="bicubic", antialias=True)
        rounded = expected.round().clamp(0, 255).numpy()[:, 0]
        assert np.abs(shrink(hr_faces[:4], scale).astype(int) - rounded).max() <= 1


def test_faces_of_another_kind_are_refused() -> None:
    for wrong in (np.zeros((2, 96, 96), np.float32), np.zeros((96, 96), np.uint8), np.zeros((1, 96, 95), np.uint8)):
        with pytest.raises(UsageError, match="faces must be uint8"):
            resample(wrong, 12)


def test_scale_one_changes_nothing(hr_faces: Faces) -> None:
    assert np.array_equal(shrink(hr_faces, 1), hr_faces)
    assert hr_faces.shape[1:] == (FACE_SIDE, FACE_SIDE)
