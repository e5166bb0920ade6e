"""Front matter of a page's source, as MkDocs reads it (YAML) and as Hugo may have it (TOML)."""

from __future__ import annotations

import re
from typing import Any

from mkdocs.utils import meta

__all__ = ["LOST", "PageError", "is_lost", "read_front_matter"]

_BLOCK = re.compile(
    r"\A(?P<fence>---|\+\+\+)[ \t]*\n(?![ \t]*\n)(?P<text>.*?\n)"
    r"(?:---|\.\.\.|\+\+\+)[ \t]*(?:\n|\Z)",
    re.DOTALL,
)
_OURS = re.compile(r"^[\"']?sentifyd[\"']?[ \t]*[:=]|^\[sentifyd\]", re.MULTILINE)
LOST = "its front matter cannot be read, and it has a `sentifyd` in it: mend its {}"


class PageError(ValueError):
    """The options for a page's avatar cannot be used; the text says how to fix it."""


def read_front_matter(text: str) -> dict[str, Any]:
    """The front matter of a source.

    Args:
        text: the source, with any line ends.

    Raises:
        PageError: it has something about the avatar, and cannot be read.
    """
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    block = _BLOCK.match(text)
    if block and block["fence"] == "+++":
        import tomllib

        try:
            return tomllib.loads(block["text"])
        except tomllib.TOMLDecodeError:
            data: dict[str, Any] = {}
    else:
        _, data = meta.get_data(text)
    if not data and is_lost(text):
        raise PageError(LOST.format("TOML" if block and block["fence"] == "+++" else "YAML"))
    return dict(data)


def is_lost(text: str) -> bool:
    """Whether a text still begins with front matter that is about the avatar.

    MkDocs takes front matter away when it has read it, and leaves it there in silence when it is
    not YAML.
    """
    block = _BLOCK.match(text)
    if block is None or "```" in block["text"]:
        return False
    return _OURS.search(block["text"]) is not None
