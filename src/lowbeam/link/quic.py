"""QUIC as the link uses it: configurations of both sides, certificates and their fingerprints."""

import hashlib
import ssl
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

from aioquic.quic.configuration import QuicConfiguration
from aioquic.quic.connection import QuicConnection
from aioquic.tls import Epoch, SessionTicket
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from lowbeam.codec.wire import IP_UDP
from lowbeam.errors import OutputError, UsageError, reason
from lowbeam.link import congestion

ALPN = "lowbeam/1"
DEFAULT_PORT = 7443
CONNECTION_ID_BYTES = 4  # in each packet
IDLE_S = 180.0  # seconds without a packet after which a connection ends
MAX_DATAGRAM = 1200  # bytes of a QUIC packet, the smallest that QUIC allows
# The sender's first packet and its answer have this size each, and take 20 s at 1 kbit/s. Both ends repeat them by
# timers of their own (SenderConnection, ReceivingCore), and QUIC's own timer hardly ever does.
FIRST_BYTES = MAX_DATAGRAM + IP_UDP
SENDER_RTT_S = IDLE_S
RECEIVER_RTT_S = 8.0  # half the time after which the receiver answers again unasked
CONNECTION_IDS = 2  # that each end has at a time: the one in use, and one for another address; each costs 24 bytes
CERTIFICATE_DAYS = 3650


@dataclass(frozen=True)
class Address:
    """Where a receiver listens."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"lowbeam://{f'[{self.host}]' if ':' in self.host else self.host}:{self.port}"


def parse_address(text: str) -> Address:
    """The address in ``lowbeam://HOST[:PORT]``. Raises `UsageError`."""
    rest = text.removeprefix("lowbeam://")
    host, found, port = rest.rpartition(":") if not rest.endswith("]") else (rest, "", "")
    host, port = (host, port) if found and "]" not in port else (rest, str(DEFAULT_PORT))
    host = host.strip("[]")
    if not text.startswith("lowbeam://") or not host or "/" in host or not port.isdigit() or not 0 < int(port) < 65536:
        raise UsageError(f"{text} is not an address such as lowbeam://HOST:{DEFAULT_PORT}")
    return Address(host, int(port))


def sender_connection(
    address: Address, pin: str | None, ticket: SessionTicket | None, keep_ticket: Callable[[SessionTicket], None]
) -> QuicConnection:
    """The sender's side of a connection. With a `pin` the certificate is checked by its fingerprint, after the
    handshake (`matches_pin`); otherwise by the authorities that certifi lists. With a `ticket` it resumes an earlier
    session, without a certificate; `keep_ticket` gets new ones."""
    configuration = QuicConfiguration(
        is_client=True, alpn_protocols=[ALPN], congestion_control_algorithm=congestion.NAME,
        connection_id_length=CONNECTION_ID_BYTES, idle_timeout=IDLE_S, max_datagram_size=MAX_DATAGRAM,
        max_datagram_frame_size=MAX_DATAGRAM, server_name=address.host, session_ticket=ticket,
        initial_rtt=SENDER_RTT_S, verify_mode=None if pin is None else ssl.CERT_NONE,
    )  # fmt: skip
    quic = QuicConnection(configuration=configuration, session_ticket_handler=keep_ticket)
    quic._local_active_connection_id_limit = CONNECTION_IDS
    return quic


# aioquic has no public names for what the functions below use.


def prepare_receiver(quic: QuicConnection) -> None:
    """Take few connection ids from the sender, and do not answer at once when its first packet comes again
    (`answer_again`); to be called before the first packet."""
    quic._local_active_connection_id_limit = CONNECTION_IDS
    quic._crypto_retransmitted = True


def answered_copy(quic: QuicConnection) -> int:
    """Which copy of the sender's first packet, counted from 0, is the newest that the receiver had when it answered; to
    be called when the handshake is complete."""
    return max(0, quic._spaces[Epoch.INITIAL].largest_acked_packet)


def is_asked_for_proof(quic: QuicConnection) -> bool:
    """Whether the receiver has asked the sender to prove its address (Retry), and QUIC has begun the handshake anew."""
    return quic._retry_count > 0


def leave_initial(quic: QuicConnection) -> None:
    """Send no more packets of the kind that has to be padded to 1200 bytes, as the acknowledgement of the answer would
    be: once the sender has the keys of the handshake it needs none (RFC 9001, 4.9.1)."""
    quic._discard_epoch(Epoch.INITIAL)


def send_again(quic: QuicConnection, now: float) -> None:
    """Send again what was not acknowledged: the packets of the handshake, and with them the hello, which QUIC would
    keep until the handshake is confirmed."""
    loss, space = quic._loss, quic._spaces[Epoch.ONE_RTT]
    packets = [packet for packet in space.sent_packets.values() if packet.is_ack_eliciting]
    loss._on_packets_lost(congestion_event=False, now=now, packets=packets, space=space)
    loss.reschedule_data(now=now)


def answer_packets(quic: QuicConnection) -> float:
    """How many packets of full size the receiver has sent: one, or some more where its certificate is a long chain."""
    return quic._network_paths[0].bytes_sent / MAX_DATAGRAM


