"""Finds the client address of a request, also behind trusted proxies."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple

from starlette.types import Scope

from edge_service.admission.headers import header_values
from edge_service.settings.parsers import Network

__all__ = ["ClientAddresses"]

UNKNOWN = "unknown"
# Real proxy chains are short; longer lists would only cost CPU time.
MAX_ENTRIES = 32
MAX_LIST_BYTES = 4096
MAX_ENTRY_BYTES = 64
# Clients choose the cached strings: this bounds the memory they can use to about 200 KiB.
CACHE_SIZE = 1024
_MAPPED = ipaddress.IPv6Network("::ffff:0:0/96")
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
        self._trusted = tuple(_unmapped(network) for network in trusted)
        self._located = lru_cache(CACHE_SIZE)(self._locate)

    def key(self, scope: Scope) -> str:
        """The client's IPv4 address, the /64 network of its IPv6 address, or `unknown`.

        Behind trusted proxies, this is the last address in `X-Forwarded-For` that is not a trusted
        proxy. IPv6 counts by /64, because one visitor usually owns all addresses in it.
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
        if isinstance(address, ipaddress.IPv4Address):
            return _Located(str(address), trusted)
        return _Located(str(ipaddress.IPv6Network((address, 64), strict=False)), trusted)


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


def _unmapped(network: Network) -> Network:
    """An IPv4-mapped IPv6 network as IPv4; addresses are compared in this form."""
    if isinstance(network, ipaddress.IPv6Network) and network.subnet_of(_MAPPED):
        last_bits = int(network.network_address) & 0xFFFFFFFF
        return ipaddress.IPv4Network((last_bits, network.prefixlen - 96))
    return network
