"""Find API keys where only public settings belong."""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from urllib.parse import parse_qsl

__all__ = ["KEY_ON_THE_SITE", "find_api_key", "find_named_key", "secret_keys"]

KEY_ON_THE_SITE = (
    "this looks like the API key, and every reader of the site would get it: remove it, and give "
    "it to the token service as AVATAR_API_KEY"
)
# Sentifyd does not document the format of the key, so these patterns match what secrets usually
# look like: a telling name, a prefix that services use for keys, a JWT, or many mixed characters.
_KEY_NAME = re.compile(
    r"(?i)(?:api|avatar|sentifyd|secret|access)[-_]?(?:api[-_]?)?key$"
    r"|^(?:key|secret|password|token)$"
)
_KEY_VALUE = re.compile(
    r"(?<![A-Za-z0-9_-])(?:"
    r"(?:sk|pk|rk|ak|key|apikey|api[-_]key|secret)[-_](?=[A-Za-z_-]*[0-9])[A-Za-z0-9_-]{8,}"
    r"|eyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{8,}"
    r"|(?=[A-Za-z_-]*[0-9])(?=[a-z0-9_-]*[A-Z])(?=[A-Z0-9_-]*[a-z])[A-Za-z0-9_-]{30,}"
    r"|[0-9a-fA-F]{40,}"
    r")(?![A-Za-z0-9_-])"
)
# What no ID looks like; paths and other texts may.
_KEY_ID = re.compile(
    # `avtr_sk_...`, `SECRET-KEY-...`: the rest must be random, because `sk` is also a language.
    r"(?i:(?:^|[-_.:])(?:sk|[a-z]*(?:api|private|secret)[-_]?key|secret)[-_.:](?:(?:live|prod|test)[-_.:])?)"
    r"(?=[A-Za-z]*[0-9])(?=[0-9]*[A-Za-z])[A-Za-z0-9]{16,}$"
    # Base64 of 30 bytes or more, and a long text in the alphabet of base32 or base36.
    r"|^(?=.*[0-9])(?=.*[a-z])(?=.*[A-Z])[A-Za-z0-9+/]{40,}={0,2}$"
    r"|^(?=[a-z]*[0-9])(?=[0-9]*[a-z])[a-z0-9]{40,}$|^(?=[A-Z]*[0-9])(?=[0-9]*[A-Z])[A-Z0-9]{40,}$"
    # A whole line of an .env file, or of a request.
    r"|(?i:^(?:[a-z_-]*key|bearer|secret|token)[ =:]+\S{8,}$)"
)
_NAMED_KEY = re.compile(
    r"(?:avatar|sentifyd)[-_]?(?:api[-_]?)?key(?:[\\\"'\s]|&#?\w+;){0,8}[:=]"
    r"(?:[\\\"'\s]|&#?\w+;){0,8}([A-Za-z0-9_-]{12,})(?![A-Za-z0-9_.-])",
    re.IGNORECASE,
)
# Hashes and paths may look like keys. `public_api_key` is allowed and has a warning of its own.
_EXEMPT = {"integrity", "include", "exclude", "match", "public_api_key", "accesskey"}
_ADDRESSES = {"logo", "terms_url", "privacy_url", "brand-logo", "terms-href", "privacy-href"}
_PLACEHOLDER = re.compile(r"(?i)your|example|place|change|dummy|sample|xxx|1234|abcd|key[-_]?here")
MAX_DEPTH = 20
MIN_KEY_LENGTH = 8


def find_api_key(options: Mapping[str, object]) -> str | None:
    """Return the name of the first option whose name or value looks like an API key.

    The keys of `secret_keys` are found in every value, also as a part of it.

    Args:
        options: the plugin's options before validation, including unknown ones.

    Returns:
        The dotted name of the option, or `None`. It never contains a key.
    """
    real_keys = secret_keys()
    for path, value in _leaves(options):
        name = path.rpartition(".")[2]
        if _KEY_VALUE.search(name):
            return "(a name that looks like a key)"
        if any(key in value for key in real_keys):
            return path
        if name in _EXEMPT:
            continue
        if _KEY_NAME.search(name) or _looks_like_a_key(value, is_address=name in _ADDRESSES):
            return path
        if name.replace("-", "_") == "avatar_id" and _KEY_ID.search(value):
            return path
    return None


def secret_keys() -> tuple[str, ...]:
    """Return the keys from `AVATAR_API_KEY` and from the file named by `AVATAR_API_KEY_FILE`.

    Keys with fewer than `MIN_KEY_LENGTH` characters are ignored, because ordinary text may contain
    them.
    """
    keys = {os.environ.get("AVATAR_API_KEY", "").strip()}
    if file := os.environ.get("AVATAR_API_KEY_FILE"):
        # The build does not need the file; the token service reports a missing one.
        with contextlib.suppress(OSError):
            keys.add(Path(file).read_text(encoding="utf-8", errors="replace").strip())
    return tuple(sorted(key for key in keys if len(key) >= MIN_KEY_LENGTH))


def find_named_key(text: str, public_key: str = "") -> bool:
    """Whether a text assigns a value that looks real to an API key of Sentifyd.

    Args:
        text: any text: code, JSON, HTML, prose.
        public_key: a value that is allowed.
    """
    for match in _NAMED_KEY.finditer(text):
        value = match[1]
        # Placeholders are made of words, which have few digits.
        has_digits = sum(map(str.isdigit, value)) > 1
        if value != public_key and has_digits and not _PLACEHOLDER.search(value):
            return True
    return False


def _looks_like_a_key(value: str, *, is_address: bool) -> bool:
    if "://" in value or is_address:
        # Hosts and paths may look like keys, so only the query of a URL is searched.
        return any(_KEY_VALUE.search(text) for _, text in parse_qsl(value.partition("?")[2]))
    return _KEY_VALUE.search(value) is not None


def _leaves(value: object, path: str = "", depth: int = 0) -> Iterator[tuple[str, str]]:
    """Yield the dotted name and the text of every value."""
    # A YAML anchor can contain itself.
    if depth > MAX_DEPTH:
        return
    if isinstance(value, Mapping):
        for name, item in value.items():
            yield from _leaves(item, f"{path}.{name}" if path else str(name), depth + 1)
    elif isinstance(value, list):
        for item in value:
            yield from _leaves(item, path, depth + 1)
    elif value is not None:
        yield path, str(value)
