"""Folders that all workers of a test run share, so that each is made once."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock


class Share:
    """Makes shared folders below a folder that all workers know.

    Args:
        folder: their parent.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def made(self, name: str, make: Callable[[Path], object], *, is_read_only: bool = True) -> Path:
        """A folder that the first caller makes; other callers wait for it.

        Args:
            name: of the folder.
            make: gets the path of the folder, which does not exist yet. If it fails, the next
                caller tries again.
            is_read_only: whether the folder is made read-only afterwards.
        """
        folder, ready = self._folder / name, self._folder / f"{name}.ready"
        with self.locked(name):
            if not ready.exists():
                make(folder)
                if is_read_only:
                    for path in (folder, *folder.rglob("*")):
                        path.chmod(path.stat().st_mode & ~0o222)
                ready.touch()
        return folder

    @contextmanager
    def locked(self, name: str) -> Iterator[None]:
        """Only one worker at a time can run such a block."""
        with FileLock(self._folder / f"{name}.lock"):
            yield
