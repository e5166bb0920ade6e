"""Read the front matter of a page's source: YAML as in MkDocs, or TOML as in Hugo."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from mkdocs.utils import meta

from mkdocs_sentifyd.options.numbers import IN_QUOTES, misread_number

__all__ = [
    "FRONT_MATTER_KEY",
    "PageError",
    "problem_of_front_matter",
    "problem_of_notebook",
    "read_front_matter",
]

FRONT_MATTER_KEY = "sentifyd"

_TOML = re.compile(r"\A\+\+\+[ \t]*\n(.*?\n)\+\+\+[ \t]*(?:\n|\Z)", re.DOTALL)
# What authors take for front matter, and MkDocs does not: text, spaces or a byte order mark before
# it, other dashes, no line after it.
_IGNORED_BLOCK = re.compile(
    r"\A(?:[\s\ufeff]++|(?><!--.*?-->))*+(?:-{3,}|\+\+\+)[ \t]*\n(?![ \t]*\n)(?P<text>.*?\n)"
    r"[ \t]*(?:-{3,}|\.\.\.|\+\+\+)[ \t]*(?:\n|\Z)",
    re.DOTALL,
)
_ANY_CASE = re.compile(
    r"^ {0,3}[\"']?sentifyd[\"']?[ \t]*[:=]|^\[sentifyd\]", re.MULTILINE | re.IGNORECASE
)
_OURS = re.compile(r"^[\"']?sentifyd[\"']?[ \t]*[:=]|^\[sentifyd\]", re.MULTILINE)
UNREADABLE = "its front matter has options for `sentifyd`, but it cannot be read: fix its {}"
IGNORED = (
    "`sentifyd` is not read: front matter begins on the first line of the file, between two lines "
    "of exactly three dashes, with a line after them"
)
IN_NOTEBOOK = (
    "`sentifyd` is not read in a notebook: remove it, and name the page in include or exclude"
)


class PageError(ValueError):
    """The options for a page's avatar are invalid; the text says how to fix them."""


def read_front_matter(text: str) -> dict[str, Any]:
    """Return the front matter of a source.

    Args:
        text: the source, with any kind of line ends.

    Returns:
        The front matter; `{}` if there is none, or if it is unreadable but not about the avatar.

    Raises:
        PageError: there are options for the avatar that cannot be read as they are written.
    """
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    _, data = meta.get_data(text)
    if block := _TOML.match(text):
        import tomllib

        try:
            data = tomllib.loads(block[1])
        except (ValueError, RecursionError):
            if _OURS.search(block[1]):
                raise PageError(UNREADABLE.format("TOML")) from None
    if problem := problem_of_front_matter(text, data):
        raise PageError(problem)
    return dict(data)


def problem_of_front_matter(text: str, data: Mapping[str, Any]) -> str | None:
    """Return why options for the avatar are not read as their author wrote them, or `None`.

    Args:
        text: the whole source, with any kind of line ends, without the byte order mark.
        data: the front matter that was read from it.
    """
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    if FRONT_MATTER_KEY in data:
        options = data[FRONT_MATTER_KEY]
        value = options.get("avatar_id") if isinstance(options, Mapping) else None
        written = misread_number(text, value)
        reason = IN_QUOTES.format(f"{written} as the number {value}")
        return f"`sentifyd` in the front matter: option 'avatar_id': {reason}" if written else None
    for name in data:
        if str(name).lower() == FRONT_MATTER_KEY and name != FRONT_MATTER_KEY:
            return f"`{name}` in the front matter is not read: write `{FRONT_MATTER_KEY}`"
    read = meta.YAML_RE.match(text)
    if read is None:
        line = _ignored_line(text)
        return f"line {line}: {IGNORED}" if line else None
    # MkDocs reports nothing about invalid YAML, and leaves it in the text. A blank line first means
    # that the dashes are a rule.
    is_text = data or read[1].startswith("\n") or "```" in read[1]
    return None if is_text or not _OURS.search(read[1]) else UNREADABLE.format("YAML")


def problem_of_notebook(text: str) -> str | None:
    """Return a warning about options in the first cell of a notebook, or `None`.

    MkDocs and mkdocs-jupyter read no front matter from notebooks.

    Args:
        text: the notebook, as JSON (Jupyter, nbformat 4).
    """
    try:
        source = json.loads(text)["cells"][0]["source"]
        line = _ignored_line(source if isinstance(source, str) else "".join(source))
    except (ValueError, LookupError, TypeError, RecursionError):
        return None
    return f"first cell, line {line}: {IN_NOTEBOOK}" if line else None


def _ignored_line(text: str) -> int | None:
    """Return the number of the line that has the options in a block that is not read."""
    block = _IGNORED_BLOCK.match(text)
    if block is None or "```" in block["text"]:
        return None
    ours = _ANY_CASE.search(block["text"])
    return text.count("\n", 0, block.start("text") + ours.start()) + 1 if ours else None
