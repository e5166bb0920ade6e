"""The files of the browser runtime, and their folder in a site."""

from __future__ import annotations

import functools
import hashlib
import re
from pathlib import Path

__all__ = ["contents", "folder", "install"]

_SOURCES = Path(__file__).parents[1] / "runtime"
# Comments are a fifth of the compressed scripts, and the sources keep them on lines of their own.
_COMMENT = re.compile(rb"^[ \t]*(?://.*|/\*(?s:.*?)\*/[ \t]*)\n", re.MULTILINE)


@functools.cache
def folder() -> str:
    """Return the runtime's folder in a site, ending in `/`.

    Its name contains a hash of all files, so that caches never mix versions.
    """
    digest = hashlib.sha256()
    for content in contents().values():
        digest.update(content)
    return f"assets/sentifyd/{digest.hexdigest()[:12]}/"


def install(site_dir: Path, *, with_scripts: bool) -> None:
    """Copy the style sheets, and optionally the scripts, into a built site.

    Args:
        site_dir: folder of the site.
        with_scripts: whether a page needs the scripts.

    Raises:
        OSError: a file cannot be written.
    """
    target = site_dir / folder()
    target.mkdir(parents=True, exist_ok=True)
    for name, content in contents().items():
        if with_scripts or name.endswith(".css"):
            (target / name).write_bytes(content)


@functools.cache
def contents() -> dict[str, bytes]:
    """Return the files that a site gets, by name: the sources without their comments."""
    files = sorted(file for file in _SOURCES.iterdir() if file.suffix in (".css", ".js"))
    return {file.name: _COMMENT.sub(b"", file.read_bytes()) for file in files}
