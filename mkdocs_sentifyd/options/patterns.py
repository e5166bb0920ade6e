"""Gitignore-style patterns over the paths of pages."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from mkdocs.config import config_options as c
from mkdocs.config.base import BaseConfigOption, ValidationError

if TYPE_CHECKING:
    from pathspec.gitignore import GitIgnoreSpec

__all__ = ["PathPatterns", "Patterns"]


@dataclass(frozen=True, slots=True)
class PathPatterns:
    """Patterns of which the last that matches decides.

    Attributes:
        spec: the patterns, compiled.
        lines: each as written, in the same order.
    """

    spec: GitIgnoreSpec
    lines: tuple[str, ...]

    def match(self, paths: Iterable[str]) -> bool:
        """Whether one of some paths is meant.

        Args:
            paths: with `/` between their parts.
        """
        return any(map(self.spec.match_file, paths))

    def unused(self, paths: Collection[str]) -> Iterator[str]:
        """The patterns that match none of some paths."""
        for line, pattern in zip(self.lines, self.spec.patterns, strict=True):
            is_pattern = pattern.include is not None
            if is_pattern and not any(pattern.match_file(path) for path in paths):
                yield line


class Patterns(BaseConfigOption[PathPatterns | None]):
    """Patterns as a list, or as the multi-line string that `exclude_docs` takes."""

    def run_validation(self, value: object) -> PathPatterns | None:
        """Return the compiled patterns."""
        if value is None:
            return None
        if isinstance(value, list) and all(isinstance(item, str) for item in value):
            value = "\n".join(value)
        if not isinstance(value, str):
            raise ValidationError("must be a list of patterns, or a string with one on each line")
        lines = tuple(line for line in value.splitlines() if line)
        try:
            patterns = PathPatterns(c.PathSpec().validate("\n".join(lines)), lines)
        except (re.error, RecursionError):
            raise ValidationError("has a pattern that cannot be used: check its brackets") from None
        if {pattern.include for pattern in patterns.spec.patterns} - {None} == {False}:
            raise ValidationError("has exceptions (!) only: begin with what they except, such as *")
        return patterns
