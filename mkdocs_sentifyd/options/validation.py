"""Validate options, and report every mistake at once."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from mkdocs.config.base import Config, ConfigErrors, ConfigWarnings, ValidationError

__all__ = ["Mistakes", "Validated"]


class Mistakes(ValidationError):
    """Several mistakes in the value of one option.

    Attributes:
        lines: each mistake, as the path of the option below this one (empty for this one) and the
            text that says how to fix it.
    """

    def __init__(self, lines: Sequence[tuple[str, str]]) -> None:
        super().__init__("; ".join(text for _, text in lines))
        self.lines = tuple(lines)


class Validated(Config):
    """Options whose validation reports every mistake at once; that of MkDocs ends at the first."""

    given: Mapping[str, Any] = {}
    """The options that the author set, before validation and without the defaults."""

    reported: frozenset[tuple[str, str]] = frozenset()
    """Errors and warnings of the last validation."""

    def load_dict(self, patch: dict[str, Any]) -> None:
        """Load the options that the author set."""
        super().load_dict(patch)
        self.given = patch

    def validate(self) -> tuple[ConfigErrors, ConfigWarnings]:
        """Return all errors and warnings, each with the option's path."""
        known = dict(self._schema)
        errors: ConfigErrors = []
        warnings: list[tuple[str, str]] = []
        for name, option in self._schema:
            option.pre_validation(self, name)
        valid = []
        for name, option in self._schema:
            try:
                self[name] = option.validate(self.get(name))
                valid.append((name, option))
            except ValidationError as error:
                errors += _flat(name, error)
            # Only a group of options has them.
            doubts = getattr(option, "doubts", ())
            warnings += [(f"{name}.{below}", text) for below, text in doubts]
        for name, option in valid:
            try:
                option.post_validation(self, name)
            except ValidationError as error:
                errors.append((name, error))
        others = [str(name) for name in self.given if name not in known]
        warnings += [(name, self.unknown(name, known)) for name in others]
        self.reported = frozenset([*((name, str(error)) for name, error in errors), *warnings])
        return errors, list(warnings)

    def unknown(self, name: str, known: Iterable[str]) -> str:  # noqa: ARG002 - for subclasses
        """Return the warning for an option that is not one of the known ones."""
        return f"no such option: use one of {', '.join(known)}"


def _flat(name: str, error: ValidationError) -> ConfigErrors:
    """Return each mistake in the value of an option, with its path."""
    if not isinstance(error, Mistakes):
        return [(name, error)]
    return [
        (f"{name}.{below}" if below else name, ValidationError(text)) for below, text in error.lines
    ]
