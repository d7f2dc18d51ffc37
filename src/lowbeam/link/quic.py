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
from aioquic.tls import SessionTicket
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from lowbeam.errors import OutputError, UsageError, reason
from lowbeam.link import congestion

ALPN = "lowbeam/1"
DEFAULT_PORT = 7443
CONNECTION_ID_BYTES = 4  # in each packet
IDLE_S = 180.0  # seconds without a packet after which a connection ends
MAX_DATAGRAM = 1200  # bytes of a QUIC packet, the smallest that QUIC allows
# Half of the time after which the first packets are sent again. They have 1200 bytes, ten seconds at 1 kbit/s. The
# receiver is patient, since it answers at once when the sender's first packet comes again.
FIRST_BITS = 10_000  # of the sender's first packet; it is sent again after twice its time on the link
RECEIVER_RTT_S = 8.0
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
    address: Address, pin: str | None, ticket: SessionTicket | None, bps: float,
    keep_ticket: Callable[[SessionTicket], None],
) -> QuicConnection:  # fmt: skip
    """The sender's side of a connection, over a link of about `bps` bits per second. With a `pin` the certificate
    is checked by its fingerprint, after the handshake (`matches_pin`); otherwise by the authorities that certifi
    lists. With a `ticket` it resumes an earlier session, without a certificate; `keep_ticket` gets new ones."""
    configuration = QuicConfiguration(
        is_client=True, alpn_protocols=[ALPN], congestion_control_algorithm=congestion.NAME,
        connection_id_length=CONNECTION_ID_BYTES, idle_timeout=IDLE_S, max_datagram_size=MAX_DATAGRAM,
        max_datagram_frame_size=MAX_DATAGRAM, server_name=address.host, session_ticket=ticket,
        initial_rtt=FIRST_BITS / bps, verify_mode=None if pin is None else ssl.CERT_NONE,
    )  # fmt: skip
    return QuicConnection(configuration=configuration, session_ticket_handler=keep_ticket)


def be_patient(quic: QuicConnection, patience_s: float) -> None:
    """Wait `patience_s` longer for an acknowledgement before a packet counts as lost although none after it was
    acknowledged, once the handshake is complete: the time of a packet on a thin link varies by its own length, and
    acknowledgements wait for faces to travel with."""
    quic._loss.max_ack_delay = patience_s  # aioquic has no public name for it


def forget_handshake(quic: QuicConnection) -> None:
    """Judge losses by the shortest round trip so far: those of the handshake's large packets are many times longer on a
    thin link than those of faces."""
    loss = quic._loss  # aioquic has no public name for it
    loss._rtt_smoothed = loss._rtt_min
    loss._rtt_variance = loss._rtt_min / 2


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
