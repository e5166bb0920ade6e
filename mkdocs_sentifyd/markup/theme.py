"""Detect features of a page's theme that matter for the avatar."""

from __future__ import annotations

import re
from typing import NamedTuple

__all__ = ["Traits", "traits"]

# Material and Zensical quote the attribute; a minifier may remove the quotes.
_CONFIG = re.compile(r"<script id=\"?__config\"?[^>]*>([^<]*)")
_SHORTCUTS = re.compile(r"<script[^>]*>[^<]*\bshortcuts\s*=\s*\{")


class Traits(NamedTuple):
    """Features of a theme.

    Attributes:
        is_instant: whether it has instant navigation: links replace parts of the page without
            loading a new document (`navigation.instant`).
        has_features: whether it is Material or Zensical.
        has_shortcuts: whether its script has single-key shortcuts.
    """

    is_instant: bool
    has_features: bool
    has_shortcuts: bool

    @property
    def handles_typing(self) -> bool:
        """Whether the theme reacts to keys that are typed into the avatar."""
        return self.has_features or self.has_shortcuts


def traits(html: str) -> Traits:
    """Detect the features of a page's theme.

    Args:
        html: a whole page; only ASCII characters matter.
    """
    config = _theme_script(html, "__config", _CONFIG)
    return Traits(
        is_instant=config is not None and '"navigation.instant"' in config[1],
        has_features=config is not None,
        has_shortcuts=_theme_script(html, "shortcuts", _SHORTCUTS) is not None,
    )


def _theme_script(html: str, name: str, pattern: re.Pattern[str]) -> re.Match[str] | None:
    """Return the match of the last script that contains a name and matches a pattern."""
    # Searching for a plain string is much faster than for a pattern, and these scripts are near the
    # end of the page.
    start = len(html)
    while (position := html.rfind(name, 0, start)) >= 0:
        start = html.rfind("<script", 0, position)
        if start < 0:
            return None
        if found := pattern.match(html, start):
            return found
    return None
