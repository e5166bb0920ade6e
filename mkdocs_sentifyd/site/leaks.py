"""Searching a built site for the API key."""

from __future__ import annotations

import gzip
import os
import re
import zlib
from collections.abc import Iterator, Sequence
from html.entities import codepoint2name
from pathlib import Path
from typing import Protocol

__all__ = ["leaking_files", "site_files"]

CHUNK_SIZE = 1 << 20
# The longest form of a character is a reference such as `&#x000000e9;`.
LONGEST_FORM = 16
_PACKED = (".gz", ".svgz", ".tgz")


class _Readable(Protocol):
    def read(self, size: int, /) -> bytes: ...


def leaking_files(site_dir: Path, keys: Sequence[str]) -> list[str]:
    """The files of a site that hold a key, in their text or in their name.

    The key is found as it is; with what is neither letter nor digit escaped for HTML, JSON or a
    URL; in UTF-16; and in files that gzip has packed.

    Args:
        site_dir: folder of the built site.
        keys: what must not be there.

    Returns:
        Paths below the folder, sorted; keys in names are masked.

    Raises:
        OSError: a file cannot be read.
    """
    if not keys:
        return []
    pattern = re.compile(b"|".join(form for key in keys for form in _forms(key)))
    overlap = max(map(len, keys)) * LONGEST_FORM
    found = []
    for file in site_files(site_dir):
        path = os.fsencode(file.relative_to(site_dir).as_posix())
        if pattern.search(path) or _holds(file, pattern, overlap):
            found.append(pattern.sub(b"***", path).decode("utf-8", "replace"))
    return found


def site_files(site_dir: Path) -> Iterator[Path]:
    """The files of a site, sorted; links are followed, as servers do."""
    seen: set[str] = set()
    found: list[Path] = []
    for folder, folders, names in os.walk(site_dir, followlinks=True, onerror=_raise):
        place = os.path.realpath(folder)
        if place in seen:
            folders.clear()
            continue
        seen.add(place)
        found += [file for name in names if (file := Path(folder, name)).is_file()]
    return iter(sorted(found))


def _raise(error: OSError) -> None:
    raise error


def _forms(key: str) -> Iterator[bytes]:
    """Patterns for a key in the ways in which it may be written."""
    yield b"".join(map(_character, key))
    for encoding in ("utf-16-le", "utf-16-be"):
        yield re.escape(key.encode(encoding))


def _character(character: str) -> bytes:
    """A pattern for a character as it is, and as HTML, JSON and URLs may have it."""
    plain = re.escape(character.encode())
    if character.isalnum() and character.isascii():
        return plain
    code = ord(character)
    name = codepoint2name.get(code)
    percent = "".join(f"%{byte:02x}" for byte in character.encode())
    forms = [re.escape(form) for form in (percent, f"\\u{code:04x}", f"\\{character}")]
    forms += [f"&#0*{code};", f"&#x0*{code:x};", *([f"&{name};"] if name else [])]
    return b"(?:%b|(?i:%b))" % (plain, "|".join(forms).encode())


def _holds(file: Path, pattern: re.Pattern[bytes], overlap: int) -> bool:
    with file.open("rb") as stream:
        if _is_in(stream, pattern, overlap):
            return True
    if file.suffix.lower() not in _PACKED:
        return False
    try:
        with gzip.open(file) as stream:
            return _is_in(stream, pattern, overlap)
    except (OSError, EOFError, zlib.error):
        # Not gzip after all: its bytes have been searched as they are.
        return False


def _is_in(stream: _Readable, pattern: re.Pattern[bytes], overlap: int) -> bool:
    """Whether a pattern is found, also across the border of two chunks."""
    tail = b""
    while chunk := stream.read(CHUNK_SIZE):
        if pattern.search(tail + chunk):
            return True
        tail = chunk[-overlap:]
    return False
