"""Waiting for what nothing reports: the one place where tests ask again and again."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

# Seconds. A busy machine may take long; a test that waits in vain fails after this time.
PATIENCE = 30.0
_PAUSE = 0.01


def until(holds: Callable[[], object], seconds: float = PATIENCE) -> None:
    """Ask until something holds.

    Raises:
        AssertionError: it did not within this time.
    """
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline, f"not within {seconds} seconds"
        time.sleep(_PAUSE)


async def until_async(holds: Callable[[], object], seconds: float = PATIENCE) -> None:
    """The same in an event loop, in its own time, and without holding it up."""
    clock = asyncio.get_running_loop().time
    deadline = clock() + seconds
    while not holds():
        assert clock() < deadline, f"not within {seconds} seconds"
        await asyncio.sleep(_PAUSE)
