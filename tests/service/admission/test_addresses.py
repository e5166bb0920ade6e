"""By which address a request is counted."""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.types import Scope

from edge_service.admission.addresses import CACHE_SIZE, ClientAddresses

PROXY = "10.0.0.1"
VISITOR = "203.0.113.7"
TRUSTED = ("10.0.0.0/8", "fd00::/8")


def scope(peer: str | None, *lines: str) -> Scope:
    headers = [(b"x-forwarded-for", line.encode("latin-1")) for line in lines]
    return {"client": None if peer is None else (peer, 50000), "headers": headers}


def addresses(*trusted: str) -> ClientAddresses:
    return ClientAddresses([ipaddress.ip_network(network) for network in trusted])


@pytest.mark.parametrize(
    ("peer", "key"),
    [
        (VISITOR, VISITOR),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:db8::1", "2001:db8::/64"),
        ("2001:DB8:0:0:ffff::", "2001:db8::/64"),
        ("::1", "::/64"),
        ("::ffff:203.0.113.7", VISITOR),
        ("::ffff:cb00:7107", VISITOR),
        ("64:ff9b::203.0.113.7", VISITOR),
        ("64:ff9b::cb00:7107", VISITOR),
        ("64:ff9b::1:cb00:7107", "64:ff9b::/64"),
        ("2002:cb00:7107::1", VISITOR),
        ("2002:cb00:7107:ffff:1:2:3:4", VISITOR),
        ("2001:0:c000:201:0:ec77:34ff:8ef8", VISITOR),
        ("64:ff9b:1::203.0.113.7", "64:ff9b:1::cb00:7107/128"),
        ("64:ff9b:1:cb00:71:700::", "64:ff9b:1:cb00:71:700::/128"),
        ("64:ff9b:2::203.0.113.7", "64:ff9b:2::/64"),
        ("::203.0.113.7", "::/64"),
        (None, "unknown"),
        ("", "unknown"),
        ("testclient", "testclient"),
        ("fe80::1%eth0", "fe80::1%eth0"),
    ],
)
@pytest.mark.parametrize("trusted", [(), TRUSTED], ids=["no proxies", "proxies"])
def test_untrusted_peer_is_counted_by_its_own_address(
    peer: str | None, key: str, trusted: Sequence[str]
) -> None:
    spoofed = scope(peer, "198.51.100.1")

    assert addresses(*trusted).key(spoofed) == key
    assert not addresses(*trusted).comes_from_proxy(spoofed)


def test_ipv6_addresses_of_one_network_count_as_one_visitor() -> None:
    keys = {addresses().key(scope(f"2001:db8:0:{net}::{host}")) for net in "12" for host in "345"}

    assert keys == {"2001:db8:0:1::/64", "2001:db8:0:2::/64"}


@pytest.mark.parametrize(
    "form",
    ["{}", "::ffff:{}", "64:ff9b::{}", "2002:{hex}::1", "2001:0:c000:201:0:ec77:{inverted}"],
)
def test_ipv4_visitor_is_counted_once_in_every_form_of_the_address(form: str) -> None:
    """Translated addresses share a /64, and 6to4 gives 65,536 of them to one IPv4 address."""
    for number in (7, 8):
        plain = ipaddress.IPv4Address(f"203.0.113.{number}")
        inverted = ipaddress.IPv6Address(int(plain) ^ 0xFFFFFFFF).exploded[-9:]
        hexadecimal = ipaddress.IPv6Address(int(plain)).exploded[-9:]
        written = form.format(plain, hex=hexadecimal, inverted=inverted)

        assert addresses().key(scope(written)) == str(plain)
        assert addresses(*TRUSTED).key(scope(PROXY, written)) == str(plain)


@pytest.mark.parametrize("written", [f"64:ff9b::{PROXY}", "2002:a00:1::1", f"64:ff9b:1::{PROXY}"])
def test_address_that_contains_a_proxys_address_is_not_trusted(written: str) -> None:
    assert not addresses(*TRUSTED).comes_from_proxy(scope(written, VISITOR))
    assert addresses(*TRUSTED).key(scope(written, VISITOR)) != VISITOR
    assert addresses(f"{written}/128").key(scope(written, VISITOR)) == VISITOR


@pytest.mark.parametrize(
    ("lines", "key"),
    [
        ([], PROXY),
        ([""], PROXY),
        ([VISITOR], VISITOR),
        ([f"198.51.100.1, {VISITOR}"], VISITOR),
        ([f"198.51.100.1,{VISITOR} ,\t10.1.2.3"], VISITOR),
        (["198.51.100.1", f"{VISITOR}, 10.1.2.3", "fd00::1"], VISITOR),
        ([VISITOR, "198.51.100.1"], "198.51.100.1"),
        (["10.1.1.1, 10.2.2.2"], "10.1.1.1"),
        (["garbage"], PROXY),
        (["garbage, 10.2.2.2"], "10.2.2.2"),
        ([f"{VISITOR}, garbage, 10.2.2.2"], "10.2.2.2"),
        ([f"garbage, {VISITOR}"], VISITOR),
        ([f"{VISITOR},, 10.2.2.2"], "10.2.2.2"),
        ([f"{VISITOR}:5678"], VISITOR),
        ([f"198.51.100.1, {VISITOR}, 10.2.2.2:80"], VISITOR),
        (["[2001:db8::1]:443"], "2001:db8::/64"),
        (["[2001:db8::1]"], "2001:db8::/64"),
        (["2001:db8::1"], "2001:db8::/64"),
        ([f"::ffff:{VISITOR}"], VISITOR),
        ([f"[::ffff:{VISITOR}]:443, ::ffff:10.9.9.9"], VISITOR),
        (["fe80::1%eth0"], PROXY),
        (["[fe80::1%25eth0]:443"], PROXY),
        (["[203.0.113.7]:443"], PROXY),
        (["203.0.113.7:http"], PROXY),
        (["203.0.113.007"], PROXY),
        (["203.0.113"], PROXY),
        (["256.0.0.1"], PROXY),
        (["2001:db8::1::2"], PROXY),
        (["203.0.113.7 10.2.2.2"], PROXY),
        (['for="203.0.113.7"'], PROXY),
        (["unknown"], PROXY),
        (["_hidden"], PROXY),
        (["\xb2\xb2.0.0.1"], PROXY),
        (["0" * 5000], PROXY),
    ],
)
@pytest.mark.parametrize("peer", [PROXY, f"::ffff:{PROXY}"])
def test_last_untrusted_forwarded_address_is_the_visitor(
    peer: str, lines: list[str], key: str
) -> None:
    request = scope(peer, *lines)

    assert addresses(*TRUSTED).comes_from_proxy(request)
    assert addresses(*TRUSTED).key(request) == key


