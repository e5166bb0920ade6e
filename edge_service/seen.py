"""What may be told of an answer's head: never what another server could have put there."""

from __future__ import annotations

import re
import time
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from urllib.parse import urljoin, urlsplit

import requests

__all__ = ["Seen"]

_HOST = re.compile(r"[A-Za-z0-9.-]{1,253}(:[0-9]{1,5})?|\[[0-9a-fA-F:]+\](:[0-9]{1,5})?")


@dataclass(frozen=True, slots=True)
class Seen:
    """The head of an answer.

    Attributes:
        status: HTTP status.
        ahead: seconds that this machine's clock is ahead of the server's; `None` without `Date`.
        target: scheme and host of a redirect, or `None`.
        is_page: whether the body is HTML.
    """

    status: int
    ahead: float | None
    target: str | None
    is_page: bool

    @classmethod
    def of(cls, response: requests.Response, key: str) -> Seen:
        """What may be told of a response to a request that held this key."""
        headers = response.headers
        return cls(
            status=response.status_code,
            ahead=_ahead(headers.get("Date", "")),
            target=_target(response.url, headers.get("Location", ""), key),
            is_page="html" in headers.get("Content-Type", "").lower(),
        )


def _ahead(date: str) -> float | None:
    try:
        return time.time() - parsedate_to_datetime(date).timestamp()
    except (ValueError, OverflowError):
        return None


def _target(url: str, location: str, key: str) -> str | None:
    """Scheme and host alone: whatever follows may hold the key, and the host may be a lie."""
    try:
        target = urlsplit(urljoin(url, location))
    except ValueError:
        return None
    known = target.scheme in ("http", "https") and _HOST.fullmatch(target.netloc)
    if not location or not known or key.lower() in target.netloc.lower():
        return None
    return f"{target.scheme}://{target.netloc}"
