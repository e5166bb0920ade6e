"""The URL of Redis: a server, a socket, Sentinel or a cluster.

The forms are those of the library `limits`; the options for TLS are those of redis-py.
"""

from __future__ import annotations

import re
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal
from urllib.parse import SplitResult, parse_qsl, unquote, urlsplit

__all__ = ["RedisAddress", "redis_address", "redis_url"]

Kind = Literal["server", "socket", "sentinel", "cluster"]

_KINDS: Mapping[str, Kind] = {
    "redis": "server",
    "rediss": "server",
    "unix": "socket",
    "redis+unix": "socket",
    "redis+sentinel": "sentinel",
    "redis+cluster": "cluster",
}
_FORMS: Mapping[Kind, str] = {
    "server": "redis://host:6379/0, or rediss:// for TLS",
    "socket": "unix:///run/redis/redis.sock?db=0",
    "sentinel": "redis+sentinel://host:26379,host:26379/service_name",
    "cluster": "redis+cluster://host:6379,host:6379",
}
_FILES = ("ssl_certfile", "ssl_keyfile", "ssl_ca_certs")
_TLS = (*_FILES, "ssl_check_hostname")
_OPTIONS: Mapping[Kind, tuple[str, ...]] = {
    "server": (),
    "socket": ("db",),
    "sentinel": ("db", "ssl", "sentinel_username", "sentinel_password"),
    "cluster": ("ssl",),
}
_ALL_OPTIONS = sorted({*_TLS, *(name for names in _OPTIONS.values() for name in names)})
_SHOWN = {" ": "a space"}
_YES = {"true": True, "false": False}


@dataclass(frozen=True, slots=True, repr=False)
class RedisAddress:
    """Where Redis is. Its repr is empty, because it contains passwords.

    Attributes:
        kind: what the hosts are.
        hosts: names or addresses with ports; empty for a socket.
        path: of the socket.
        service: name of the master that Sentinel watches.
        database: number of the database.
        user: name and password for Redis; empty if it needs none.
        sentinel_user: the same for Sentinel.
        is_tls: whether all connections use TLS.
        files: `ssl_certfile`, `ssl_keyfile` and `ssl_ca_certs`, if they are set.
        checks_host: whether the name in a certificate must be the host's.
    """

    kind: Kind
    hosts: tuple[tuple[str, int], ...] = ()
    path: str = ""
    service: str = ""
    database: int = 0
    user: tuple[str, str] = ("", "")
    sentinel_user: tuple[str, str] = ("", "")
    is_tls: bool = False
    files: tuple[tuple[str, str], ...] = ()
    checks_host: bool = True


def redis_url(value: str) -> str:
    """The URL of Redis; it may contain a password."""
    text = value.strip()
    redis_address(text)
    return text


def redis_address(text: str) -> RedisAddress:
    """Parse the URL of Redis, and check the files that it names.

    Raises:
        ValueError: it cannot be used. The message says how to fix it, and quotes nothing of it.
    """
    try:
        return _address(text)
    except ValueError:
        if found := _unescaped(text):
            raise ValueError(
                "has special characters in its user name or password: write "
                + " and ".join(f"{_SHOWN.get(c, c)} as %{ord(c):02X}" for c in found)
            ) from None
        raise


