"""Encryption of refresh handles and of grants in Redis, with a limited lifetime."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from typing import TYPE_CHECKING

from edge_service.errors import HandleMalformed, HandleRefused
from edge_service.strict_json import InvalidJson, parse_json

if TYPE_CHECKING:
    from cryptography.fernet import MultiFernet

__all__ = ["Sealer", "new_key"]

# Long enough for a tab that stays open overnight; Sentifyd's component keeps tokens per tab.
HANDLE_SECONDS = 24 * 3600
_TOKEN = re.compile(r"gAAAAA[A-Za-z0-9_-]{90,}={0,2}")


class Sealer:
    """Encrypts with the first key and decrypts with any, so that keys can be rotated.

    It uses Fernet (AES-128-CBC and HMAC-SHA256) from the library `cryptography`. A text can be
    bound to other strings, such as an avatar's name; it opens only with the same strings.

    Args:
        keys: Fernet keys, from `new_key`.
        life: lifetime of a sealed text in seconds.
    """

    def __init__(self, keys: Sequence[str], life: int = HANDLE_SECONDS) -> None:
        from cryptography.fernet import Fernet, InvalidToken, MultiFernet

        self._fernet: MultiFernet = MultiFernet([Fernet(key) for key in keys])
        self._refused = InvalidToken
        self._life = life

    def seal(self, secret: str, *bound_to: str) -> str:
        """Encrypt a text; the result has URL-safe characters only."""
        content = json.dumps([secret, *bound_to]).encode("ascii")
        return self._fernet.encrypt(content).decode("ascii")

    def open(self, sealed: str, *bound_to: str) -> str:
        """The text that was sealed.

        Raises:
            HandleMalformed: it does not have the form of a result of `seal`.
            HandleRefused: it was sealed with another key, bound to other strings, or has expired.
        """
        if not _TOKEN.fullmatch(sealed):
            raise HandleMalformed
        try:
            content = parse_json(self._fernet.decrypt(sealed, ttl=self._life))
        except (self._refused, InvalidJson):
            content = None
        # Another program may use the same key for any other text.
        match content:
            case [str(secret), *context] if context == list(bound_to):
                return secret
        raise HandleRefused


def new_key() -> str:
    """A new random Fernet key for `SEAL_KEYS`."""
    from cryptography.fernet import Fernet

    return Fernet.generate_key().decode("ascii")
