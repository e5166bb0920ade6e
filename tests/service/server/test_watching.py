"""Files that change: by an editor, by a symbolic link, by appearing and by vanishing."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from edge_service.server.watching import changes
from tests.support.clocks import in_a_loop
from tests.support.waiting import TIMEOUT

Change = Callable[[Path], object]


def rename_over(path: Path) -> None:
    other = path.with_name("other")
    other.write_text("a")
    # The same size and time.
    found = path.stat()
    os.utime(other, ns=(found.st_atime_ns, found.st_mtime_ns))
    other.rename(path)


def swap_link(path: Path) -> None:
    """Its folder becomes a link to a folder with another file."""
    (path.parent.parent / "two").mkdir()
    (path.parent.parent / "two" / path.name).write_text("b")
    link = path.parent
    (link.parent / "new").symlink_to("two")
    (link.parent / "new").rename(link)


@pytest.mark.parametrize(
    "change",
    [
        lambda path: path.write_text("b"),
        rename_over,
        swap_link,
        lambda path: path.unlink(),
        lambda path: path.with_name("missing").write_text("x"),
    ],
    ids=["written", "renamed", "linked", "removed", "appeared"],
)
def test_change_is_noticed_once(change: Change, tmp_path: Path) -> None:
    (tmp_path / "one").mkdir()
    (tmp_path / "link").symlink_to("one")
    path = tmp_path / "link" / "key"
    path.write_text("a")
    looks = 0

    def files() -> list[Path]:
        nonlocal looks
        looks += 1
        return [path, path.with_name("missing")]

    async def watch() -> None:
        found = changes(files, 0.001)
        async with asyncio.timeout(TIMEOUT):
            # The first one is not a change.
            await anext(found)
            change(path)
            await anext(found)
            later = asyncio.ensure_future(anext(found))
            end = looks + 10
            while looks < end:
                await asyncio.sleep(0.001)
            assert not later.done()
            later.cancel()

    in_a_loop(watch())
