"""Settings of the server's pages."""

import math
from dataclasses import dataclass
from urllib.parse import urlsplit

from lowbeam.errors import UsageError


@dataclass(frozen=True)
class ServerSettings:
    """Settings of the server. `host` and `port` are where it listens; `retention_s`, the seconds after which estimates
    are deleted, None for never; `public_url`, the address under which people reach the pages if it is another;
    `link_address` (HOST:PORT) and `pin` (the SHA-256 of the certificate, in hexadecimal digits) are shown in the
    command for a new sender. Raises `UsageError` if a setting is out of its range."""

    host: str = "127.0.0.1"
    port: int = 7443
    keep_faces: bool = False
    retention_s: float | None = None
    is_tls: bool = False
    public_url: str | None = None
    link_address: str | None = None
    pin: str | None = None

    def __post_init__(self) -> None:
        if not self.host.strip():
            raise UsageError("the host must not be empty")
        if not 0 <= self.port <= 65535:
            raise UsageError(f"the port must be between 0 and 65535, not {self.port}")
        if self.retention_s is not None and not (math.isfinite(self.retention_s) and self.retention_s > 0):
            raise UsageError("the retention must be longer than 0 seconds")
        if self.public_url is not None and not _is_web(self.public_url):
            raise UsageError("the public URL must begin with http:// or https:// and name a host")
        if self.pin is not None and not (len(self.pin) == 64 and set(self.pin) <= set("0123456789abcdef")):
            raise UsageError("the pin must be a SHA-256 of 64 hexadecimal digits in lower case")

    @property
    def url(self) -> str:
        """The address of the pages, without a slash at the end."""
        if self.public_url is not None:
            return self.public_url.rstrip("/")
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{'https' if self.is_tls else 'http'}://{host}:{self.port}"

    @property
    def is_secure(self) -> bool:
        """Whether browsers reach the pages by TLS."""
        return self.is_tls or (self.public_url or "").startswith("https://")


def _is_web(url: str) -> bool:
    try:
        parts = urlsplit(url)
    except ValueError:
        return False
    return parts.scheme in {"http", "https"} and bool(parts.hostname)
