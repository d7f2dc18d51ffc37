"""The live link: faces over QUIC, with a bandwidth estimate, repair of losses, and a spool for what was missed.

Walk it in the order in which a face travels: `sender` (sockets) → `recording_sender` (what waits, is lost or is
filled in; `spool`) → `sending_core` (states) → `outgoing` (what is sent when) → `records` and `messages` (bytes) →
`sender_connection` (`quic`, `congestion`, `bandwidth`) → `receiving_core` → `receiver_connection` → `order`
(decoders) → `incoming` (what is yielded) → `receiver` (sockets).
"""

from lowbeam.link.incoming import Accepted, Change, Incoming, ReceivedFace
from lowbeam.link.messages import Ask, Hello
from lowbeam.link.quic import Address, fingerprint, own_certificate, parse_address
from lowbeam.link.receiver import Receiver
from lowbeam.link.recording_sender import Repair
from lowbeam.link.sender import Sender
from lowbeam.link.sender_connection import SendingOptions
from lowbeam.link.spool import Spool

__all__ = [
    "Accepted",
    "Address",
    "Ask",
    "Change",
    "Hello",
    "Incoming",
    "ReceivedFace",
    "Receiver",
    "Repair",
    "Sender",
    "SendingOptions",
    "Spool",
    "fingerprint",
    "own_certificate",
    "parse_address",
]
