"""Passwords and tokens: how they are made, hashed and compared. None is ever stored, logged or shown in a repr."""

import asyncio
import hashlib
import secrets

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from lowbeam.errors import LowbeamError

PASSES, MEMORY_KIB, LANES = 3, 65536, 4  # of argon2id: RFC 9106's second recommended option
PARALLEL = 2  # hashes computed at once at most
LONGEST = 1000  # characters of a password


class AccountError(LowbeamError):
    """An account cannot be made, changed or logged in to. The message can be shown to the person who tried."""


def new_secret() -> str:
    """256 random bits, safe in URLs and cookies."""
    return secrets.token_urlsafe(32)


def digest(secret: str) -> bytes:
    """The hash of a secret that has 256 random bits, for which SHA-256 suffices."""
    return hashlib.sha256(secret.encode("utf-8", "surrogatepass")).digest()


class Argon2:
    """Hashes of argon2id, computed in threads."""

    def __init__(self) -> None:
        self._hasher = PasswordHasher(PASSES, MEMORY_KIB, LANES)
        self._turn = asyncio.Semaphore(PARALLEL)
        self._decoy: str | None = None

    async def hash(self, secret: str) -> str:
        """The hash of a password or token, with its salt and parameters."""
        async with self._turn:
            return await asyncio.to_thread(self._hasher.hash, _bytes(secret))

    async def matches(self, hashed: str | None, secret: str) -> bool:
        """Whether `secret` has this hash. Without a hash the answer is no, and takes as long."""
        if hashed is None:
            self._decoy = self._decoy or await self.hash(new_secret())
        async with self._turn:
            found = await asyncio.to_thread(self._verify, hashed or str(self._decoy), _bytes(secret))
        return found and hashed is not None

    def _verify(self, hashed: str, secret: bytes) -> bool:
        try:
            return self._hasher.verify(hashed, secret)
        except (VerificationError, InvalidHashError):
            return False


def _bytes(secret: str) -> bytes:
    return secret[: LONGEST + 1].encode("utf-8", "surrogatepass")
