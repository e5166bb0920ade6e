"""Which address a request is counted under, when there may be proxies in between."""

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
# Honest chains have a handful of entries. Whoever sends more could only make us work.
MAX_ENTRIES = 32
MAX_LIST_BYTES = 4096
MAX_ENTRY_BYTES = 64
# The texts come from strangers: this bounds what they can make us keep to some 200 KiB.
CACHE_SIZE = 1024
_MAPPED = ipaddress.IPv6Network("::ffff:0:0/96")
# A zone id (RFC 4007) means nothing beyond the machine that wrote it, so `%` has no place here.
_ENTRY = re.compile(
    r"(?P<v4>[0-9.]+)(?::[0-9]{1,5})?"
    r"|\[(?P<bracketed>[0-9A-Fa-f:.]+)\](?::[0-9]{1,5})?"
    r"|(?P<v6>[0-9A-Fa-f:.]+)"
)


class _Place(NamedTuple):
    key: str
    trusted: bool


class ClientAddresses:
    """Tells visitors apart by their addresses.

    Args:
        trusted: networks of the proxies whose `X-Forwarded-For` counts.
    """

    def __init__(self, trusted: Sequence[Network]) -> None:
        self._trusted = tuple(_unmapped(network) for network in trusted)
        self._place = lru_cache(CACHE_SIZE)(self._locate)

    def key(self, scope: Scope) -> str:
        """What a request is counted under: an IPv4 address, the /64 of an IPv6 one, or `unknown`.

        Behind trusted proxies that is the nearest address of `X-Forwarded-For` that is not one of
        theirs. A /64, because a single visitor has all the addresses in it.
        """
        peer = _peer(scope)
        if not self._trusted and ":" not in peer:
            return peer or UNKNOWN
        place = self._place(peer)
        if place is None:
            return peer or UNKNOWN
        if place.trusted:
            for entry in _forwarded_for(scope):
                before = self._place(entry) if len(entry) <= MAX_ENTRY_BYTES else None
                if before is None:
                    break
                place = before
                if not place.trusted:
                    break
        return place.key

    def comes_from_proxy(self, scope: Scope) -> bool:
        """Whether the peer itself is a trusted proxy."""
        if not self._trusted:
            return False
        place = self._place(_peer(scope))
        return place is not None and place.trusted

    def _locate(self, text: str) -> _Place | None:
        address = _address(text)
        if address is None:
            return None
        trusted = any(address in network for network in self._trusted)
        if isinstance(address, ipaddress.IPv4Address):
            return _Place(str(address), trusted)
        return _Place(str(ipaddress.IPv6Network((address, 64), strict=False)), trusted)


def _peer(scope: Scope) -> str:
    client = scope.get("client")
    host: str = client[0] if client else ""
    return host


def _forwarded_for(scope: Scope) -> list[str]:
    """The entries of `X-Forwarded-For`, the nearest first."""
    lines = header_values(scope, b"x-forwarded-for")
    if not lines:
        return []
    listed: bytes = b",".join(lines)
    entries = listed[-MAX_LIST_BYTES:].decode("latin-1").rsplit(",", MAX_ENTRIES)
    if len(listed) > MAX_LIST_BYTES or len(entries) > MAX_ENTRIES:
        # Cut in two, an address could read as somebody else's.
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
    """A network in the family in which addresses are compared with it."""
    if isinstance(network, ipaddress.IPv6Network) and network.subnet_of(_MAPPED):
        last_bits = int(network.network_address) & 0xFFFFFFFF
        return ipaddress.IPv4Network((last_bits, network.prefixlen - 96))
    return network
