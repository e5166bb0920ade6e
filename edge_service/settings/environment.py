"""Reads environment variables and collects every problem, so that operators see all at once.

It also reports misspelt names of our variables, which would otherwise have no effect.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Any, TypeVar

from edge_service.settings.variables import Variable, Variables, declared

__all__ = ["Environment", "advice", "near_misses", "read_text"]

T = TypeVar("T")

CUTOFF = 0.85
# Any other name could inject control characters into a terminal or a log.
_NAME = re.compile(r"[A-Za-z0-9_.-]+")
_OWN_PREFIXES = ("", "SENTIFYD_", "EDGE_")
# Too short or too common: similar names are standard variables of other programs.
_COMMON = ("HOST", "PORT", "OTEL_", "SSL_")
# Frequent mistakes that are too different from our names for the similarity check.
_KNOWN_MISTAKES = {
    "API_KEY": "AVATAR_API_KEY",
    "API_KEY_FILE": "AVATAR_API_KEY_FILE",
    "AVATAR_KEY": "AVATAR_API_KEY",
    "REDIS": "REDIS_URL",
}


class Environment:
    """Environment variables, and the problems found in them.

    Args:
        variables: names and values.
        shown: other names for variables in error messages, such as `--port` for `PORT`.

    Attributes:
        problems: one line for each mistake. Each names the variable and how to fix it, and none
            quotes a value.
        unusable: names of variables with an invalid value, for which the default is used.
        files: every file that was read, or should have been, but for certificates.
    """

    def __init__(
        self, variables: Mapping[str, str], shown: Mapping[str, str] | None = None
    ) -> None:
        self._variables = variables
        self._shown = shown or {}
        self.problems: list[str] = []
        self.unusable: set[str] = set()
        self.files: list[Path] = []
        # By variable: the name that supplied the value, and everything that it consists of.
        self._found: dict[str, tuple[str, list[object]]] = {}

    def has(self, *variables: Variable[Any]) -> bool:
        """Whether any of these is set and not empty."""
        names = [name for v in variables for name in (v.name, v.file_name) if name]
        return any((self._variables.get(name) or "").strip() for name in names)

    def read(self, variable: Variable[T], *, required: bool = True, **context: object) -> T:
        """The value of a variable, or its default when it is unset or invalid.

        Args:
            variable: its declaration.
            required: report a problem when it is unset, if the declaration has a `missing` text.
            context: further keyword arguments of its parser.
        """
        try:
            name, text = self._text(variable)
            self._found[variable.name] = (name, [text])
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

    def note(self, variable: Variable[Any], content: object) -> None:
        """Remember what a file contains, for `changes_since`."""
        name, contents = self._found[variable.name]
        self._found[variable.name] = (name, [*contents, content])

    def changes_since(self, before: Environment) -> list[str]:
        """Names of the variables whose values differ, those of their files included."""
        unset: tuple[str, list[object]] = ("", [None])
        names = dict.fromkeys([*before._found, *self._found])
        pairs = [(before._found.get(name, unset), self._found.get(name, unset)) for name in names]
        return [new[0] or old[0] for old, new in pairs if old[1] != new[1]]

    def refuse(self, *variables: Variable[Any], reason: str) -> None:
        """Report each of these that is set: a security setting must never be ignored silently."""
        for variable in variables:
            if self.has(variable):
                self.problems.append(f"{variable.name} is set, but {reason}")

    def _text(self, variable: Variable[Any]) -> tuple[str, str | None]:
        """The name that supplied the value (`NAME` or `NAME_FILE`), and the value, if any."""
        name, file_name = variable.name, variable.file_name
        text = self._variables.get(name)
        path = self._variables.get(file_name) if file_name is not None else None
        if file_name is None or path is None:
            return name, text
        if path.strip() and text is not None:
            raise ValueError(f"{name} and {file_name} are both set: keep one of them")
        if not path.strip():
            return file_name, path
        self.files.append(Path(path))
        # The message omits the path, because people put the secret itself there by mistake.
        try:
            return file_name, read_text(Path(path)).rstrip("\r\n")
        except ValueError as error:
            raise ValueError(f"{file_name}: the file it names {error}") from None


def read_text(path: Path) -> str:
    """The text of a file.

    Raises:
        ValueError: it cannot be read. The message continues a sentence that names the file.
    """
    try:
        # Line ends stay as they are, because not every program takes a carriage return for one.
        with path.open(encoding="utf-8", newline="") as file:
            return file.read()
    except PermissionError as error:
        user = f"user {os.geteuid()}" if hasattr(os, "geteuid") else "this user"
        raise ValueError(
            f"cannot be read by {user} ({error.strerror}): let that user read it, as the page "
            "Secrets in files of the documentation shows for systemd, Compose and Kubernetes"
        ) from None
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or "it is not UTF-8 text"
        raise ValueError(f"cannot be read ({reason})") from None


def near_misses(environ: Mapping[str, str]) -> dict[str, str]:
    """Unknown names that resemble our variables, each with the variable probably meant."""
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
    """One line for each unknown name that resembles one of our variables."""
    return [
        f"{name} is not a variable of this service: did you mean {meant}?"
        for name, meant in near_misses(environ).items()
    ]


def _is_wanted(name: str, environ: Mapping[str, str]) -> bool:
    """Whether this variable makes sense with the others that are set."""
    if name == Variables.AVATAR_API_KEY.name:
        return Variables.AVATARS_FILE.name not in environ
    if name.startswith("JWT_"):
        return environ.get(Variables.VISITOR_AUTH.name, "").strip().lower() == "jwt"
    return not name.startswith(_COMMON)


def _meant(name: str, unset: list[str]) -> str | None:
    for rest in map(name.removeprefix, _OWN_PREFIXES):
        if (meant := _KNOWN_MISTAKES.get(rest)) in unset:
            return meant
        # Names that begin differently, such as DB_LOG_LEVEL, belong to other programs.
        alike = [candidate for candidate in unset if candidate[:2] == rest[:2]]
        if close := get_close_matches(rest, alike, n=1, cutoff=CUTOFF):
            return close[0]
    return None
