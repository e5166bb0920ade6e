"""The files of the browser runtime, and where a site has them."""

from __future__ import annotations

import functools
import hashlib
from pathlib import Path

__all__ = ["folder", "install"]

_SOURCES = Path(__file__).parents[1] / "runtime"


@functools.cache
def folder() -> str:
    """Where the runtime is in a site, named after its content so that no cache mixes versions."""
    digest = hashlib.sha256()
    for file in _files():
        digest.update(file.read_bytes())
    return f"assets/sentifyd/{digest.hexdigest()[:12]}/"


def install(site_dir: Path, *, with_scripts: bool) -> None:
    """Put style sheets and runtime into a built site.

    Args:
        site_dir: folder of the site.
        with_scripts: whether some page needs more than style sheets.

    Raises:
        OSError: the site cannot be written to.
    """
    target = site_dir / folder()
    target.mkdir(parents=True, exist_ok=True)
    for file in _files() if with_scripts else _files(".css"):
        (target / file.name).write_bytes(file.read_bytes())


def _files(*suffixes: str) -> list[Path]:
    wanted = suffixes or (".css", ".js")
    return sorted(file for file in _SOURCES.iterdir() if file.suffix in wanted)