def _address(text: str) -> RedisAddress:
    try:
        url = urlsplit(text)
    except ValueError:
        raise _not_a_url() from None
    kind = _KINDS.get(url.scheme)
    if kind is None or re.search(r"\s", text) or url.fragment:
        raise _not_a_url()
    credentials, _, places = url.netloc.rpartition("@")
    if re.search(r"%(?![0-9A-Fa-f]{2})", credentials):
        raise _not_a_url()
    user = _user(credentials)
    options = _options(kind, url)
    is_tls = url.scheme == "rediss" or _flag(options, "ssl", default=False)
    if not is_tls and any(name in options for name in _TLS):
        raise ValueError(
            "has ssl options, but no TLS: write rediss://, or for Sentinel or a cluster ssl=true"
        )
    hosts = () if kind == "socket" else _hosts(kind, places)
    service, path, database = "", "", ""
    if kind == "socket":
        path, database = unquote(url.path), options.get("db", "0")
        if places or not path.startswith("/") or path == "/" or "\0" in path:
            raise ValueError(f"must name the path of a socket: write it as {_FORMS[kind]}")
    elif kind == "sentinel":
        service, database = unquote(url.path[1:]), options.get("db", "0")
        if not re.fullmatch(r"[A-Za-z0-9._-]+", service):
            raise ValueError(f"must name the service of Sentinel: write it as {_FORMS[kind]}")
    else:
        database = url.path[1:] or "0"
    if not re.fullmatch("[0-9]{1,5}", database) or (kind == "cluster" and int(database)):
        what = "must not name a database" if kind == "cluster" else "must name a database by number"
        raise ValueError(f"{what}, and nothing more: write it as {_FORMS[kind]}")
    same = user if kind == "sentinel" else ("", "")
    return RedisAddress(
        kind=kind,
        hosts=hosts,
        path=path,
        service=service,
        database=int(database),
        user=user,
        sentinel_user=(
            options.get("sentinel_username", same[0] if "sentinel_password" not in options else ""),
            options.get("sentinel_password", same[1]),
        ),
        is_tls=is_tls,
        files=_files(options),
        checks_host=_flag(options, "ssl_check_hostname", default=True),
    )


def _not_a_url() -> ValueError:
    return ValueError(f"must be the URL of Redis: write it as {'; or as '.join(_FORMS.values())}")


def _unescaped(text: str) -> list[str]:
    """Characters of user name and password that end this part of a URL (RFC 3986, section 3.2)."""
    rest = text.partition("://")[2]
    if text.startswith(("unix:", "redis+unix:")):
        return []
    # An `@` may be part of the value of an option.
    place = re.split(rf"\?(?:{'|'.join(_ALL_OPTIONS)})=", rest)[0]
    credentials, at, _ = place.rpartition("@")
    if not at:
        return []
    found = re.findall(r"[#/?@\[\] ]|%(?![0-9A-Fa-f]{2})", credentials)
    return list(dict.fromkeys(found))


def _user(credentials: str) -> tuple[str, str]:
    name, _, password = credentials.partition(":")
    return unquote(name), unquote(password)


def _hosts(kind: Kind, places: str) -> tuple[tuple[str, int], ...]:
    listed = places.split(",")
    found = []
    for place in listed:
        try:
            one = urlsplit(f"//{place}")
            host, port = one.hostname, one.port
        except ValueError:
            host, port = None, None
        if not host or port == 0 or place.endswith(":") or (kind == "server" and len(listed) > 1):
            raise ValueError(
                "contains a malformed URL: check its host and port, and write special characters "
                f"of a password as %XX: {_FORMS[kind]}"
            )
        found.append((host, port or (26379 if kind == "sentinel" else 6379)))
    return tuple(found)


def _options(kind: Kind, url: SplitResult) -> dict[str, str]:
    pairs = parse_qsl(url.query, keep_blank_values=True)
    options = dict(pairs)
    allowed = _OPTIONS[kind] + (_TLS if kind != "socket" else ())
    if len(options) < len(pairs) or not set(options) <= set(allowed):
        raise ValueError(f"has an unknown or repeated option: this form has {', '.join(allowed)}")
    return options


def _flag(options: Mapping[str, str], name: str, *, default: bool) -> bool:
    if name not in options:
        return default
    if (value := _YES.get(options[name].lower())) is None:
        raise ValueError(f"must have true or false for {name}")
    return value


def _files(options: Mapping[str, str]) -> tuple[tuple[str, str], ...]:
    files = {name: options[name] for name in _FILES if name in options}
    if ("ssl_certfile" in files) != ("ssl_keyfile" in files):
        raise ValueError("needs both ssl_certfile and ssl_keyfile for a client certificate")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    try:
        if "ssl_certfile" in files:
            # An empty password, because OpenSSL would ask for one on the terminal.
            context.load_cert_chain(files["ssl_certfile"], files["ssl_keyfile"], lambda: "")
    except (OSError, ValueError):
        raise ValueError(
            "must name readable PEM files in ssl_certfile and ssl_keyfile: a certificate, and its "
            "key without a password"
        ) from None
    try:
        if "ssl_ca_certs" in files:
            context.load_verify_locations(files["ssl_ca_certs"])
    except (OSError, ValueError):
        raise ValueError("must name a readable file of certificates in ssl_ca_certs") from None
    return tuple(files.items())
