"""Notices changes of files, as Kubernetes makes them in a mounted volume, and as editors do."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable
from pathlib import Path

__all__ = ["changes"]

POLL_SECONDS = 2.0

_Stamp = tuple[object, ...] | None


async def changes(
    files: Callable[[], Iterable[Path]], interval: float = POLL_SECONDS
) -> AsyncIterator[None]:
    """Yield when a file has changed, and then did not change for one interval.

    It polls, because a volume of Kubernetes changes by a symbolic link in another folder, and
    network file systems report no events. The first time it yields without a change, because the
    files may have changed after they were read.

    Args:
        files: returns the files to watch; missing ones too.
        interval: seconds between two looks.
    """
    seen: dict[Path, _Stamp] = {}
    is_changed = True
    while True:
        await asyncio.sleep(interval)
        now = await asyncio.to_thread(_stamps, tuple(files()))
        if now != seen:
            seen, is_changed = now, True
        elif is_changed:
            is_changed = False
            yield


def _stamps(files: Iterable[Path]) -> dict[Path, _Stamp]:
    return {path: _stamp(path) for path in files}


def _stamp(path: Path) -> _Stamp:
    """What differs after a change; `None` for a file that cannot be found."""
    try:
        # The target of symbolic links, so that a link to another target is a change too.
        target = path.resolve(strict=True)
        found = target.stat()
    except (OSError, ValueError, RuntimeError):
        return None
    return (target, found.st_dev, found.st_ino, found.st_mtime_ns, found.st_ctime_ns, found.st_size)
