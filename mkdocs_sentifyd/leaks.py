"""Searching a built site for the API key."""

from __future__ import annotations

import gzip
import html
import json
import re
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Protocol
from urllib.parse import quote

__all__ = ["leaking_files", "site_files"]

CHUNK_SIZE = 1 << 20


class _Readable(Protocol):
    def read(self, size: int, /) -> bytes: ...


def leaking_files(site_dir: Path, keys: Sequence[str]) -> list[str]:
    """The files of a site that hold a key, in their text or in their name.

    The key is found as it is, escaped for HTML, JSON or a URL, in UTF-8 and UTF-16, and in files
    that gzip has packed.

    Args:
        site_dir: folder of the built site.
        keys: what must not be there.

    Returns:
        Paths below the folder, sorted; keys in names are masked.
    """
    if not keys:
        return []
    forms = sorted({form for key in keys for form in _forms(key)})
    pattern = re.compile(b"|".join(map(re.escape, forms)))
    overlap = max(map(len, forms)) - 1
    found = []
    for file in site_files(site_dir):
        path = file.relative_to(site_dir).as_posix()
        if pattern.search(path.encode("utf-8", "surrogateescape")) or _holds(
            file, pattern, overlap
        ):
            for key in keys:
                path = path.replace(key, "***")
            found.append(path)
    return found


def site_files(site_dir: Path) -> Iterator[Path]:
    """The files of a site, sorted; links are followed, as servers do."""
    return (file for file in sorted(site_dir.rglob("*")) if file.is_file())


def _forms(key: str) -> Iterator[bytes]:
    for text in {key, html.escape(key), json.dumps(key)[1:-1], quote(key, safe="")}:
        for encoding in ("utf-8", "utf-16-le", "utf-16-be"):
            yield text.encode(encoding)


def _holds(file: Path, pattern: re.Pattern[bytes], overlap: int) -> bool:
    with file.open("rb") as stream:
        if _is_in(stream, pattern, overlap):
            return True
    if file.suffix != ".gz":
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
