"""What a page shows of the theme that it was made with."""

from __future__ import annotations

import re
from typing import NamedTuple

__all__ = ["Traits", "traits"]

# As Material and Zensical write it, and as a minifier leaves it.
_CONFIG = re.compile(r"<script id=\"?__config\"?[^>]*>([^<]*)")
_SHORTCUTS = re.compile(r"<script[^>]*>[^<]*\bshortcuts\s*=\s*\{")


class Traits(NamedTuple):
    """What a theme does in the browser.

    Attributes:
        is_instant: it exchanges pages without loading them (`navigation.instant`).
        has_features: it is Material or Zensical.
        has_shortcuts: its script acts on single keys, wherever they are typed.
    """

    is_instant: bool
    has_features: bool
    has_shortcuts: bool

    @property
    def takes_keys(self) -> bool:
        """Whether a theme like this acts on keys that are typed into the avatar."""
        return self.has_features or self.has_shortcuts


def traits(html: str) -> Traits:
    """Find out what a page's theme does.

    Args:
        html: a whole page, of which only the ASCII counts.
    """
    config = _theme_script(html, "__config", _CONFIG)
    return Traits(
        is_instant=config is not None and '"navigation.instant"' in config[1],
        has_features=config is not None,
        has_shortcuts=_theme_script(html, "shortcuts", _SHORTCUTS) is not None,
    )


def _theme_script(html: str, name: str, pattern: re.Pattern[str]) -> re.Match[str] | None:
    """The last script that has a name in it and matches a pattern."""
    # To search for a text is much faster than for a pattern. Themes have these near the end.
    start = len(html)
    while (place := html.rfind(name, 0, start)) >= 0:
        start = html.rfind("<script", 0, place)
        if start < 0:
            return None
        if found := pattern.match(html, start):
            return found
    return None
