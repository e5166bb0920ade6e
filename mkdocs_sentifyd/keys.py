"""Finding an API key where only public settings belong."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping

__all__ = ["find_api_key"]

# What the key looks like is not documented, so this goes by what secrets look like: a name that
# says so, a prefix that services give their keys, a JWT, or a long run of mixed characters.
_KEY_NAME = re.compile(
    r"(?i)(?:^|_|-)(?:api|secret|access)[-_]?key$|^(?:key|secret|password|token)$"
)
_KEY_VALUE = re.compile(
    r"(?<![A-Za-z0-9])(?:(?:sk|pk|rk|ak|key|apikey|api[-_]key|secret)[-_][A-Za-z0-9_-]{8,}"
    r"|eyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{8,}"
    r"|(?=[A-Za-z0-9]*[0-9])(?=[A-Za-z0-9]*[a-z])(?=[A-Za-z0-9]*[A-Z])[A-Za-z0-9]{36,}"
    r"|[0-9a-fA-F]{40,})"
)
# Subresource hashes are long and mixed by nature, and paths and origins are not values of ours.
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
        if len(real_key) >= MIN_KEY_LENGTH and real_key in value:
            return path
        if name not in _EXEMPT and (_KEY_NAME.search(name) or _KEY_VALUE.search(value)):
            return path
    return None


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
