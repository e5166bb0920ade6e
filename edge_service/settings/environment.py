"""Reads variables, and collects every problem, so that an operator sees all of them at once.

A name that is close to one of ours is reported too: a misspelt variable is set, and has no effect.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Any, TypeVar

from edge_service.settings.variables import Variable, Variables, declared

__all__ = ["Environment", "advice", "near_misses", "read_text"]

T = TypeVar("T")

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


class Environment:
    """Environment variables, and what is wrong with them.

    Args:
        variables: names and values.
        shown: what a variable is called in a problem, where its value comes from somewhere else.

    Attributes:
        problems: one line for each mistake; each names its variable and how to fix it, and none
            quotes a value.
        unusable: names of variables whose default stands in for what cannot be used.
    """

    def __init__(
        self, variables: Mapping[str, str], shown: Mapping[str, str] | None = None
    ) -> None:
        self._variables = variables
        self._shown = shown or {}
        self.problems: list[str] = []
        self.unusable: set[str] = set()

    def has(self, *variables: Variable[Any]) -> bool:
        """Whether any of these is set, and not empty."""
        names = [name for v in variables for name in (v.name, v.file_name) if name]
        return any((self._variables.get(name) or "").strip() for name in names)

    def read(self, variable: Variable[T], *, required: bool = True, **context: object) -> T:
        """The value of a variable, or its default when it is not set or cannot be used.

        Args:
            variable: its declaration.
            required: whether its absence is a problem, where the declaration says how to fix it.
            context: what its parser needs to know beside the text.
        """
        try:
            name, text = self._text(variable)
            if text is None and required and variable.missing:
                raise ValueError(f"{name} is not set: {variable.missing}")
            if text is None:
                return variable.default
            if not text.strip():
                raise ValueError(
                    f"{self._shown.get(name, name)} is empty: give it a value or unset it"
                )
            try:
                return variable.parse(text, **context)
            except ValueError as error:
                raise ValueError(f"{self._shown.get(name, name)} {error}") from None
        except ValueError as error:
            self.problems.append(str(error))
            self.unusable.add(variable.name)
            return variable.default

    def refuse(self, *variables: Variable[Any], reason: str) -> None:
        """A problem for each of these that is set: a guard must never be silently off."""
        for variable in variables:
            if self.has(variable):
                self.problems.append(f"{variable.name} is set, but {reason}")

    def _text(self, variable: Variable[Any]) -> tuple[str, str | None]:
        """The name that the text of a variable was found under, and the text, if there is any."""
        name, file_name = variable.name, variable.file_name
        text = self._variables.get(name)
        path = self._variables.get(file_name) if file_name is not None else None
        if file_name is None or path is None:
            return name, text
        if path.strip() and text is not None:
            raise ValueError(f"{name} and {file_name} are both set: keep one of them")
        # The path stays unsaid: people put the secret itself there by mistake.
        try:
            return file_name, read_text(Path(path)).rstrip("\r\n") if path.strip() else path
        except ValueError as error:
            raise ValueError(f"{file_name}: the file it names {error}") from None


def read_text(path: Path) -> str:
    """The text of a file.

    Raises:
        ValueError: it cannot be read; the message goes on from the file's name.
    """
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or "it is not UTF-8 text"
        raise ValueError(f"cannot be read ({reason})") from None


def near_misses(environ: Mapping[str, str]) -> dict[str, str]:
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
        for name, meant in near_misses(environ).items()
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