def test_untrusted_peer_cannot_forge_a_forwarded_address() -> None:
    for claimed in (PROXY, "198.51.100.1", "garbage"):
        assert addresses(*TRUSTED).key(scope(VISITOR, claimed)) == VISITOR


def test_trusted_proxies_match_ipv4_and_mapped_ipv6_addresses() -> None:
    for network in ("::ffff:10.0.0.0/104", "10.0.0.0/8"):
        assert addresses(network).key(scope(PROXY, VISITOR)) == VISITOR
        assert addresses(network).key(scope(f"::ffff:{PROXY}", VISITOR)) == VISITOR
        assert addresses(network).key(scope("::10.0.0.1", VISITOR)) == "::/64"
    assert addresses("::/0").key(scope(PROXY, VISITOR)) == PROXY
    assert addresses("fd00::/8").key(scope("fd00::5", VISITOR)) == VISITOR


def test_long_forwarded_list_is_read_only_up_to_a_limit() -> None:
    within = ", ".join([VISITOR, *["10.2.2.2"] * 31])
    beyond = ", ".join([VISITOR, *["10.2.2.2"] * 32])

    assert addresses(*TRUSTED).key(scope(PROXY, within)) == VISITOR
    assert addresses(*TRUSTED).key(scope(PROXY, beyond)) == "10.2.2.2"
    assert addresses(*TRUSTED).key(scope(PROXY, *["10.2.2.2"] * 40_000)) == "10.2.2.2"
    assert addresses(*TRUSTED).key(scope(PROXY, f"{VISITOR}{' ' * 5000}, 10.2.2.2")) == "10.2.2.2"


@pytest.mark.parametrize("cut", range(-3, 4))
def test_truncated_entry_never_becomes_another_address(cut: int) -> None:
    """Where the list is truncated, `203.0.113.7` must not become `3.0.113.7`."""
    near = f",{' ' * (4096 - 15 - len(VISITOR) + cut)}10.2.2.2, 10.3.3.3"
    key = addresses(*TRUSTED).key(scope(PROXY, f"198.51.100.1,{VISITOR}{near}"))

    assert key in (VISITOR, "10.2.2.2")


def test_untrusted_input_cannot_fill_the_cache() -> None:
    known = addresses(*TRUSTED)
    for number in range(CACHE_SIZE + 500):
        known.key(scope(PROXY, f"203.0.{number >> 8}.{number & 255}", "x" * 5000))
        known.key(scope(PROXY, f"203.0.{number >> 8}.{number & 255}"))
    fresh = addresses(*TRUSTED)
    fresh.key(scope(PROXY, "1" * 65))
    plain = addresses()
    plain.key(scope(VISITOR))

    assert known._located.cache_info().currsize == CACHE_SIZE
    assert fresh._located.cache_info().currsize == 1
    assert plain._located.cache_info().currsize == 0


def entry(number: int, kind: str, form: int) -> str:
    """A different address for each number, in one of several notations."""
    if kind == "malformed":
        return ["", "unknown", "1.2.3", f"fe80::{number}%1", "[::1", "::1]:80", "é"][form % 7]
    first = 10 if kind == "trusted" else 203
    plain = f"{first}.0.7.{number}"
    mapped = f"::ffff:{plain}"
    return [plain, f"{plain}:80", mapped, f"[{mapped}]:443", f" {plain}\t"][form % 5]


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["trusted", "trusted", "untrusted", "malformed"]), st.integers(0, 34)
        ),
        max_size=20,
    ),
    st.data(),
)
def test_entries_before_an_untrusted_address_are_ignored(
    chain: list[tuple[str, int]], data: st.DataObject
) -> None:
    entries = [entry(number, kind, form) for number, (kind, form) in enumerate(chain)]
    kinds = [kind for kind, _ in chain]
    cut = data.draw(st.integers(0, len(entries)))
    lines = [",".join(part) for part in (entries[:cut], entries[cut:]) if part]

    key = addresses(*TRUSTED).key(scope(PROXY, *lines))

    if key == PROXY:
        assert not kinds or kinds[-1] == "malformed"
        return
    chosen = int(key.rpartition(".")[2])
    assert key == entry(chosen, kinds[chosen], 0)
    assert set(kinds[chosen + 1 :]) <= {"trusted"}
    if kinds[chosen] == "trusted":
        assert chosen == 0 or kinds[chosen - 1] == "malformed"


@given(st.lists(st.text(st.characters(max_codepoint=255)), max_size=40))
def test_any_header_gives_a_key(lines: list[str]) -> None:
    key = addresses(*TRUSTED).key(scope(PROXY, *lines))

    ipaddress.ip_network(key)
