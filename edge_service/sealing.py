"""Sealed texts: what leaves the service encrypted, authentic and for a while only."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from typing import TYPE_CHECKING

from edge_service.errors import HandleMalformed, HandleRefused

if TYPE_CHECKING:
    from cryptography.fernet import MultiFernet

__all__ = ["Sealer", "new_key"]

# A visitor's tab may sleep for a night; the vendor's component forgets its tokens with the tab.
HANDLE_SECONDS = 24 * 3600
_TOKEN = re.compile(r"gAAAAA[A-Za-z0-9_-]{90,}={0,2}")


class Sealer:
    """Seals with the first key and opens with any, so that keys can be rotated.

    Fernet (AES-128-CBC and HMAC-SHA256) from the library `cryptography`; what a text is bound to
    is sealed with it, so that it opens nowhere else.

    Args:
        keys: Fernet keys, as `new_key` makes them.
        life: seconds for which a handle opens.
    """

    def __init__(self, keys: Sequence[str], life: int = HANDLE_SECONDS) -> None:
        from cryptography.fernet import Fernet, InvalidToken, MultiFernet

        self._fernet: MultiFernet = MultiFernet([Fernet(key) for key in keys])
        self._refused = InvalidToken
        self._life = life

    def seal(self, secret: str, *bound_to: str) -> str:
        """An encrypted text of URL-safe characters."""
        content = json.dumps([secret, *bound_to]).encode("ascii")
        return self._fernet.encrypt(content).decode("ascii")

    def open(self, sealed: str, *bound_to: str) -> str:
        """The text that was sealed, for as long as a handle lives.

        Raises:
            HandleMalformed: it cannot have come from `seal`.
            HandleRefused: it was not sealed with one of the keys and bound to just this, or it is
                too old.
        """
        if not _TOKEN.fullmatch(sealed):
            raise HandleMalformed
        try:
            content = json.loads(self._fernet.decrypt(sealed, ttl=self._life))
        except (self._refused, ValueError):
            # Another program's texts, sealed with the same key, need not be JSON.
            content = None
        if not isinstance(content, list) or content[1:] != list(bound_to):
            raise HandleRefused
        secret: str = content[0]
        return secret


def new_key() -> str:
    """A key for `SEAL_KEYS`."""
    from cryptography.fernet import Fernet

    return Fernet.generate_key().decode("ascii")
