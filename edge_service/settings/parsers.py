"""Parsers for the values of environment variables.

Each parser takes a string and raises a `ValueError` that says how to fix it. No message quotes the
value, which may be a misplaced secret.
"""

from __future__ import annotations

import re
import ssl
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from limits import RateLimitItem

_PLACEHOLDER = re.compile(
    r"(?i)^(?:<.*>|\$\{?\w+\}?|x+|\*+"
    r"|.*(?:(?:change|replace)[-_ ]?me|\$\{|\{\{|your[-_ ].*key|key[-_ ]?here|placeholder).*"
    r"|(?:default|example|secret|password|api[-_]?key|avatar[-_]api[-_]key|test|none|null))$"
)
T = TypeVar("T", bound=str)
MIN_KEY_LENGTH = 8
_DAY = 86_400
_LIMIT = r"\s*[1-9][0-9]{0,5}\s*(?:/|per)\s*(?:[1-9][0-9]{0,4})?\s*(?:second|minute|hour|day)s?\s*"
_LIMITS = re.compile(rf"{_LIMIT}(?:[;,]{_LIMIT}){{0,3}}", re.IGNORECASE)


def api_key(value: str) -> str:
    """The avatar's secret key."""
    if _PLACEHOLDER.match(value):
        raise ValueError("is still a placeholder: set it to the avatar's own API key")
    if not value.isascii() or not value.isprintable() or re.search(r"[\s\"'`]", value):
        raise ValueError(
            "contains quotes, white space or characters that no API key has: copy the key again, "
            "without quotes or line breaks"
        )
    if len(value) < MIN_KEY_LENGTH:
        raise ValueError(f"is shorter than {MIN_KEY_LENGTH} characters: copy the whole key")
    return value


def avatar_id(value: str) -> str:
    """The avatar's ID, an opaque string."""
    if not value.isascii() or not value.isprintable() or " " in value or len(value) > 128:
        raise ValueError("must be the avatar's ID: at most 128 characters, without spaces")
    return value


def boolean(value: str) -> bool:
    """`true` or `false`."""
    try:
        return {"true": True, "1": True, "false": False, "0": False}[value.strip().lower()]
    except KeyError:
        raise ValueError("must be true or false") from None


def choice(*choices: T) -> Callable[[str], T]:
    """A parser that accepts only these words, in any case."""

    def parse(value: str) -> T:
        for choice in choices:
            if choice == value.strip().lower():
                return choice
        raise ValueError(f"must be one of {', '.join(choices)}")

    return parse


def checked(check: Callable[[str], object]) -> Callable[[str], str]:
    """A parser that validates a string with `check`, and returns it unchanged."""

    def parse(value: str) -> str:
        check(value)
        return value

    return parse


def path(value: str) -> Path:
    """The path of a file; whether the file exists is not checked."""
    return Path(value.strip())


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


def seal_keys(value: str) -> tuple[str, ...]:
    """Fernet keys, separated by commas or line breaks; the first one encrypts."""
    keys = tuple(filter(None, re.split(r"[,\s]+", value)))
    if not keys or not all(_is_fernet_key(key) for key in keys):
        raise ValueError(
            "must be keys made by sentifyd-edge keygen, separated by commas; the first one encrypts"
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
        raise ValueError("names a file that contains no certificates in PEM format") from None
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or "its name is not a valid path"
        raise ValueError(f"names a file that cannot be read ({reason})") from None
    return path


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
    """The required value of a claim in visitors' tokens; compared exactly."""
    if not value.isprintable() or value != value.strip() or len(value) > 1024:
        raise ValueError("must be the value of the claim, without white space around it")
    return value


def login_path(value: str) -> str:
    """The path of the login call."""
    if not re.fullmatch(r"(?:/[A-Za-z0-9._~-]+)+/?", value.strip()):
        raise ValueError("must be a path such as /api/login, without query or fragment")
    return value.strip()


def parse_rate_limits(text: str) -> tuple[RateLimitItem, ...]:
    """Parse limits such as `10/second;500/hour`.

    Returns:
        The limits, the one with the shortest window first.

    Raises:
        ValueError: the limits are invalid. The message does not quote them.
    """
    return _limits(text, "limits such as 30/minute or 10/second;500/hour", "requests")


def parse_login_budget(text: str) -> tuple[RateLimitItem, ...]:
    """Parse a budget such as `2000/hour;20000/day`; it is written like rate limits.

    Returns:
        Its limits, the one with the shortest window first.

    Raises:
        ValueError: the budget is invalid. The message does not quote it.
    """
    return _limits(text, "a budget such as 20000/day or 2000/hour;20000/day", "logins")


def window_name(limit: RateLimitItem) -> str:
    """The window of a limit in a few characters, such as `day` or `15-minutes`."""
    unit = limit.GRANULARITY.name
    return unit if limit.multiples == 1 else f"{limit.multiples}-{unit}s"


def _limits(text: str, what: str, things: str) -> tuple[RateLimitItem, ...]:
    # Imported here, so that the command line starts without the extra `service` and reports it.
    from limits import parse_many

    # The library accepts zeros, months and any number of digits, and its errors quote the value.
    if not _LIMITS.fullmatch(text):
        raise ValueError(f"must be {what}: at most 4 limits, each of 1 to 999999 {things}")
    limits = sorted(parse_many(text), key=lambda limit: limit.get_expiry())
    windows = [limit.get_expiry() for limit in limits]
    if windows[-1] > _DAY or len(set(windows)) < len(windows):
        raise ValueError("must be limits whose windows differ, none of them longer than a day")
    return tuple(limits)
