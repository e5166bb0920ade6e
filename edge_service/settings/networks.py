"""The networks of trusted proxies."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable

__all__ = ["EVERYONE", "Network", "parse_networks", "trust_everyone", "unmapped"]

Network = ipaddress.IPv4Network | ipaddress.IPv6Network

EVERYONE = (
    "trusts the whole internet, so anyone could forge an address: list the networks of your proxies"
)
_MAPPED = ipaddress.IPv6Network("::ffff:0:0/96")
# Each row together has every address that some visitors can have.
_INTERNETS: tuple[tuple[Network, ...], ...] = tuple(
    tuple(map(ipaddress.ip_network, row))
    for row in (
        # IPv4, but for multicast and reserved addresses, which no connection comes from.
        ("0.0.0.0/1", "128.0.0.0/2", "192.0.0.0/3"),
        # Global unicast addresses of IPv6 (RFC 4291, section 2.4, and the registry of IANA).
        ("2000::/3",),
        # IPv4 as translators and tunnels write it: NAT64 (RFC 6052, RFC 8215), 6to4, Teredo.
        ("64:ff9b::/96",),
        ("64:ff9b:1::/48",),
        ("2002::/16",),
        ("2001::/32",),
    )
)


def parse_networks(value: str) -> tuple[Network, ...]:
    """Addresses and networks in CIDR notation, separated by commas.

    Raises:
        ValueError: one is malformed, there is none, or they trust everyone. The message does not
            quote them.
    """
    found = []
    for part in filter(None, (part.strip() for part in value.split(","))):
        try:
            found.append(ipaddress.ip_network(part))
        except ValueError:
            raise ValueError(
                "must list addresses or networks such as 10.0.0.0/8, with no host bits set"
            ) from None
    if not found:
        raise ValueError("lists no network: add one such as 10.0.0.0/8, or unset it")
    if trust_everyone(found):
        raise ValueError(EVERYONE)
    return tuple(found)


def trust_everyone(networks: Iterable[Network]) -> bool:
    """Whether these networks together contain all of IPv4, in any of its forms, or all of IPv6."""
    plain = [unmapped(network) for network in networks]
    v4 = [network for network in plain if isinstance(network, ipaddress.IPv4Network)]
    v6 = [network for network in plain if isinstance(network, ipaddress.IPv6Network)]
    trusted: tuple[Network, ...] = (
        *ipaddress.collapse_addresses(v4),
        *ipaddress.collapse_addresses(v6),
    )
    return any(
        all(any(_contains(network, part) for network in trusted) for part in internet)
        for internet in _INTERNETS
    )


def unmapped(network: Network) -> Network:
    """An IPv4-mapped IPv6 network as IPv4; addresses are compared in this form."""
    if isinstance(network, ipaddress.IPv6Network) and network.subnet_of(_MAPPED):
        last_bits = int(network.network_address) & 0xFFFFFFFF
        return ipaddress.IPv4Network((last_bits, network.prefixlen - 96))
    return network


def _contains(network: Network, part: Network) -> bool:
    if isinstance(network, ipaddress.IPv4Network):
        return isinstance(part, ipaddress.IPv4Network) and part.subnet_of(network)
    return isinstance(part, ipaddress.IPv6Network) and part.subnet_of(network)
