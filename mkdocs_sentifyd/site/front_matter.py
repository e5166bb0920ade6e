"""Read the front matter of a page's source: YAML as in MkDocs, or TOML as in Hugo."""

from __future__ import annotations

import re
from typing import Any

from mkdocs.utils import meta

__all__ = ["UNREADABLE", "PageError", "has_unreadable_options", "read_front_matter"]

_BLOCK = re.compile(
    r"\A(?P<fence>---|\+\+\+)[ \t]*\n(?![ \t]*\n)(?P<text>.*?\n)"
    r"(?:---|\.\.\.|\+\+\+)[ \t]*(?:\n|\Z)",
    re.DOTALL,
)
_OURS = re.compile(r"^[\"']?sentifyd[\"']?[ \t]*[:=]|^\[sentifyd\]", re.MULTILINE)
UNREADABLE = "its front matter has options for `sentifyd`, but it cannot be read: fix its {}"


class PageError(ValueError):
    """The options for a page's avatar are invalid; the text says how to fix them."""


def read_front_matter(text: str) -> dict[str, Any]:
    """Return the front matter of a source.

    Args:
        text: the source, with any kind of line ends.

    Returns:
        The front matter; `{}` if there is none, or if it is unreadable but not about the avatar.

    Raises:
        PageError: the front matter has options for the avatar, but it cannot be read.
    """
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    block = _BLOCK.match(text)
    if block and block["fence"] == "+++":
        import tomllib

        try:
            return tomllib.loads(block["text"])
        except (ValueError, RecursionError):
            data: dict[str, Any] = {}
    else:
        _, data = meta.get_data(text)
    if not data and has_unreadable_options(text):
        raise PageError(UNREADABLE.format("TOML" if block and block["fence"] == "+++" else "YAML"))
    return dict(data)


def has_unreadable_options(text: str) -> bool:
    """Whether a text still begins with front matter that has options for the avatar.

    MkDocs removes front matter when it reads it. If the YAML is invalid, MkDocs reports nothing and
    leaves it in the text.
    """
    block = _BLOCK.match(text)
    if block is None or "```" in block["text"]:
        return False
    return _OURS.search(block["text"]) is not None
