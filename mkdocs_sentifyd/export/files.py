"""Write the files of an export: all of them or none, and never over a file of somebody else.

`export.json` in the folder has a hash of each file that the command wrote. A later export replaces
or removes a file only while it still has that hash.
"""

from __future__ import annotations

import hashlib
import json
import tempfile
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path

from mkdocs_sentifyd.site.config_file import SiteError

__all__ = ["write_files"]

MANIFEST = "export.json"
VERSION = 1


def write_files(folder: Path, files: Mapping[str, str]) -> None:
    """Write texts as UTF-8, and remove the files of an earlier export that are not needed now.

    Args:
        folder: the folder; it is created if it is missing.
        files: the texts, by file name.

    Raises:
        SiteError: a file exists that no export wrote, or that was changed since; nothing is
            written.
        OSError: a file cannot be written; everything is as it was before.
    """
    old = _old_files(folder, files)
    data = {name: text.encode() for name, text in files.items()}
    hashes = {name: _hash(content) for name, content in data.items()}
    manifest = json.dumps({"version": VERSION, "files": hashes}, indent=2) + "\n"
    data[MANIFEST] = manifest.encode()
    is_new = not folder.exists()
    folder.mkdir(parents=True, exist_ok=True)
    try:
        with tempfile.TemporaryDirectory(prefix=".export-", dir=folder) as name:
            stage = Path(name)
            for number, content in enumerate(data.values()):
                (stage / f"new-{number}").write_bytes(content)
            _swap(folder, stage, list(data), old)
    except BaseException:
        if is_new:
            with suppress(OSError):
                folder.rmdir()
        raise


def _old_files(folder: Path, names: Iterable[str]) -> list[str]:
    """The files of an earlier export in a folder; refuses to replace any other one of the names."""
    written = _written(folder)
    for name in names:
        file = folder / name
        # A broken symbolic link does not exist, and would be replaced.
        if (file.exists() or file.is_symlink()) and name not in written:
            raise SiteError(
                f"{file} exists and was not written by export: move it, or choose another --output"
            )
    for name, digest in written.items():
        with suppress(FileNotFoundError):
            if _hash((folder / name).read_bytes()) != digest:
                raise SiteError(
                    f"{folder / name} was changed after the export: move it, or choose another "
                    "--output"
                )
    return [name for name in [*written, MANIFEST] if (folder / name).exists()]


def _written(folder: Path) -> dict[str, str]:
    """The files that the last export wrote, with their hashes."""
    if folder.exists() and not folder.is_dir():
        raise SiteError(f"{folder} is not a folder: choose another --output")
    file = folder / MANIFEST
    try:
        data = json.loads(file.read_bytes())
    except FileNotFoundError:
        return {}
    except ValueError:
        data = None
    files = data.get("files") if isinstance(data, dict) else None
    if not isinstance(files, dict) or data["version"] != VERSION:
        raise SiteError(f"{file} was not written by export: move it, or choose another --output")
    return {str(name): str(digest) for name, digest in files.items() if Path(name).name == name}


def _swap(folder: Path, stage: Path, new: list[str], old: list[str]) -> None:
    """Move old files out and new files in; move them back if that fails or is stopped."""
    moved: list[tuple[Path, Path]] = []

    def move(source: Path, target: Path) -> None:
        source.rename(target)
        moved.append((source, target))

    try:
        for number, name in enumerate(old):
            move(folder / name, stage / f"old-{number}")
        for number, name in enumerate(new):
            move(stage / f"new-{number}", folder / name)
    except BaseException:
        for source, target in reversed(moved):
            target.rename(source)
        raise


def _hash(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
