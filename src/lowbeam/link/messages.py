"""The messages of a recording's stream, and the frame of datagrams: what sender and receiver say to each other.

Each message is its length in two bytes, a byte for its kind, and its fields.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from aioquic.buffer import Buffer, BufferReadError

from lowbeam.errors import StreamError
from lowbeam.link.records import MAX_NUMBER

VERSION = 1
MAX_MESSAGE = 2**16 - 1  # bytes
MAX_TEXT = 200  # bytes
MAX_HELD = 1000  # numbers in a welcome
KEY_BYTES = 16  # of a recording
LIVE = 1  # the kind of a datagram
STREAM_STEP = 4  # between the numbers of a sender's streams (RFC 9000, 2.1)
MAX_STREAMS = 64  # of one connection


@dataclass(frozen=True)
class Hello:
    """The sender begins or continues the recording with the random `key`, which started at `started_ms` (Unix time):
    the faces from `first` on can still be sent."""

    token: str
    key: bytes
    started_ms: int
    name: str
    first: int


@dataclass(frozen=True)
class Welcome:
    """The receiver has stored the faces before `stored` for good. `holds` tells whether it can continue from there;
    otherwise it needs the key face before it again. `held` are numbers that it has received beyond."""

    stored: int
    holds: bool
    held: tuple[int, ...] = ()


@dataclass(frozen=True)
class Stored:
    """The faces before `stored` are stored for good: the sender may forget them."""

    stored: int


@dataclass(frozen=True)
class Gone:
    """The sender no longer has the faces from `first` to `last`, both included."""

    first: int
    last: int


@dataclass(frozen=True)
class Refused:
    """The receiver does not take the stream."""

    why: str


@dataclass(frozen=True)
class Ask:
    """The receiver asks for a key face, for another budget in bits per second (0: back to the sender's own), or for a
    better look for some seconds."""

    is_key: bool = False
    budget_bps: int | None = None
    look_s: int | None = None


@dataclass(frozen=True)
class Report:
    """What the sender tells about itself: its rate and its estimate of the link in bits per second, the loss in
    thousandths, faces that are not stored yet, and its operating point."""

    rate_bps: int
    estimate_bps: int
    loss_permille: int
    behind: int
    budget_bps: int
    point: str


@dataclass(frozen=True)
class Bye:
    """The recording is complete; it has `count` faces."""

    count: int


@dataclass(frozen=True)
class Fill:
    """Faces that were lost, or made while the link was down, as in a datagram."""

    records: bytes


Message = Hello | Welcome | Stored | Gone | Refused | Ask | Report | Bye | Fill


def write_message(message: Message) -> bytes:
    """The bytes of `message`."""
    body = Buffer(capacity=MAX_MESSAGE)
    match message:
        case Hello(token, key, started_ms, name, first):
            body.push_uint8(1)
            body.push_uint8(VERSION)
            body.push_bytes(key)
            _push_numbers(body, started_ms, first)
            _push_text(body, token)
            _push_text(body, name)
        case Welcome(stored, holds, held):
            body.push_uint8(2)
            _push_numbers(body, stored, int(holds), len(held), *held)
        case Stored(stored):
            body.push_uint8(3)
            _push_numbers(body, stored)
        case Gone(first, last):
            body.push_uint8(4)
            _push_numbers(body, first, last)
        case Refused(why):
            body.push_uint8(5)
            _push_text(body, why)
        case Ask(is_key, budget_bps, look_s):
            body.push_uint8(6)
            has = int(is_key) | 2 * (budget_bps is not None) | 4 * (look_s is not None)
            _push_numbers(body, has, budget_bps or 0, look_s or 0)
        case Report(rate, estimate, loss, behind, budget, point):
            body.push_uint8(7)
            _push_numbers(body, rate, estimate, loss, behind, budget)
            _push_text(body, point)
        case Bye(count):
            body.push_uint8(8)
            _push_numbers(body, count)
        case Fill(records):
            body = Buffer(capacity=len(records) + 1)
            body.push_uint8(9)
            body.push_bytes(records)
    return len(body.data).to_bytes(2) + bytes(body.data)


def write_datagram(stream: int, records: bytes) -> bytes:
    """A datagram with live faces of a stream's recording."""
    return bytes([LIVE, stream // STREAM_STEP]) + records


def read_datagram(data: bytes) -> tuple[int, bytes]:
    """The stream and the records of a datagram. Raises `StreamError`."""
    if len(data) < 2 or data[0] != LIVE:
        raise StreamError("a datagram on the link is of an unknown kind")
    return STREAM_STEP * data[1], data[2:]


class MessageReader:
    """Takes the bytes of a control stream as they come and gives the messages that are complete, which may have `most`
    bytes."""

    def __init__(self, most: int = MAX_MESSAGE) -> None:
        self.most = most
        self._waiting = b""

    def take(self, data: bytes) -> Iterator[Message]:
        """The messages that `data` completes. Raises `StreamError`."""
        self._waiting += data
        while len(self._waiting) >= 2:
            size = int.from_bytes(self._waiting[:2])
            if not 1 <= size <= self.most:
                raise StreamError("a message on the link has an impossible length")
            if len(self._waiting) < 2 + size:
                return
            body, self._waiting = self._waiting[2 : 2 + size], self._waiting[2 + size :]
            yield _read(Buffer(data=body))


def _read(body: Buffer) -> Message:
    try:
        message = _read_kind(body)
    except (BufferReadError, ValueError) as error:
        raise StreamError("a message on the link is cut or damaged") from error
    if not body.eof():
        raise StreamError("a message on the link is too long")
    return message


def _read_kind(body: Buffer) -> Message:
    kind = body.pull_uint8()
    if kind not in READERS:
        raise StreamError("a message on the link is of an unknown kind")
    return READERS[kind](body)


def _read_hello(body: Buffer) -> Hello:
    version = body.pull_uint8()
    if version != VERSION:
        raise StreamError(f"the sender speaks version {version} of the link; this lowbeam speaks version {VERSION}")
    key, started_ms, first = body.pull_bytes(KEY_BYTES), _number(body), _number(body)
    return Hello(_text(body), key, started_ms, _text(body), first)


def _read_welcome(body: Buffer) -> Welcome:
    stored, holds, count = _number(body), bool(_number(body)), _number(body)
    if count > MAX_HELD:
        raise StreamError("a message on the link is too long")
    return Welcome(stored, holds, tuple(_number(body) for _ in range(count)))


def _read_ask(body: Buffer) -> Ask:
    has, budget, look = _number(body), _number(body), _number(body)
    return Ask(bool(has & 1), budget if has & 2 else None, look if has & 4 else None)


def _read_report(body: Buffer) -> Report:
    rate, estimate, loss, behind, budget = (_number(body) for _ in range(5))
    return Report(rate, estimate, loss, behind, budget, _text(body))


def _read_fill(body: Buffer) -> Fill:
    return Fill(body.pull_bytes(body.capacity - body.tell()))


READERS: dict[int, Callable[[Buffer], Message]] = {
    1: _read_hello, 2: _read_welcome, 3: lambda body: Stored(_number(body)),
    4: lambda body: Gone(_number(body), _number(body)), 5: lambda body: Refused(_text(body)), 6: _read_ask,
    7: _read_report, 8: lambda body: Bye(_number(body)), 9: _read_fill,
}  # fmt: skip


def _push_numbers(body: Buffer, *numbers: int) -> None:
    for number in numbers:
        body.push_uint_var(number)


def _push_text(body: Buffer, text: str) -> None:
    data = text.encode()[:MAX_TEXT]
    body.push_uint_var(len(data))
    body.push_bytes(data)


def _number(body: Buffer) -> int:
    number = body.pull_uint_var()
    if number >= MAX_NUMBER:
        raise StreamError("a number on the link is out of range")
    return number


def _text(body: Buffer) -> str:
    size = body.pull_uint_var()
    if size > MAX_TEXT:
        raise StreamError("a text on the link is too long")
    return body.pull_bytes(size).decode(errors="replace")
