"""How the text of each environment variable is read: a value, or a `ValueError` with the cure.

No message quotes a value: it may be a secret that was put into the wrong variable.
"""

from __future__ import annotations

import ipaddress
import re
import ssl
from collections.abc import Callable
from pathlib import Path
from urllib.parse import SplitResult, urlsplit

_PLACEHOLDER = re.compile(
    r"(?i)^(?:<.*>|\$\{?\w+\}?|x+|\*+"
    r"|.*(?:(?:change|replace)[-_ ]?me|\$\{|\{\{|your[-_ ].*key|key[-_ ]?here|placeholder).*"
    r"|(?:default|example|secret|password|api[-_]?key|avatar[-_]api[-_]key|test|none|null))$"
)
Network = ipaddress.IPv4Network | ipaddress.IPv6Network
_HOST = re.compile(r"(?:[a-z0-9_](?:[a-z0-9_-]*[a-z0-9])?\.)*[a-z0-9](?:[a-z0-9-]*[a-z0-9])?")
_DEFAULT_PORTS = {"http": 80, "https": 443}
MIN_KEY_LENGTH = 8


def api_key(value: str) -> str:
    """The avatar's secret key."""
    if _PLACEHOLDER.match(value):
        raise ValueError("still holds a placeholder: put the avatar's own API key there")
    if not value.isascii() or not value.isprintable() or re.search(r"[\s\"'`]", value):
        raise ValueError(
            "holds quotes, white space or characters that no API key has: copy the key again, "
            "without quotes or line breaks"
        )
    if len(value) < MIN_KEY_LENGTH:
        raise ValueError(f"is shorter than {MIN_KEY_LENGTH} characters: copy the whole key")
    return value


def avatar_id(value: str) -> str:
    """The avatar's ID, an opaque text."""
    if not value.isascii() or not value.isprintable() or " " in value or len(value) > 128:
        raise ValueError("must be the avatar's ID: at most 128 characters, without spaces")
    return value


def boolean(value: str) -> bool:
    """`true` or `false`."""
    try:
        return {"true": True, "1": True, "false": False, "0": False}[value.strip().lower()]
    except KeyError:
        raise ValueError("must be true or false") from None


def choice(*choices: str) -> Callable[[str], str]:
    """A parser for one of a few words."""

    def parse(value: str) -> str:
        if (choice := value.strip().lower()) not in choices:
            raise ValueError(f"must be one of {', '.join(choices)}")
        return choice

    return parse


def token_policy(value: str) -> str:
    """The name of an issuing policy."""
    return choice("direct", "pool", "shared")(value)


def integer(least: int, most: int) -> Callable[[str], int]:
    """A parser for a whole number within bounds."""

    def parse(value: str) -> int:
        if not re.fullmatch(r"[0-9]{1,9}", value.strip()) or not least <= int(value) <= most:
            raise ValueError(f"must be a whole number from {least} to {most}")
        return int(value)

    return parse


def number(least: float, most: float) -> Callable[[str], float]:
    """A parser for seconds within bounds."""

    def parse(value: str) -> float:
        if not re.fullmatch(r"[0-9]+(\.[0-9]+)?", value.strip()) or not (
            least <= float(value) <= most
        ):
            raise ValueError(f"must be a number of seconds from {least:g} to {most:g}")
        return float(value)

    return parse


def host(value: str) -> str:
    """An address to listen on."""
    host = value.strip()
    if not re.fullmatch(r"[A-Za-z0-9.:_-]+", host):
        raise ValueError("must be an address or a host name, such as 0.0.0.0")
    return host


def backend(value: str) -> str:
    """The base URL of Sentifyd, without a slash at its end."""
    text = value.strip().rstrip("/")
    if "?" in text or "#" in text:
        raise ValueError("must be a base URL only: no credentials, query or fragment")
    _check_url(text, "https://backend.sentifyd.io", "the API key would travel in the clear")
    return text


def jwks_url(value: str) -> str:
    """Where the public keys are published that visitors' tokens are checked with (RFC 7517)."""
    text = value.strip()
    example = "https://login.example.com/.well-known/jwks.json"
    _check_url(text, example, "whoever can change the keys on their way can make tokens")
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


def redis_url(value: str) -> str:
    """The address of a Redis server; it may hold a password."""
    text = value.strip()
    example = "write it as redis://host:6379/0, or rediss:// for TLS"
    url = _split(text)
    if url.scheme not in ("redis", "rediss") or not url.hostname or re.search(r"\s", text):
        raise ValueError(f"must be the URL of a Redis server: {example}")
    if not re.fullmatch(r"/?|/[0-9]{1,5}", url.path) or url.query or url.fragment:
        raise ValueError(f"must name a database by its number and nothing more: {example}")
    return text


