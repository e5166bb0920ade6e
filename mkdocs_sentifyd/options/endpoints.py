"""Token endpoints that are valid URLs, but that a visitor's browser cannot use."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from urllib.parse import urlsplit

from mkdocs_sentifyd.components import LOGINS

__all__ = ["LOGIN", "impossible_endpoints", "is_login"]

_ROUTE_AND_SLASH = re.compile(r"/request_tokens(?:/[^/]+)?/+\Z")
_FINAL_SLASH = "ends with a slash, so the token service answers 404: remove the slash"
LOGIN = (
    "is Sentifyd's own login, which needs the API key: run a token service, and write its URL, "
    "such as https://tokens.example.com/request_tokens"
)


def impossible_endpoints(token_endpoints: Iterable[str | None]) -> Iterator[str]:
    """Yield a warning for each endpoint that cannot work.

    Args:
        token_endpoints: of the site, and then of each entry of `overrides`; each is reported once.
    """
    reported = set()
    for number, url in enumerate(token_endpoints):
        if url and url not in reported and (problem := _problem(url)):
            reported.add(url)
            yield f"{problem} (overrides, entry {number})" if number else problem


def _problem(token_endpoint: str) -> str | None:
    """Return why an endpoint cannot work, and how to fix it; `None` if it may work."""
    if is_login(token_endpoint):
        return LOGIN
    # The route of this project's token service has no slash at its end.
    path = urlsplit(token_endpoint).path
    return _FINAL_SLASH if _ROUTE_AND_SLASH.search(path) else None


def is_login(token_endpoint: str) -> bool:
    """Whether a URL is Sentifyd's own login, which answers nothing without an API key.

    Args:
        token_endpoint: a URL.
    """
    url = urlsplit(token_endpoint)
    is_theirs = (url.hostname or "").rstrip(".") in LOGINS
    return is_theirs and url.path.rstrip("/").lower() in ("", *LOGINS.values())
