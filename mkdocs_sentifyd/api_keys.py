"""Finding an API key where only public settings belong."""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from urllib.parse import parse_qsl

__all__ = ["KEY_ON_THE_SITE", "find_api_key", "find_named_key", "secret_keys"]

KEY_ON_THE_SITE = (
    "this looks like the API key, and every reader of the site would get it: take it out, and give "
    "it to the token service as AVATAR_API_KEY"
)
# What the key looks like is not documented, so this goes by what secrets look like: a name that
# says so, a prefix that services give their keys, a JWT, or a long run of mixed characters.
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
_NAMED_KEY = re.compile(
    r"(?:avatar|sentifyd)[-_]?(?:api[-_]?)?key(?:[\\\"'\s]|&#?\w+;){0,8}[:=]"
    r"(?:[\\\"'\s]|&#?\w+;){0,8}([A-Za-z0-9_-]{12,})(?![A-Za-z0-9_.-])",
    re.IGNORECASE,
)
# Subresource hashes are long and mixed by nature, and patterns are paths of the author's own.
# A public key is the author's own decision, of which they are warned.
_EXEMPT = {"integrity", "include", "exclude", "match", "public_api_key", "accesskey"}
_ADDRESSES = {"logo", "terms_url", "privacy_url", "brand-logo", "terms-href", "privacy-href"}
_PLACEHOLDER = re.compile(r"(?i)your|example|place|change|dummy|sample|xxx|1234|abcd|key[-_]?here")
MAX_DEPTH = 20
MIN_KEY_LENGTH = 8


def find_api_key(options: Mapping[str, object]) -> str | None:
    """The name of the first option that holds, or whose name asks for, something like an API key.

    A key that the environment names is found wherever it stands.

    Args:
        options: the plugin's options as written, unknown ones included.
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
    return None


def secret_keys() -> tuple[str, ...]:
    """The keys that the environment names: `AVATAR_API_KEY`, and what `AVATAR_API_KEY_FILE` holds.

    One that is too short to differ from ordinary text is left out.
    """
    keys = {os.environ.get("AVATAR_API_KEY", "").strip()}
    if file := os.environ.get("AVATAR_API_KEY_FILE"):
        # The service reports what is wrong with the file; a build does not need it.
        with contextlib.suppress(OSError):
            keys.add(Path(file).read_text(encoding="utf-8", errors="replace").strip())
    return tuple(sorted(key for key in keys if len(key) >= MIN_KEY_LENGTH))


def find_named_key(text: str, public_key: str = "") -> bool:
    """Whether a text names an API key of Sentifyd with a value that is no placeholder.

    Args:
        text: of any kind: code, JSON, HTML, prose.
        public_key: a value that may stand there.
    """
    for match in _NAMED_KEY.finditer(text):
        value = match[1]
        # Placeholders are words, and words have few digits.
        has_digits = sum(map(str.isdigit, value)) > 1
        if value != public_key and has_digits and not _PLACEHOLDER.search(value):
            return True
    return False


def _looks_like_a_key(value: str, *, is_address: bool) -> bool:
    if "://" in value or is_address:
        # Hosts and paths are long and mixed by nature too; a key in a URL stands in its query.
        return any(_KEY_VALUE.search(text) for _, text in parse_qsl(value.partition("?")[2]))
    return _KEY_VALUE.search(value) is not None


def _leaves(value: object, path: str = "", depth: int = 0) -> Iterator[tuple[str, str]]:
    """Every text with the dotted name of the option that holds it."""
    # An anchor in YAML may hold itself.
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