def networks(value: str) -> tuple[Network, ...]:
    """Addresses and networks in CIDR notation, separated by commas."""
    found = []
    for part in filter(None, (part.strip() for part in value.split(","))):
        try:
            network = ipaddress.ip_network(part)
        except ValueError:
            raise ValueError(
                "must list addresses or networks such as 10.0.0.0/8, with no bits beyond the prefix"
            ) from None
        if network.prefixlen == 0:
            raise ValueError(
                "trusts the whole internet, so that anyone could forge an address: "
                "list the networks of your proxies"
            )
        found.append(network)
    if not found:
        raise ValueError("lists no network: write one such as 10.0.0.0/8, or unset it")
    return tuple(found)


def seal_keys(value: str) -> tuple[str, ...]:
    """Fernet keys, separated by commas or line breaks; the first one seals."""
    keys = tuple(filter(None, re.split(r"[,\s]+", value)))
    if not keys or not all(_is_fernet_key(key) for key in keys):
        raise ValueError(
            "must hold keys made by sentifyd-edge keygen, separated by commas; the first one seals"
        )
    return keys


def _is_fernet_key(key: str) -> bool:
    return re.fullmatch(r"[A-Za-z0-9_-]{42}[AEIMQUYcgkosw048]=", key) is not None


def certificates(value: str) -> Path:
    """A file of certificates to trust, in PEM format."""
    path = Path(value.strip())
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(path)
    except ssl.SSLError:
        raise ValueError("names a file that holds no certificates in PEM format") from None
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or "its name is no path"
        raise ValueError(f"names a file that cannot be read ({reason})") from None
    return path


def collector_url(value: str) -> bool:
    """Where traces go; the SDK reads it again by itself."""
    if urlsplit(value.strip()).scheme not in ("http", "https"):
        raise ValueError("must be the URL of a collector, such as http://collector:4318")
    return True


def header_name(value: str) -> str:
    """The name of a request header (RFC 9110, section 5.1)."""
    if not re.fullmatch(r"[A-Za-z0-9-]{1,64}", name := value.strip()):
        raise ValueError("must be the name of a header, such as X-Forwarded-User")
    return name


def cookie_name(value: str) -> str:
    """The name of a cookie (RFC 6265, section 4.1.1)."""
    if not re.fullmatch(r"[!#$%&'*+.^_`|~0-9A-Za-z-]{1,128}", name := value.strip()):
        raise ValueError("must be the name of a cookie, such as session")
    return name


def claim(value: str) -> str:
    """What a claim of a visitor's token must say; compared exactly."""
    if not value.isprintable() or value != value.strip() or len(value) > 1024:
        raise ValueError("must be the text of the claim, without white space around it")
    return value


def login_path(value: str) -> str:
    """The path of the login call."""
    if not re.fullmatch(r"(?:/[A-Za-z0-9._~-]+)+/?", value.strip()):
        raise ValueError("must be a path such as /api/login, without query or fragment")
    return value.strip()


def origins(value: str, *, allow_any: bool) -> frozenset[str]:
    """Origins in the form that browsers send them, or `*`."""
    listed = [origin.strip() for origin in value.split(",") if origin.strip()]
    if not listed:
        raise ValueError("lists no origin: write one such as https://docs.example.com")
    for origin in listed:
        if origin == "*":
            if not allow_any:
                raise ValueError(
                    "holds *, which lets every site use your avatar: list your own origins, "
                    "or set ALLOW_ANY_ORIGIN=true as well"
                )
            continue
        _check_origin(origin)
    return frozenset(listed)


def _check_origin(origin: str) -> None:
    # Origins are compared as text, so only the form that browsers send can ever match (RFC 6454).
    advice = "write each as scheme://host or scheme://host:port, such as https://docs.example.com"
    if origin == "null":
        raise ValueError(f"holds null, which any sandboxed page can send: {advice}")
    if "*" in origin:
        raise ValueError(f"holds a pattern, but origins are compared exactly: {advice}")
    url = _split(origin)
    if url.scheme not in _DEFAULT_PORTS or not url.hostname:
        raise ValueError(f"holds something that is not an origin: {advice}")
    if url.path or "?" in origin or "#" in origin or "@" in url.netloc:
        raise ValueError(f"holds an origin with a path, a final slash or credentials: {advice}")
    if origin != origin.lower() or not _is_host(url.hostname):
        raise ValueError(
            f"holds an origin with capitals or characters that browsers never send "
            f"(international names go in as xn--...): {advice}"
        )
    if origin not in {f"{url.scheme}://{spelling}" for spelling in _spellings(url)}:
        raise ValueError(f"holds something that is not an origin: {advice}")
    if url.port == _DEFAULT_PORTS[url.scheme]:
        raise ValueError(f"holds an origin with its default port, which no browser sends: {advice}")


def _split(value: str) -> SplitResult:
    try:
        url = urlsplit(value)
        _ = url.port
    except ValueError:
        raise ValueError("holds a malformed URL: check its host and port") from None
    return url


def _spellings(url: SplitResult) -> set[str]:
    """How host and port of a URL may be written, and nothing beside them."""
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
    """Whether a host is this machine itself.

    Names below `localhost` are not taken for that: many resolvers ask the network for them.
    """
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
