"""Environment variables that look like one of ours, written wrongly.

An environment is full of other programs' variables, so only a name that is very close to one of
ours counts, and only while that one is not set.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping

from edge_service.variables import Variables, declared

__all__ = ["advice", "lookalikes"]

CUTOFF = 0.85
MIN_LENGTH = 8
# Standard names, whose neighbours are others' standard names.
_OF_OTHERS = ("OTEL_", "SSL_")
# Any other name could carry control characters into a terminal or a log.
_NAME = re.compile(r"[A-Za-z0-9_.-]+")
_OWN_PREFIXES = ("SENTIFYD_", "EDGE_")


def lookalikes(environ: Mapping[str, str]) -> dict[str, str]:
    """Unknown names, and for each the variable that was meant as it seems."""
    ours: list[str] = []
    known: set[str] = set()
    for variable in declared():
        forms = [name for name in (variable.name, variable.file_name) if name]
        known.update(forms)
        unset = not any(name in environ for name in forms)
        if unset and len(variable.name) >= MIN_LENGTH and _is_wanted(variable.name, environ):
            ours += forms
    found = {}
    for name in sorted(environ.keys() - known):
        if name.startswith(_OF_OTHERS) or not _NAME.fullmatch(name):
            continue
        if (meant := _meant(name, ours)) is not None:
            found[name] = meant
    return found


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
    return not name.startswith(_OF_OTHERS)


def _meant(name: str, ours: list[str]) -> str | None:
    for prefix in ("", *_OWN_PREFIXES):
        rest = name.upper().removeprefix(prefix)
        if rest in ours:
            return rest
        if f"{rest}_URL" in ours:
            return f"{rest}_URL"
        # With the beginning in common, because DB_LOG_LEVEL is somebody else's.
        alike = [candidate for candidate in ours if candidate[:2] == rest[:2]]
        if close := difflib.get_close_matches(rest, alike, n=1, cutoff=CUTOFF):
            return close[0]
        words = rest.split("_")
        for candidate in ours if len(words) > 1 else ():
            parts = candidate.split("_")
            if len(words) == len(parts) - 1 and words[-1] == parts[-1] and set(words) < set(parts):
                return candidate
    return None
