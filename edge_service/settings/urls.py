"""Parsers for URLs and origins in environment variables.

Each parser takes a string and raises a `ValueError` that says how to fix it. No message quotes the
value, which may be a misplaced secret.
"""

from __future__ import annotations

import ipaddress
import re
from urllib.parse import SplitResult, urlsplit

from edge_service.settings.origin_patterns import OriginPattern, is_pattern

_HOST = re.compile(r"(?:[a-z0-9_](?:[a-z0-9_-]*[a-z0-9])?\.)*[a-z0-9](?:[a-z0-9-]*[a-z0-9])?")
_DEFAULT_PORTS = {"http": 80, "https": 443}


def backend(value: str) -> str:
    """The base URL of Sentifyd, without a final slash."""
    text = value.strip().rstrip("/")
    if "?" in text or "#" in text:
        raise ValueError("must be a base URL only: no credentials, query or fragment")
    _check_url(text, "https://backend.sentifyd.io", "the API key would be sent unencrypted")
    return text


def jwks_url(value: str) -> str:
    """URL of the public keys that verify visitors' tokens (RFC 7517)."""
    text = value.strip()
    example = "https://login.example.com/.well-known/jwks.json"
    _check_url(text, example, "an attacker who changes the keys in transit can forge tokens")
    return text


def _check_url(text: str, example: str, danger: str) -> None:
    url = _split(text)
    if url.scheme not in ("http", "https") or not url.hostname or re.search(r"\s", text):
        raise ValueError(f"must be an absolute URL such as {example}")
    if "@" in url.netloc:
        raise ValueError("must be a base URL only: no credentials, query or fragment")
    if not _is_host(url.hostname) or url.netloc.lower() not in _spellings(url):
        raise ValueError(f"must name a host, such as {example}")
    if url.scheme == "http" and not is_loopback(url.hostname):
        raise ValueError(f"must be https: {danger}")


def collector_url(value: str) -> bool:
    """Validates the URL of a trace collector; always true, because the SDK reads the URL itself."""
    if urlsplit(value.strip()).scheme not in ("http", "https"):
        raise ValueError("must be the URL of a collector, such as http://collector:4318")
    return True


def origins(value: str, *, allow_any: bool = False) -> frozenset[str]:
    """Origins in the form that browsers send them, patterns for some of them, or `*`."""
    listed = [origin.strip() for origin in value.split(",") if origin.strip()]
    if not listed:
        raise ValueError("lists no origin: add one such as https://docs.example.com")
    for origin in listed:
        if origin == "*":
            if not allow_any:
                raise ValueError(
                    "contains *, which lets every site use your avatar: list your own origins, "
                    "or set ALLOW_ANY_ORIGIN=true as well"
                )
        elif is_pattern(origin):
            OriginPattern.parse(origin)
        else:
            _check_origin(origin)
    return frozenset(listed)


def _check_origin(origin: str) -> None:
    # Origins are compared as strings, so only the form that browsers send can match (RFC 6454).
    advice = "write each as scheme://host or scheme://host:port, such as https://docs.example.com"
    if origin == "null":
        raise ValueError(f"contains null, which any sandboxed page can send: {advice}")
    url = _split(origin)
    if url.scheme not in _DEFAULT_PORTS or not url.hostname:
        raise ValueError(f"contains something that is not an origin: {advice}")
    if url.path or "?" in origin or "#" in origin or "@" in url.netloc:
        raise ValueError(f"contains an origin with a path, a final slash or credentials: {advice}")
    if origin != origin.lower() or not _is_host(url.hostname):
        raise ValueError(
            f"contains an origin with capitals or characters that browsers never send "
            f"(write international names as xn--...): {advice}"
        )
    if origin not in {f"{url.scheme}://{spelling}" for spelling in _spellings(url)}:
        raise ValueError(f"contains something that is not an origin: {advice}")
    if url.port == _DEFAULT_PORTS[url.scheme]:
        raise ValueError(
            f"contains an origin with its default port, which no browser sends: {advice}"
        )


def _split(value: str) -> SplitResult:
    try:
        url = urlsplit(value)
        _ = url.port
    except ValueError:
        raise ValueError("contains a malformed URL: check its host and port") from None
    return url


def _spellings(url: SplitResult) -> set[str]:
    """The valid spellings of a URL's host and port, without credentials."""
    host = url.hostname or ""
    host = f"[{host}]" if ":" in host else host
    return {f"{host}:{url.port}"} if url.port is not None else {host}


def _is_host(host: str) -> bool:
    if ":" in host:
        try:
            return ipaddress.IPv6Address(host).compressed == host
        except ValueError:
            return False
    return _HOST.fullmatch(host) is not None


def is_loopback(host: str) -> bool:
    """Whether a host is this machine.

    Names such as `a.localhost` do not count: many resolvers ask the network for them.
    """
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
