"""Options with gitignore-style patterns for the source paths of pages."""

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
    """Patterns; the last one that matches decides.

    Attributes:
        spec: the compiled patterns.
        lines: their source lines, in the same order.
    """

    spec: GitIgnoreSpec
    lines: tuple[str, ...]

    def match(self, paths: Iterable[str]) -> bool:
        """Whether at least one path matches.

        Args:
            paths: paths with `/` as separator.
        """
        return any(map(self.spec.match_file, paths))

    def unused(self, paths: Collection[str]) -> Iterator[str]:
        """Yield the patterns that match none of the paths."""
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
            raise ValidationError("has only exceptions (!): put a pattern such as * before them")
        return patterns
