"""Key faces of the features codec: their stills, parts, loss and people."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import lowbeam
from lowbeam.codec.compact import key_face
from lowbeam.codec.compact.feature_networks import GRID
from lowbeam.codec.compact.features import (
    HAS_KEY,
    FeaturesCoder,
)
from lowbeam.codec.compact.key_face import (
    KEY_BYTES,
    KEY_EVERY_S,
    MAX_KEY,
    NUMBERS,
    coded_still,
    decoded_still,
)
from lowbeam.codec.compact.range_coding import PacketReader
from lowbeam.container import FaceStreamReader
from lowbeam.face import NO_PIXELS, Face, FaceEstimate, Grey
from lowbeam.scale import Faces, resample
from tests.feature_packets import BOX, NOTHING, check_samples, decode, head, new_decoder, seen


def test_a_still_is_small_and_looks_like_the_face(hr_faces: Faces) -> None:
    data = coded_still(hr_faces[0])
    assert len(data) <= KEY_BYTES
    found = decoded_still(data)
    assert (found.shape, found.dtype) == ((GRID, GRID), np.uint8)
    assert np.abs(found.astype(int) - resample(hr_faces[:1], GRID)[0]).mean() < 12


def test_a_still_of_noise_is_coded_too() -> None:
    noise = np.random.default_rng(1).integers(0, 256, (96, 96)).astype(np.uint8)
    data = coded_still(noise)
    assert len(data) < MAX_KEY - 256
    assert decoded_still(data).shape == (GRID, GRID)


Packets = list[tuple[float, bytes]]


def packets_with_key(
    pixels: Grey, seconds: int, most: int | None, coder: FeaturesCoder | None = None, face: int = 0, start: int = 0
) -> Packets:
    """A packet of five samples for each second."""
    coder = coder or FeaturesCoder(1, 8, True)
    found = []
    for second in range(start, start + seconds):
        data = coder.packet(head(5, face), seen(5, second, float(second), pixels), most)
        assert data is not None
        assert most is None or len(data) <= most
        found.append((float(second), data))
    return found


def has_part(data: bytes) -> bool:
    return bool(PacketReader(data).read(HAS_KEY))


@pytest.mark.parametrize("most", [None, 400, 120])
def test_a_key_face_comes_in_parts_until_it_is_complete(most: int | None, hr_faces: Faces) -> None:
    decoder, packets = new_decoder(), packets_with_key(hr_faces[0], 20, most)
    shown = [decode(decoder, data, round(1000 * time_s))[0].pixels for time_s, data in packets]
    *others, last = [number for number, (_, data) in enumerate(packets) if has_part(data)]
    assert [one.size > 0 for one in shown] == [False] * last + [True] * (20 - last)
    assert others
    still = decoded_still(coded_still(hr_faces[0]))
    for one in shown[last:]:
        assert (one.shape, one.dtype) == ((GRID, GRID), np.uint8)
        assert np.abs(one.astype(int) - still).mean() < 60  # whatever the networks


def test_a_part_that_is_lost_makes_pictures_wait_for_the_next_key_face(hr_faces: Faces) -> None:
    decoder, packets = new_decoder(), packets_with_key(hr_faces[0], 70, 150)
    (lost, *_) = [number for number, (_, data) in enumerate(packets) if has_part(data)][1:]
    shown = {}
    for number, (time_s, data) in enumerate(packets):
        if number != lost:
            samples = decode(decoder, data, round(1000 * time_s))
            check_samples(samples)
            shown[time_s] = all(one.pixels.size for one in samples)
    first = min(time_s for time_s, is_shown in shown.items() if is_shown)
    assert KEY_EVERY_S <= first < KEY_EVERY_S + 10
    assert all(is_shown == (time_s >= first) for time_s, is_shown in shown.items())


def test_while_a_later_key_face_comes_the_former_is_shown(hr_faces: Faces) -> None:
    decoder, packets = new_decoder(), packets_with_key(hr_faces[0], 75, 150)
    shown = [decode(decoder, data, round(1000 * time_s))[0].pixels.size > 0 for time_s, data in packets]
    assert shown == [*[False] * shown.index(True), *[True] * (75 - shown.index(True))]
    with_parts = [time_s for time_s, data in packets if has_part(data)]
    assert any(time_s >= KEY_EVERY_S for time_s in with_parts)
    assert not any(15 < time_s < KEY_EVERY_S for time_s in with_parts)


def test_numbers_of_key_faces_come_round_without_mixing_them_up(hr_faces: Faces) -> None:
    decoder, coder = new_decoder(), FeaturesCoder(1, 15, True)
    for number in range(NUMBERS + 2):
        start = round(number * KEY_EVERY_S)
        pixels = hr_faces[3 * number]
        for time_s, data in packets_with_key(pixels, 4, None, coder, start=start):
            decode(decoder, data, round(1000 * time_s))
        assert np.array_equal(decoder._keys[0].pixels, decoded_still(coded_still(pixels)))


def test_each_person_of_a_track_gets_the_own_key_face(hr_faces: Faces) -> None:
    decoder, coder = new_decoder(), FeaturesCoder(1, 8, True)
    pixels = {0: hr_faces[0], 1: hr_faces[-1, :, ::-1].copy()}
    for second in range(40):  # they take turns in the track
        face = second // 2 % 2
        for time_s, data in packets_with_key(pixels[face], 1, 150, coder, face, start=second):
            decode(decoder, data, round(1000 * time_s))
    for face, one in pixels.items():
        assert np.array_equal(decoder._keys[face].pixels, decoded_still(coded_still(one)))


def test_nothing_of_the_pixels_is_sent_without_a_key_face(
    hr_faces: Faces, monkeypatch: pytest.MonkeyPatch, short_clip: Path, tmp_path: Path
) -> None:
    def refused(face: Grey) -> bytes:
        raise AssertionError("a still is coded")

    monkeypatch.setattr(key_face, "coded_still", refused)
    coder = FeaturesCoder(1, 8, False)
    contents = [coder.content(Face(number / 5, 0, BOX, one), FaceEstimate(0, 0, 1, 1)) for number, one in
                enumerate(hr_faces[:5])]  # fmt: skip
    other = [replace(one, pixels=NOTHING) for one in contents]
    for most in (None, 100, 2000):
        data = coder.packet(head(5), contents, most)
        assert data is not None
        assert data == coder.packet(head(5), other, most)  # the pixels make no difference
        assert not has_part(data)
        assert all(one.pixels is NO_PIXELS for one in decode(new_decoder(), data))
    lowbeam.pack(short_clip, tmp_path / "f.mkv", codec="features", qp=0)
    with FaceStreamReader(tmp_path / "f.mkv") as reader:
        assert {face.pixels.size for face in reader} == {0}
