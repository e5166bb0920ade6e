"""Finding an API key where only public settings belong."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from urllib.parse import parse_qsl

__all__ = ["find_api_key"]

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
# Subresource hashes are long and mixed by nature, and patterns are paths of the author's own.
_EXEMPT = {"integrity", "include", "exclude"}
MIN_KEY_LENGTH = 8


def find_api_key(options: Mapping[str, object]) -> str | None:
    """The name of the first option that holds, or whose name asks for, something like an API key.

    The value of `AVATAR_API_KEY` in the environment is found wherever it stands.

    Args:
        options: the plugin's options as written, unknown ones included.
    """
    real_key = os.environ.get("AVATAR_API_KEY", "")
    for path, value in _leaves(options):
        name = path.rpartition(".")[2]
        if _KEY_VALUE.search(name):
            return "(a name that looks like a key)"
        if len(real_key) >= MIN_KEY_LENGTH and real_key in value:
            return path
        if name not in _EXEMPT and (_KEY_NAME.search(name) or _looks_like_a_key(value)):
            return path
    return None


def _looks_like_a_key(value: str) -> bool:
    if "://" in value:
        # Hosts and paths are long and mixed by nature too; a key in a URL stands in its query.
        return any(_KEY_VALUE.search(text) for _, text in parse_qsl(value.partition("?")[2]))
    return _KEY_VALUE.search(value) is not None


def _leaves(value: object, path: str = "") -> Iterator[tuple[str, str]]:
    """Every text with the dotted name of the option that holds it."""
    if isinstance(value, Mapping):
        for name, item in value.items():
            yield from _leaves(item, f"{path}.{name}" if path else str(name))
    elif isinstance(value, list):
        for item in value:
            yield from _leaves(item, path)
    elif value is not None:
        yield path, str(value)
