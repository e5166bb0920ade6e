"""The files of the browser runtime, and their folder in a site."""

from __future__ import annotations

import functools
import hashlib
from pathlib import Path

__all__ = ["folder", "install"]

_SOURCES = Path(__file__).parents[1] / "runtime"


@functools.cache
def folder() -> str:
    """Return the runtime's folder in a site, ending in `/`.

    Its name contains a hash of all files, so that caches never mix versions.
    """
    digest = hashlib.sha256()
    for file in _files():
        digest.update(file.read_bytes())
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
    for file in _files() if with_scripts else _files(".css"):
        (target / file.name).write_bytes(file.read_bytes())


def _files(*suffixes: str) -> list[Path]:
    wanted = suffixes or (".css", ".js")
    return sorted(file for file in _SOURCES.iterdir() if file.suffix in wanted)
