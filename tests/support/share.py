"""What all workers of a run share, so that it is made once."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock


class Share:
    """Folders below one that all workers know.

    Args:
        folder: where they are.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def made(self, name: str, make: Callable[[Path], object], *, is_read_only: bool = True) -> Path:
        """A folder that the first caller makes; other callers wait for it.

        Args:
            name: what the folder is called.
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
        """Only one worker at a time is inside of such a block."""
        with FileLock(self._folder / f"{name}.lock"):
            yield