def answer_again(quic: QuicConnection, at_s: float) -> None:
    """Let the receiver send its packets of the handshake again at `at_s` if nothing has acknowledged them by then. If
    it has sent none, nothing changes: the time since none was sent would have no end, nor would the connection."""
    loss = quic._loss
    if loss._time_of_last_sent_ack_eliciting_packet > 0.0:
        loss._pto_count = 0
        loss._rtt_initial = (at_s - loss._time_of_last_sent_ack_eliciting_packet) / 2


def taken_until_s(quic: QuicConnection) -> float:
    """When the connection ends unless another packet comes: changes with each packet that belongs to it."""
    return quic._close_at or 0.0


def end_closed(quic: QuicConnection, now: float) -> None:
    """End a connection that one of the ends has closed. QUIC would wait for late packets for three times its timeout,
    which is minutes on a thin link, and many more before a round trip was measured."""
    if quic._close_event is not None and quic._close_at is not None and not quic._close_pending:
        quic._close_at = min(quic._close_at, now)


def be_patient(quic: QuicConnection, patience_s: float) -> None:
    """Wait `patience_s` longer for an acknowledgement before a packet counts as lost although none after it was
    acknowledged, once the handshake is complete: the time of a packet on a thin link varies by its own length, and
    acknowledgements wait for faces to travel with."""
    quic._loss.max_ack_delay = patience_s


def expect_round_trip(quic: QuicConnection, share: float, rtt_s: float) -> None:
    """Judge losses by `share` of the round trip of the handshake, `rtt_s` where QUIC has not measured it: those of its
    large packets are many times longer on a thin link than those of faces."""
    loss = quic._loss
    loss._rtt_smoothed = share * min(loss._rtt_min, rtt_s)
    loss._rtt_variance, loss._rtt_initialized = loss._rtt_smoothed / 2, True


def receiver_configuration(certificate: Path, key: Path) -> QuicConfiguration:
    """The receiver's configuration with a certificate chain and its key (PEM files). Raises `UsageError`."""
    configuration = QuicConfiguration(
        is_client=False, alpn_protocols=[ALPN], connection_id_length=CONNECTION_ID_BYTES, idle_timeout=IDLE_S,
        max_datagram_size=MAX_DATAGRAM, max_datagram_frame_size=MAX_DATAGRAM, initial_rtt=RECEIVER_RTT_S,
        max_data=256 * 1024, max_stream_data=128 * 1024,
    )  # fmt: skip
    try:
        configuration.load_cert_chain(certificate, key)
    except (OSError, ValueError, IndexError, TypeError) as error:
        reading = reason(error) if isinstance(error, OSError) else "not a PEM certificate with its key"
        raise UsageError(f"{certificate} and {key} cannot be used: {reading}") from error
    return configuration


def parse_pin(text: str) -> str:
    """A SHA-256 fingerprint in hexadecimal, with or without colons, in lower case. Raises `UsageError`."""
    pin = text.replace(":", "").lower()
    if len(pin) != 64 or set(pin) - set("0123456789abcdef"):
        raise UsageError("--pin is not a SHA-256 fingerprint of 64 hexadecimal digits")
    return pin


def matches_pin(quic: QuicConnection, pin: str) -> bool:
    """Whether the peer has shown the certificate with the fingerprint `pin`, in this handshake or in the one that the
    session is resumed from."""
    if quic.tls.session_resumed:
        return True
    shown = quic.tls._peer_certificate  # aioquic has no public name for it
    return shown is not None and hashlib.sha256(shown.public_bytes(serialization.Encoding.DER)).hexdigest() == pin


def fingerprint(certificate: Path) -> str:
    """SHA-256 of the first certificate in a PEM file, in hexadecimal. Raises `UsageError`."""
    try:
        found = x509.load_pem_x509_certificates(certificate.read_bytes())[0]
    except (OSError, ValueError) as error:
        raise UsageError(f"{certificate} is not a PEM certificate: {reason(error)}") from error
    return found.fingerprint(hashes.SHA256()).hex()


def own_certificate(folder: Path, host: str) -> tuple[Path, Path]:
    """A self-signed certificate and its key in `folder`, which are made if they are missing. Raises `OutputError`."""
    certificate, key = folder / "certificate.pem", folder / "key.pem"
    if certificate.exists() and key.exists():
        return certificate, key
    secret = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "lowbeam")])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(secret.public_key())
        .serial_number(x509.random_serial_number()).not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=CERTIFICATE_DAYS))
        .add_extension(x509.SubjectAlternativeName(_names(host)), critical=False)
        .sign(secret, hashes.SHA256())
    )  # fmt: skip
    try:
        folder.mkdir(parents=True, exist_ok=True)
        key.touch(mode=0o600)
        key.write_bytes(
            secret.private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
            )
        )
        certificate.write_bytes(made.public_bytes(serialization.Encoding.PEM))
    except OSError as error:
        raise OutputError(f"{folder} cannot be written: {reason(error)}") from error
    return certificate, key


def _names(host: str) -> list[x509.GeneralName]:
    names: list[x509.GeneralName] = [x509.DNSName("localhost"), x509.IPAddress(ip_address("127.0.0.1"))]
    try:
        return [*names, x509.IPAddress(ip_address(host))]
    except ValueError:
        return [*names, x509.DNSName(host)]
