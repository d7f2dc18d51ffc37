"""The order of received faces: whatever the network does, every face is final once, as if nothing had been lost."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lowbeam.codec import TrackHeader
from lowbeam.errors import StreamError
from lowbeam.face import Face
from lowbeam.link import order as order_module
from lowbeam.link.order import DecodedFace, FaceOrder
from lowbeam.link.records import FaceRecord, ReceivedRecord
from lowbeam.scale import Faces
from tests.link_network import code_faces, records_of, same_face

Recording = tuple[list[FaceRecord], dict[int, TrackHeader], list[Face | None]]


def received(rows: list[FaceRecord], headers: dict[int, TrackHeader], number: int) -> ReceivedRecord:
    face = rows[number]
    return ReceivedRecord(face, headers[face.header] if face.is_key else None)


@pytest.fixture(scope="session")
def recording(hr_faces: Faces) -> Recording:
    """Thirty faces in two tracks, with a key face every six of a track, and what they are without loss."""
    rows, headers = records_of(code_faces(list(hr_faces[:30]), tracks=2, key_every=6))
    order, plain = FaceOrder(), []
    for number in range(len(rows)):
        plain += order.add(received(rows, headers, number))
    assert [one.number for one in plain] == list(range(30))
    assert all(one.is_final for one in plain)
    assert all(len(one.faces) == 1 for one in plain)
    return rows, headers, [one.faces[0] for one in plain]


def check(found: list[DecodedFace], recording: Recording, first: int = 0) -> None:
    """Every face from `first` on is final once, in order within its track, with the pixels that it should have."""
    rows, _, plain = recording
    final = [one for one in found if one.is_final]
    assert sorted(one.number for one in final) == list(range(first, len(rows)))
    for track in range(2):
        numbers = [one.number for one in final if one.faces and one.faces[0].id == track]
        assert numbers == sorted(numbers)
    assert all(same_face(one.faces[0], plain[one.number]) for one in final)


@settings(max_examples=60)
@given(st.permutations(range(30)), st.lists(st.integers(0, 29), max_size=10), st.sampled_from([1, 4, 256]))
def test_any_order_with_copies_ends_in_every_face_once(
    recording: Recording, order: list[int], again: list[int], remembered: int
) -> None:
    rows, headers, _ = recording
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(order_module, "LEAST_TRACKS", remembered)
        faces, found = FaceOrder(), list[DecodedFace]()
        for place, number in enumerate(order):
            found += faces.add(received(rows, headers, number))
            if place < len(again):
                found += faces.add(received(rows, headers, again[place]))
    check(found, recording)
    assert faces.next == 30
    assert not faces.held


def test_little_is_remembered_of_faces_that_are_final(recording: Recording, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(order_module, "LEAST_TRACKS", 8)
    rows, headers, _ = recording
    faces = FaceOrder()
    for number in range(len(rows)):
        faces.add(received(rows, headers, number))
        assert len(faces._track_of) <= 9


@settings(max_examples=25)
@given(st.sets(st.integers(0, 29), max_size=12))
def test_lost_faces_that_are_filled_in_later_leave_no_trace(recording: Recording, lost: set[int]) -> None:
    rows, headers, plain = recording
    faces, found = FaceOrder(), []
    for number in sorted(set(range(30)) - lost):
        found += faces.add(received(rows, headers, number))
    for one in found:  # a provisional face has an unbroken chain to a key face, so it is exact too
        assert np.array_equal(one.faces[0].pixels, plain[one.number].pixels)
    for number in sorted(lost):
        found += faces.add(received(rows, headers, number))
    check(found, recording)


def test_a_face_after_a_gap_is_shown_only_from_a_key_face_on(recording: Recording) -> None:
    rows, headers, _ = recording
    faces = FaceOrder()
    for number in range(4):
        faces.add(received(rows, headers, number))
    shown = []
    for number in range(6, 20):  # 4 and 5 are lost: one of each track
        shown += faces.add(received(rows, headers, number))
    assert not any(one.is_final for one in shown)
    keys = [face.number for face in rows if face.is_key and face.number >= 6]
    assert shown
    assert min(one.number for one in shown) == keys[0]


@settings(max_examples=25)
@given(st.integers(0, 29), st.integers(0, 12), st.permutations(range(30)))
def test_faces_that_are_given_up_do_not_hold_up_later_ones(
    recording: Recording, first: int, count: int, order: list[int]
) -> None:
    rows, headers, plain = recording
    gone = set(range(first, min(first + count, 30)))
    faces, found = FaceOrder(), []
    for number in order[:15]:
        if number not in gone:
            found += faces.add(received(rows, headers, number))
    if gone:
        found += faces.skip(min(gone), max(gone))
    for number in order[15:]:
        if number not in gone:
            found += faces.add(received(rows, headers, number))
    final = [one.number for one in found if one.is_final]
    assert len(final) == len(set(final))
    assert faces.next == 30
    assert not faces.held
    broken: dict[int, bool] = {}
    expected = []
    for face in rows:
        track = face.number % 2
        broken[track] = face.number in gone or (broken.get(track, False) and not face.is_key)
        if not broken[track]:
            expected.append(face.number)
    assert sorted(final) == expected
    assert all(same_face(one.faces[0], plain[one.number]) for one in found if one.is_final)


@pytest.mark.parametrize("stored", [1, 7, 12, 13, 20, 29])
def test_a_receiver_that_restarts_continues_from_the_key_faces_before(recording: Recording, stored: int) -> None:
    rows, headers, _ = recording
    keys = [
        max(f.number for f in rows if f.is_key and f.number < stored and f.track == t) for t in range(min(2, stored))
    ]
    faces = FaceOrder(stored)
    assert not faces.holds_decoders
    found = faces.add(received(rows, headers, 29))  # live faces come before what is filled in
    for number in range(min(keys), 30):
        found += faces.add(received(rows, headers, number))
    check(found, recording, stored)
    assert not faces.held


def check_led_up(recording: Recording, stored: int, *cut_off: list[int]) -> None:
    """A receiver that restarted after `stored` faces gets some faces, and is cut off, once or more; it holds its
    decoders once the sender has begun again with the last key faces."""
    rows, headers, _ = recording
    faces, found = FaceOrder(stored), []
    for numbers in cut_off:
        for number in numbers:
            found += faces.add(received(rows, headers, number))
        assert not faces.holds_decoders
    for number in range(12, 30):  # the last key faces before are 12 and 13
        found += faces.add(received(rows, headers, number))
    assert faces.holds_decoders
    check(found, recording, stored)


@pytest.mark.parametrize("cut", range(12, 17))
def test_a_receiver_that_restarts_needs_the_key_faces_again_where_it_was_cut_off_among_them(
    recording: Recording, cut: int
) -> None:
    check_led_up(recording, 17, [*range(12, cut)], [*range(17, 30)])  # the latter are sent live, and have to wait


def test_a_receiver_that_restarts_needs_the_key_faces_of_every_track_again(recording: Recording) -> None:
    check_led_up(recording, 16, [12, 13, 14, 16])  # 16 is sent live; 15 is of the other track


def test_a_sender_cannot_make_the_receiver_hold_more_than_its_limit(
    recording: Recording, monkeypatch: pytest.MonkeyPatch
) -> None:
    _rows, _headers, _ = recording
    monkeypatch.setattr(order_module, "MAX_HELD", 5)
    faces = FaceOrder()
    with pytest.raises(StreamError, match="wait"):
        for number in range(1, 30, 2):
            faces.add(ReceivedRecord(FaceRecord(number, number - 1, 0, False, 0, 0, None, b"x"), None))
    with pytest.raises(StreamError, match="gave up"):
        for start in range(10):
            FaceOrder.skip(faces, 10**7 * (start + 1), 10**7 * (start + 1) + 400_000)


def test_damaged_faces_count_once_and_end_nothing(recording: Recording) -> None:
    rows, headers, _ = recording
    faces, found = FaceOrder(), []
    for number in range(30):
        record = received(rows, headers, number)
        if number in (4, 12):
            face = record.face
            broken = FaceRecord(*[*vars(face).values()][:-1], b"\xff" * 20)  # type: ignore[arg-type]  # its fields
            record = ReceivedRecord(broken, record.header)
        found += faces.add(record)
    assert sorted(one.number for one in found if one.is_final) == list(range(30))
