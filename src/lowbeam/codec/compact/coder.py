"""Packets of compact codecs: several samples of one person, coded together."""

import math
from collections.abc import Sequence
from typing import Protocol, TypeVar

import numpy as np

from lowbeam.codec.compact.estimates import PRICE, fitted_body, read_body, write_body
from lowbeam.codec.compact.head import Head, read_head, write_head
from lowbeam.codec.compact.range_coding import PacketReader, PacketWriter
from lowbeam.codec.interface import CodedFace, Sample, TrackHeader
from lowbeam.errors import StreamError
from lowbeam.face import NO_PIXELS, Face, FaceEstimate

VERSION = b"\x01"  # of the packets, in the header's `config`
MAX_QP = 14
FINEST, COARSEST = 2**-12, 2.0**6  # prices of a bit in squared deviations
HALVINGS = 8  # of the range of prices, until one is found that fits

Content = TypeVar("Content")


class PacketCoder(Protocol[Content]):
    """Codes packets of one track; `Content` is what it tells of a face."""

    @property
    def header(self) -> TrackHeader:
        """The header that a decoder needs before the first packet."""

    def content(self, face: Face, own: FaceEstimate) -> Content:
        """What is to be told of `face`, an HR face of which the encoder side has the estimate `own`."""

    def resampled(self, times_s: Sequence[float], contents: Sequence[Content], at_s: Sequence[float]) -> list[Content]:
        """The contents at the times `at_s`, from those at `times_s` (seconds, increasing)."""

    def packet(self, head: Head, contents: Sequence[Content], most_bytes: int | None) -> bytes | None:
        """A packet of at most `most_bytes`; None if there is none. Without a limit, it is as fine as the operating
        point says."""

    def smallest(self, head: Head, contents: Sequence[Content]) -> bytes:
        """The coarsest packet."""


class EstimatesCoder:
    """Codes estimates. The price of a bit follows from `qp`, from 0 (fine) to `MAX_QP`, or from the size allowed."""

    def __init__(self, scale: int, qp: int, has_key_face: bool = False) -> None:
        self.header = TrackHeader("estimates", scale, 0, VERSION)
        self._price = PRICE * 2.0 ** (qp - 10)  # at QP 10, a step is one standard deviation

    def content(self, face: Face, own: FaceEstimate) -> FaceEstimate:
        """The estimate."""
        return own

    def resampled(
        self, times_s: Sequence[float], contents: Sequence[FaceEstimate], at_s: Sequence[float]
    ) -> list[FaceEstimate]:
        """Estimates joined by straight lines."""
        columns = [np.interp(at_s, times_s, column).tolist() for column in zip(*contents, strict=True)]
        return [FaceEstimate(*row) for row in zip(*columns, strict=True)]

    def packet(self, head: Head, contents: Sequence[FaceEstimate], most_bytes: int | None) -> bytes | None:
        """As in `PacketCoder`."""
        if most_bytes is None:
            return _packet(head, contents, self._price)
        low, high = math.log(FINEST), math.log(COARSEST)
        found = self.smallest(head, contents)
        if len(found) > most_bytes:
            return None
        for _ in range(HALVINGS):
            middle = (low + high) / 2
            data = _packet(head, contents, math.exp(middle))
            if len(data) <= most_bytes:
                found, high = data, middle
            else:
                low = middle
        return found

    def smallest(self, head: Head, contents: Sequence[FaceEstimate]) -> bytes:
        """As in `PacketCoder`."""
        return _packet(head, contents, COARSEST)


def _packet(head: Head, contents: Sequence[FaceEstimate], price: float) -> bytes:
    writer = PacketWriter()
    write_head(writer, head)
    write_body(writer, fitted_body(contents, price))
    return writer.data()


class EstimatesDecoder:
    """Decodes packets of estimates; each by itself, so that a lost packet costs only itself. Raises `StreamError` if
    the header is of another version."""

    def __init__(self, header: TrackHeader) -> None:
        if header.config != VERSION:
            raise StreamError("the estimates in the stream are of another version")

    def decode(self, coded: CodedFace) -> list[Sample]:
        """The samples of a packet. Raises `StreamError` if it is damaged."""
        reader = PacketReader(coded.data)
        head = read_head(reader)
        return [
            Sample(coded.time_ms + number * head.tick_ms, NO_PIXELS, head.face, head.box, estimate=estimate)
            for number, estimate in enumerate(read_body(reader, head.count))
        ]

    def flush(self) -> list[Sample]:
        """Nothing: a packet is decoded at once."""
        return []

    def change_scale(self, time_ms: int, scale: int) -> None:
        """Nothing changes: there are no pixels."""
