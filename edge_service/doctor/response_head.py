"""The parts of a response head that are safe to print: nothing that may contain the key."""

from __future__ import annotations

import re
import time
from dataclasses import dataclass
from datetime import UTC
from email.utils import parsedate_to_datetime
from urllib.parse import SplitResult, urljoin, urlsplit

from aiohttp import ClientResponse

__all__ = ["ResponseHead"]

_REDIRECTS = (301, 302, 303, 307, 308)
_PORTS = {"http": 80, "https": 443}
_HOST = re.compile(r"[A-Za-z0-9.-]{1,253}(:[0-9]{1,5})?|\[[0-9a-fA-F:]+\](:[0-9]{1,5})?")


@dataclass(frozen=True, slots=True)
class ResponseHead:
    """Status and headers of a response, without anything that may contain the key.

    Attributes:
        status: HTTP status.
        ahead: seconds that this machine's clock is ahead of the server's; `None` without `Date`.
        is_redirect: whether it is a redirect.
        is_same_origin: whether the redirect keeps scheme, host and port.
        target: scheme and host of the redirect; `None` if they may contain the key.
        is_page: whether the body is HTML.
    """

    status: int
    ahead: float | None
    is_redirect: bool
    is_same_origin: bool
    target: str | None
    is_page: bool

    @classmethod
    def of(cls, response: ClientResponse, key: str) -> ResponseHead:
        """The head of a response to a request that contained this key."""
        headers = response.headers
        url = str(response.url)
        target = _target(url, headers.get("Location", ""))
        return cls(
            status=response.status,
            ahead=_ahead(headers.get("Date", "")),
            is_redirect=response.status in _REDIRECTS and "Location" in headers,
            is_same_origin=target is not None and _origin(target) == _origin(urlsplit(url)),
            target=_printable(target, key) if target is not None else None,
            is_page="html" in headers.get("Content-Type", "").lower(),
        )


def _ahead(date: str) -> float | None:
    try:
        sent = parsedate_to_datetime(date)
        # Python treats the zone -0000 as unknown (RFC 5322), but times in HTTP are always UTC.
        return time.time() - (sent if sent.tzinfo else sent.replace(tzinfo=UTC)).timestamp()
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


def _printable(target: SplitResult, key: str) -> str | None:
    """Scheme and host, unless the host contains the key; the path may always contain it."""
    is_valid = target.scheme in _PORTS and _HOST.fullmatch(target.netloc)
    if not is_valid or _alphanumeric(key) in _alphanumeric(target.netloc):
        return None
    return f"{target.scheme}://{target.netloc}"


def _alphanumeric(text: str) -> str:
    # Host names allow few characters, so a key in one could have lost its other characters.
    return re.sub("[^a-z0-9]", "", text.lower())
