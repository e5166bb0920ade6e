"""What may be told of an answer's head: never what another server could have put there."""

from __future__ import annotations

import re
import time
from dataclasses import dataclass
from datetime import UTC
from email.utils import parsedate_to_datetime
from urllib.parse import SplitResult, urljoin, urlsplit

import requests

__all__ = ["Seen"]

_REDIRECTS = (301, 302, 303, 307, 308)
_PORTS = {"http": 80, "https": 443}
_HOST = re.compile(r"[A-Za-z0-9.-]{1,253}(:[0-9]{1,5})?|\[[0-9a-fA-F:]+\](:[0-9]{1,5})?")


@dataclass(frozen=True, slots=True)
class Seen:
    """The head of an answer.

    Attributes:
        status: HTTP status.
        ahead: seconds that this machine's clock is ahead of the server's; `None` without `Date`.
        is_redirect: whether it sends the login somewhere else.
        stays: whether that is the same scheme, host and port.
        target: scheme and host of a redirect, or `None` where they may not be told.
        is_page: whether the body is HTML.
    """

    status: int
    ahead: float | None
    is_redirect: bool
    stays: bool
    target: str | None
    is_page: bool

    @classmethod
    def of(cls, response: requests.Response, key: str) -> Seen:
        """What may be told of a response to a request that held this key."""
        headers = response.headers
        target = _target(response.url, headers.get("Location", ""))
        return cls(
            status=response.status_code,
            ahead=_ahead(headers.get("Date", "")),
            is_redirect=response.status_code in _REDIRECTS and "Location" in headers,
            stays=target is not None and _origin(target) == _origin(urlsplit(response.url)),
            target=_shown(target, key) if target is not None else None,
            is_page="html" in headers.get("Content-Type", "").lower(),
        )


def _ahead(date: str) -> float | None:
    try:
        told = parsedate_to_datetime(date)
        # RFC 5322 has -0000 for a time of an unknown zone, and HTTP knows no zone but this one.
        return time.time() - (told if told.tzinfo else told.replace(tzinfo=UTC)).timestamp()
    except (ValueError, OverflowError):
        return None


def _target(url: str, location: str) -> SplitResult | None:
    try:
        target = urlsplit(urljoin(url, location))
        _ = target.port
    except ValueError:
        return None
    return target


def _origin(url: SplitResult) -> tuple[str, str | None, int | None]:
    return url.scheme, url.hostname, url.port or _PORTS.get(url.scheme)


def _shown(target: SplitResult, key: str) -> str | None:
    """Scheme and host alone: whatever follows may hold the key, and the host may be a lie."""
    known = target.scheme in _PORTS and _HOST.fullmatch(target.netloc)
    if not known or _plain(key) in _plain(target.netloc):
        return None
    return f"{target.scheme}://{target.netloc}"


def _plain(text: str) -> str:
    # A host has few other characters, so that a key would be there with some of them changed.
    return re.sub("[^a-z0-9]", "", text.lower())
