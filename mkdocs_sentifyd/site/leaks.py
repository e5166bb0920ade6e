"""Search a built site for the API key."""

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
# In bytes. The longest encoding of a character is a reference such as `&#x000000e9;`.
LONGEST_ENCODING = 16
_GZIP_SUFFIXES = (".gz", ".svgz", ".tgz")


class _Readable(Protocol):
    def read(self, size: int, /) -> bytes: ...


def leaking_files(site_dir: Path, keys: Sequence[str]) -> list[str]:
    """Return the files of a site that contain a key in their content or in their name.

    A key is found in plain text, in UTF-16, in gzip files, and with its special characters escaped
    for HTML, JSON or a URL.

    Args:
        site_dir: folder of the built site.
        keys: the keys that must not be there.

    Returns:
        Sorted paths below the folder. Keys in file names are masked with `***`.

    Raises:
        OSError: a file cannot be read.
    """
    if not keys:
        return []
    pattern = re.compile(b"|".join(encoded for key in keys for encoded in _encodings(key)))
    overlap = max(map(len, keys)) * LONGEST_ENCODING
    found = []
    for file in site_files(site_dir):
        path = os.fsencode(file.relative_to(site_dir).as_posix())
        if pattern.search(path) or _contains(file, pattern, overlap):
            found.append(pattern.sub(b"***", path).decode("utf-8", "replace"))
    return found


def site_files(site_dir: Path) -> Iterator[Path]:
    """Return the sorted files of a site. It follows symbolic links, because servers do too."""
    visited: set[str] = set()
    found: list[Path] = []
    for folder, folders, names in os.walk(site_dir, followlinks=True, onerror=_raise):
        real_folder = os.path.realpath(folder)
        if real_folder in visited:
            folders.clear()
            continue
        visited.add(real_folder)
        found += [file for name in names if (file := Path(folder, name)).is_file()]
    return iter(sorted(found))


def _raise(error: OSError) -> None:
    raise error


def _encodings(key: str) -> Iterator[bytes]:
    """Yield patterns that match a key in different encodings."""
    yield b"".join(map(_character, key))
    for encoding in ("utf-16-le", "utf-16-be"):
        yield re.escape(key.encode(encoding))


def _character(character: str) -> bytes:
    """Return a pattern for a character, plain or escaped for HTML, JSON or a URL."""
    plain = re.escape(character.encode())
    if character.isalnum() and character.isascii():
        return plain
    code = ord(character)
    name = codepoint2name.get(code)
    percent = "".join(f"%{byte:02x}" for byte in character.encode())
    forms = [re.escape(form) for form in (percent, f"\\u{code:04x}", f"\\{character}")]
    forms += [f"&#0*{code};", f"&#x0*{code:x};", *([f"&{name};"] if name else [])]
    return b"(?:%b|(?i:%b))" % (plain, "|".join(forms).encode())


def _contains(file: Path, pattern: re.Pattern[bytes], overlap: int) -> bool:
    with file.open("rb") as stream:
        if _is_in(stream, pattern, overlap):
            return True
    if file.suffix.lower() not in _GZIP_SUFFIXES:
        return False
    try:
        with gzip.open(file) as stream:
            return _is_in(stream, pattern, overlap)
    except (OSError, EOFError, zlib.error):
        # The file is not valid gzip; its raw bytes have already been searched.
        return False


def _is_in(stream: _Readable, pattern: re.Pattern[bytes], overlap: int) -> bool:
    """Whether a pattern matches, also across two chunks."""
    tail = b""
    while chunk := stream.read(CHUNK_SIZE):
        if pattern.search(tail + chunk):
            return True
        tail = chunk[-overlap:]
    return False
