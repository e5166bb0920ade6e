"""Reads variables and gathers every problem, so that an operator sees all of them at once."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TypeVar

__all__ = ["Environment", "read_text"]

T = TypeVar("T")


class Environment:
    """Environment variables, and what is wrong with them.

    Args:
        variables: names and values.

    Attributes:
        problems: one line for each mistake; each names its variable and the cure, none a value.
    """

    def __init__(self, variables: Mapping[str, str]) -> None:
        self._variables = variables
        self.problems: list[str] = []

    def has(self, *names: str) -> bool:
        """Whether any of these is set, and not empty."""
        return any((self._variables.get(name) or "").strip() for name in names)

    def read(self, name: str, parse: Callable[[str], T], *, missing: str = "") -> T | None:
        """Parse a variable; `missing` says how to mend its absence, and makes it required."""
        value = self._variables.get(name)
        if value is not None:
            return self._parse(name, value, parse)
        if missing:
            self.problems.append(f"{name} is not set: {missing}")
        return None

    def read_secret(self, name: str, parse: Callable[[str], T], *, missing: str = "") -> T | None:
        """Parse a secret: the variable itself, or the file that NAME_FILE names."""
        file_name = f"{name}_FILE"
        value, path = self._variables.get(name), self._variables.get(file_name)
        if path is not None and not path.strip():
            self.problems.append(f"{file_name} is empty: give it a value or unset it")
            return None
        if value is not None and path is not None:
            self.problems.append(f"{name} and {file_name} are both set: keep one of them")
        elif path is None:
            return self.read(name, parse, missing=missing)
        else:
            # The path stays unsaid: people put the secret itself there by mistake.
            try:
                text = read_text(Path(path))
            except ValueError as error:
                self.problems.append(f"{file_name}: the file it names {error}")
            else:
                return self._parse(file_name, text.rstrip("\r\n"), parse)
        return None

    def refuse(self, names: tuple[str, ...], reason: str) -> None:
        """A problem for each of these that is set: a guard must never be silently off."""
        self.problems += [f"{name} is set, but {reason}" for name in names if self.has(name)]

    def _parse(self, name: str, value: str, parse: Callable[[str], T]) -> T | None:
        if not value.strip():
            self.problems.append(f"{name} is empty: give it a value or unset it")
            return None
        try:
            return parse(value)
        except ValueError as error:
            self.problems.append(f"{name} {error}")
            return None


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
