"""Waiting for conditions that nothing reports: the only place where tests poll."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

# Seconds. A busy machine may be slow; a test whose condition never holds fails after this time.
TIMEOUT = 30.0
_PAUSE = 0.01


def until(holds: Callable[[], object], seconds: float = TIMEOUT) -> None:
    """Wait until a condition holds.

    Raises:
        AssertionError: it did not hold within this time.
    """
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline, f"not within {seconds} seconds"
        time.sleep(_PAUSE)


async def until_async(holds: Callable[[], object], seconds: float = TIMEOUT) -> None:
    """The same in an event loop, by its clock, and without blocking it."""
    clock = asyncio.get_running_loop().time
    deadline = clock() + seconds
    while not holds():
        assert clock() < deadline, f"not within {seconds} seconds"
        await asyncio.sleep(_PAUSE)
