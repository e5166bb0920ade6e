"""Environment variables that look like a misspelt variable of this service.

An environment is full of other programs' variables, so a name counts only if it is very close to
one of ours that is not set.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from difflib import get_close_matches

from edge_service.settings.variables import Variables, declared

__all__ = ["advice", "lookalikes"]

CUTOFF = 0.85
# Other names could carry control characters into a terminal or a log.
_NAME = re.compile(r"[A-Za-z0-9_.-]+")
_OWN_PREFIXES = ("", "SENTIFYD_", "EDGE_")
# Too short or too common: their neighbours are standard names of other programs.
_COMMON = ("HOST", "PORT", "OTEL_", "SSL_")
# What people write, and what is too far from our name for a comparison of letters.
_KNOWN_MISTAKES = {
    "API_KEY": "AVATAR_API_KEY",
    "API_KEY_FILE": "AVATAR_API_KEY_FILE",
    "AVATAR_KEY": "AVATAR_API_KEY",
    "REDIS": "REDIS_URL",
}


def lookalikes(environ: Mapping[str, str]) -> dict[str, str]:
    """Unknown names, each with the variable that was probably meant."""
    known: set[str] = set()
    unset: list[str] = []
    for variable in declared():
        forms = {variable.name, variable.file_name or variable.name}
        known |= forms
        if environ.keys().isdisjoint(forms) and _is_wanted(variable.name, environ):
            unset += forms
    names = sorted(name for name in environ.keys() - known if _NAME.fullmatch(name))
    return {name: meant for name in names if (meant := _meant(name.upper(), unset))}


def advice(environ: Mapping[str, str]) -> list[str]:
    """A line for each name that looks like one of ours."""
    return [
        f"{name} is not a variable of this service: did you mean {meant}?"
        for name, meant in lookalikes(environ).items()
    ]


def _is_wanted(name: str, environ: Mapping[str, str]) -> bool:
    """Whether the other variables leave room for this one."""
    if name == Variables.AVATAR_API_KEY.name:
        return Variables.AVATARS_FILE.name not in environ
    if name.startswith("JWT_"):
        return environ.get(Variables.VISITOR_AUTH.name, "").strip().lower() == "jwt"
    return not name.startswith(_COMMON)


def _meant(name: str, unset: list[str]) -> str | None:
    for rest in map(name.removeprefix, _OWN_PREFIXES):
        if (meant := _KNOWN_MISTAKES.get(rest)) in unset:
            return meant
        # Names with another beginning belong to other programs, such as DB_LOG_LEVEL.
        alike = [candidate for candidate in unset if candidate[:2] == rest[:2]]
        if close := get_close_matches(rest, alike, n=1, cutoff=CUTOFF):
            return close[0]
    return None
