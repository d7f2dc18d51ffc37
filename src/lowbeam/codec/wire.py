"""The bytes on the wire: coded faces and cues with the headers of the packets that carry them.

Three transports are counted. RTP over UDP over IPv4 sends each face as soon as it is coded, in a packet of its own, and
so does the live link, in a QUIC datagram. TLS over TCP sends the faces of a second together: up to a second later, with
far fewer headers. Return traffic (acknowledgements, RTCP) and connection setup are not counted.
"""

import numpy as np
from numpy.typing import NDArray

MTU = 1500  # bytes: Ethernet's
IP_UDP_RTP = 20 + 8 + 12  # IPv4 (RFC 791), UDP (RFC 768), RTP (RFC 3550)
FRAGMENT = 3  # bytes that each packet of a fragmented face costs in addition (RFC 7798, 4.4.3)
IP_TCP = 20 + 20 + 12  # IPv4, TCP (RFC 9293) with timestamps (RFC 7323)
TLS_RECORD = 5 + 1 + 16  # header, content type and tag of a TLS 1.3 record (RFC 8446, 5.2)
MAX_RECORD = 2**14  # bytes (RFC 8446, 5.1)
FACE_HEADER = 4  # bytes of each face in a batch: its length and its time within the batch, two bytes each
BATCH_S = 1.0
FILE_FACE = 16  # bytes of a face stream around each face: its block, its share of a cluster of 2 s and of the index
PIPE_FACE = 30  # the same where each face is in a cluster of its own, as to a pipe
IP_UDP = 20 + 8  # IPv4, UDP
QUIC_PACKET = IP_UDP + 1 + 4 + 2 + 16  # short header, connection id, packet number, tag (RFC 9000, 9001)
QUIC_DATAGRAM = 3 + 2  # type and length of the frame (RFC 9221); kind and stream of the faces in it
QUIC_FACE = 10  # of a face in a datagram: flags, number, time, length
QUIC_ROOM = 1200 - (QUIC_PACKET - IP_UDP) - QUIC_DATAGRAM  # bytes of faces in a datagram
FILE_CUE = 18  # bytes around each group of cues

Sizes = NDArray[np.int64]  # bytes of each face with its cues, (n,)


def rtp_bytes(sizes: Sizes) -> int:
    """Bytes of faces sent by RTP, each in one packet, or in several if it does not fit."""
    room = MTU - IP_UDP_RTP
    packets = np.where(sizes <= room, 1, -(-sizes // (room - FRAGMENT)))
    return int((sizes + packets * IP_UDP_RTP + np.where(packets > 1, packets * FRAGMENT, 0)).sum())


def quic_bytes(sizes: Sizes) -> int:
    """Bytes of faces sent over the link, each in a QUIC datagram of its own. A face that does not fit goes over a
    stream, in several packets."""
    packets = -(-(sizes + QUIC_FACE) // QUIC_ROOM)
    return int((sizes + QUIC_FACE + packets * (QUIC_PACKET + QUIC_DATAGRAM)).sum())


def tls_bytes(time_s: NDArray[np.float64], sizes: Sizes) -> int:
    """Bytes of faces sent by TLS in batches of `BATCH_S`; empty batches are not sent. `time_s` (n,) increases."""
    if len(sizes) == 0:
        return 0
    batch = np.floor(np.asarray(time_s) / BATCH_S + 1e-6).astype(np.int64)
    _, index = np.unique(batch, return_inverse=True)
    sent = np.bincount(index, weights=sizes + FACE_HEADER).astype(np.int64)
    sealed = sent + -(-sent // MAX_RECORD) * TLS_RECORD
    return int((sealed + -(-sealed // (MTU - IP_TCP)) * IP_TCP).sum())


class ByteCounter:
    """Counts the bytes of coded faces and their cues for each transport."""

    def __init__(self) -> None:
        self._time_s: list[float] = []
        self._faces: list[int] = []
        self._cues: list[int] = []

    def add(self, time_s: float, face_bytes: int, cue_bytes: int) -> None:
        """Count a face at `time_s` (seconds, increasing) and the cues before it."""
        self._time_s.append(time_s)
        self._faces.append(face_bytes)
        self._cues.append(cue_bytes)

    def __len__(self) -> int:
        return len(self._faces)

    @property
    def payload(self) -> int:
        """Bytes of the coded faces alone."""
        return sum(self._faces)

    @property
    def sizes(self) -> Sizes:
        """Bytes of each face with the cues before it, int64 (n,)."""
        return np.array(self._faces, np.int64) + np.array(self._cues, np.int64)

    @property
    def rtp(self) -> int:
        """Bytes over RTP, UDP and IPv4."""
        return rtp_bytes(self.sizes)

    @property
    def quic(self) -> int:
        """Bytes over QUIC datagrams, UDP and IPv4, each face by itself."""
        return quic_bytes(self.sizes)

    @property
    def tls(self) -> int:
        """Bytes over TLS, TCP and IPv4, in batches of `BATCH_S`."""
        return tls_bytes(np.array(self._time_s), self.sizes)
