"""Find an ID that YAML reads as another number than the one that is written."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import yaml

__all__ = ["IN_QUOTES", "misread_number", "texts_of"]

IN_QUOTES = "must be in quotes: without them, YAML reads {}"
_WRITTEN = re.compile(r"^[^#\n]*?\bavatar_id[\"']?[ \t]*[:=][ \t]*([-+0-9][\w:+.-]*)", re.MULTILINE)
_PARENT = re.compile(r"^INHERIT[ \t]*:[ \t]*[\"']?([^\s\"'#]+)", re.MULTILINE)
# Files that inherit from each other could go round in circles.
MAX_PARENTS = 10


def misread_number(text: str, value: object) -> str | None:
    """Return an ID as it is written, if YAML reads it as another text of digits.

    YAML 1.1 reads `0123` as octal, `0x1f` as hexadecimal, `1_000` as 1000, `1:30` as 90.

    Args:
        text: YAML, or TOML.
        value: an ID that was read from it.
    """
    if isinstance(value, bool) or not isinstance(value, int):
        return None
    for match in _WRITTEN.finditer(text):
        written = match[1]
        read = yaml.safe_load(written)
        if isinstance(read, int) and read == value and written != str(value):
            return written
    return None


def texts_of(file: str | None) -> Iterator[str]:
    """Yield the text of a configuration file, and of the files that it inherits from."""
    path = Path(file) if file else None
    for _ in range(MAX_PARENTS):
        try:
            text = path.read_text(encoding="utf-8-sig") if path else ""
        except (OSError, UnicodeDecodeError):
            return
        yield text
        parent = _PARENT.search(text)
        if path is None or parent is None:
            return
        path = path.parent / parent[1]
