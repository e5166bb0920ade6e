"""Reads variables and gathers every problem, so that an operator sees all of them at once."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

from edge_service.settings.variables import Variable

__all__ = ["Environment", "read_text"]

T = TypeVar("T")


class Environment:
    """Environment variables, and what is wrong with them.

    Args:
        variables: names and values.
        shown: what a variable is called in a problem, where its value comes from somewhere else.

    Attributes:
        problems: one line for each mistake; each names its variable and the cure, none a value.
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
            required: whether its absence is a problem, where the declaration tells how to mend it.
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
