"""Finds the client address of a request, also behind trusted proxies."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple

from starlette.types import Scope

from edge_service.admission.headers import header_values
from edge_service.settings.networks import Network, unmapped

__all__ = ["ClientAddresses"]

UNKNOWN = "unknown"
# Real proxy chains are short; longer lists would only cost CPU time.
MAX_ENTRIES = 32
MAX_LIST_BYTES = 4096
MAX_ENTRY_BYTES = 64
# Clients choose the cached strings: this bounds the memory they can use to about 200 KiB.
CACHE_SIZE = 1024
# Translators of IPv4 visitors (RFC 6052, section 2.1; RFC 8215).
_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")
_LOCAL_NAT64 = ipaddress.IPv6Network("64:ff9b:1::/48")
# `%` is not allowed: a zone ID (RFC 4007) has a meaning only on the machine that wrote it.
_ENTRY = re.compile(
    r"(?P<v4>[0-9.]+)(?::[0-9]{1,5})?"
    r"|\[(?P<bracketed>[0-9A-Fa-f:.]+)\](?::[0-9]{1,5})?"
    r"|(?P<v6>[0-9A-Fa-f:.]+)"
)


class _Located(NamedTuple):
    key: str
    trusted: bool


class ClientAddresses:
    """Distinguishes visitors by their addresses.

    Args:
        trusted: networks of the proxies whose `X-Forwarded-For` is trusted.
    """

    def __init__(self, trusted: Sequence[Network]) -> None:
        self._trusted = tuple(unmapped(network) for network in trusted)
        self._located = lru_cache(CACHE_SIZE)(self._locate)

    def key(self, scope: Scope) -> str:
        """The client's IPv4 address, the /64 network of its IPv6 address, or `unknown`.

        Behind trusted proxies, this is the last address in `X-Forwarded-For` that is not a trusted
        proxy. IPv6 counts by /64, because one visitor usually owns all addresses in it. An IPv6
        address that a translator or tunnel made of an IPv4 address counts as that: NAT64
        (`64:ff9b::/96`, RFC 6052), 6to4 (RFC 3056) and Teredo (RFC 4380). In `64:ff9b:1::/48`
        (RFC 8215), the place of the IPv4 address is unknown, so each address counts separately.
        """
        peer = _peer(scope)
        if not self._trusted and ":" not in peer:
            return peer or UNKNOWN
        client = self._located(peer)
        if client is None:
            return peer or UNKNOWN
        if client.trusted:
            for entry in _forwarded_for(scope):
                before = self._located(entry) if len(entry) <= MAX_ENTRY_BYTES else None
                if before is None:
                    break
                client = before
                if not client.trusted:
                    break
        return client.key

    def comes_from_proxy(self, scope: Scope) -> bool:
        """Whether a trusted proxy sent the request."""
        if not self._trusted:
            return False
        peer = self._located(_peer(scope))
        return peer is not None and peer.trusted

    def _locate(self, text: str) -> _Located | None:
        address = _address(text)
        if address is None:
            return None
        trusted = any(address in network for network in self._trusted)
        return _Located(_key(address), trusted)


def _key(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> str:
    if isinstance(address, ipaddress.IPv4Address):
        return str(address)
    if (visitor := _carried(address)) is not None:
        return str(visitor)
    length = 128 if address in _LOCAL_NAT64 else 64
    return str(ipaddress.IPv6Network((address, length), strict=False))


def _carried(address: ipaddress.IPv6Address) -> ipaddress.IPv4Address | None:
    """The visitor's IPv4 address in an IPv6 address; answers reach only the owner of both.

    IPv4-compatible addresses (`::/96`) are not among them, because no network routes them.
    """
    if address in _NAT64:
        return ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
    if address.teredo is not None:
        return address.teredo[1]
    return address.sixtofour


def _peer(scope: Scope) -> str:
    client = scope.get("client")
    host: str = client[0] if client else ""
    return host


def _forwarded_for(scope: Scope) -> list[str]:
    """The entries of `X-Forwarded-For`, the nearest proxy first."""
    lines = header_values(scope, b"x-forwarded-for")
    if not lines:
        return []
    listed: bytes = b",".join(lines)
    entries = listed[-MAX_LIST_BYTES:].decode("latin-1").rsplit(",", MAX_ENTRIES)
    if len(listed) > MAX_LIST_BYTES or len(entries) > MAX_ENTRIES:
        # A truncated address could look like the address of another client.
        del entries[0]
    return [entry.strip(" \t") for entry in reversed(entries)]


def _address(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    match = _ENTRY.fullmatch(text)
    if match is None:
        return None
    try:
        if match["v4"]:
            return ipaddress.IPv4Address(match["v4"])
        address = ipaddress.IPv6Address(match["bracketed"] or match["v6"])
    except ValueError:
        return None
    return address.ipv4_mapped or address
