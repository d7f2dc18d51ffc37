"""The bytes of the link: records and control messages, also hostile ones."""

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lowbeam.codec import TrackHeader
from lowbeam.codec.cues import BoxCue
from lowbeam.errors import StreamError
from lowbeam.face import Box
from lowbeam.link import messages as m
from lowbeam.link.records import MAX_RECORD, FaceRecord, read_records, write_records

numbers = st.integers(0, 2**40)
texts = st.text(max_size=40)
headers = st.builds(
    TrackHeader, st.sampled_from(["hevc", "avc"]), st.sampled_from([1, 2, 4, 8]), st.just(0), st.binary(max_size=80)
)
anything = st.one_of(
    st.builds(m.Hello, texts, st.binary(min_size=16, max_size=16), numbers, texts, numbers),
    st.builds(m.Welcome, numbers, st.booleans(), st.lists(numbers, max_size=50).map(tuple)),
    st.builds(m.Stored, numbers),
    st.builds(m.Gone, numbers, numbers),
    st.builds(m.Refused, texts),
    st.builds(m.Ask, st.booleans(), st.none() | numbers, st.none() | numbers),
    st.builds(m.Report, numbers, numbers, numbers, numbers, numbers, texts),
    st.builds(m.Bye, numbers),
    st.builds(m.Fill, st.binary(max_size=2000)),
)


@st.composite
def recordings(draw: st.DrawFn) -> list[FaceRecord]:
    """Records with increasing numbers and times that do not decrease."""
    found: list[FaceRecord] = []
    number, time_ms = draw(numbers), draw(numbers)
    for _ in range(draw(st.integers(1, 6))):
        is_key = draw(st.booleans())
        before = draw(st.integers(0, number - 1)) if number and (not is_key or draw(st.booleans())) else None
        is_key = is_key or before is None
        box = BoxCue(draw(st.integers(0, 9)), Box(1.0, 2.0, 30.0)) if draw(st.booleans()) else None
        track, header = (draw(st.integers(0, 99)), draw(st.integers(0, 3))) if is_key else (0, 0)
        found.append(FaceRecord(number, before, time_ms, is_key, track, header, box, draw(st.binary(max_size=90))))
        number, time_ms = number + draw(st.integers(1, 300)), time_ms + draw(st.integers(0, 70_000))
    return found


@given(recordings(), st.lists(headers, min_size=4, max_size=4), st.sets(st.integers(0, 3)))
def test_records_come_back_as_they_were_written(
    rows: list[FaceRecord], made: list[TrackHeader], known: set[int]
) -> None:
    found = read_records(write_records(rows, dict(enumerate(made)), known))
    assert [one.face for one in found] == rows
    told = {one.face.header: one.header for one in found if one.header is not None}
    assert told == {face.header: made[face.header] for face in rows if face.is_key and face.header not in known}


@given(st.binary(max_size=300))
def test_any_bytes_are_records_or_an_error_of_the_stream(data: bytes) -> None:
    try:
        read_records(data)
    except StreamError as error:
        assert "\n" not in str(error)  # noqa: PT017


@given(recordings(), st.data())
def test_damaged_records_raise_no_other_error(rows: list[FaceRecord], data: st.DataObject) -> None:
    written = bytearray(write_records(rows, {n: TrackHeader("hevc", 8, 0, b"\0\1") for n in range(4)}, set()))
    for _ in range(data.draw(st.integers(1, 4))):
        written[data.draw(st.integers(0, len(written) - 1))] = data.draw(st.integers(0, 255))
    with contextlib.suppress(StreamError):
        read_records(bytes(written[: data.draw(st.integers(0, len(written)))]))


def test_a_record_that_states_more_bytes_than_allowed_is_refused() -> None:
    lies = bytes([1, 0, 0, 0, 0, 0]) + (MAX_RECORD + 1 | 0x80000000).to_bytes(4)
    with pytest.raises(StreamError, match="at most"):
        read_records(lies)


@given(st.lists(anything, max_size=6), st.data())
def test_messages_come_back_however_the_stream_cuts_them(sent: list[m.Message], data: st.DataObject) -> None:
    stream, reader, found = b"".join(map(m.write_message, sent)), m.MessageReader(), []
    while stream:
        size = data.draw(st.integers(1, len(stream)))
        found += reader.take(stream[:size])
        stream = stream[size:]
    assert found == sent


@given(st.lists(st.binary(max_size=200), max_size=4))
def test_any_bytes_are_messages_or_an_error_of_the_stream(parts: list[bytes]) -> None:
    reader = m.MessageReader()
    try:
        for part in parts:
            list(reader.take(part))
    except StreamError as error:
        assert "\n" not in str(error)  # noqa: PT017


@given(st.integers(0, 12), st.binary(max_size=60))
def test_any_body_is_a_message_or_an_error_of_the_stream(kind: int, body: bytes) -> None:
    with contextlib.suppress(StreamError):
        list(m.MessageReader().take((len(body) + 1).to_bytes(2) + bytes([kind]) + body))


def test_a_text_is_cut_to_its_limit_and_still_read() -> None:
    (found,) = m.MessageReader().take(m.write_message(m.Refused("é" * 500)))
    assert isinstance(found, m.Refused)
    assert len(found.why.encode()) <= m.MAX_TEXT + 2
