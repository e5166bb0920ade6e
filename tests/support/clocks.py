"""Clocks that a test controls, and event loops for code that waits."""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from tests.support.waiting import TIMEOUT


class Clock:
    """A clock in seconds that a test sets."""

    def __init__(self, now: float = 1_800_000_000.0) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now


class _Idle(selectors.DefaultSelector):
    """Jumps to the time that is waited for; raises an error if nothing is waited for."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 1000.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if timeout is None:
            raise RuntimeError("all tasks wait for something that never happens")
        self.now += timeout
        return super().select(0)


class VirtualLoop(asyncio.SelectorEventLoop):
    """An event loop in which an hour of sleep takes no time; for code that does no real I/O."""

    def __init__(self) -> None:
        self._idle = _Idle()
        super().__init__(self._idle)

    def time(self) -> float:
        return self._idle.now


def now() -> float:
    return asyncio.get_running_loop().time()


def in_virtual_time(coroutine: Coroutine[Any, Any, None]) -> None:
    """Run it in an event loop in which waiting takes no time."""
    _run(coroutine, VirtualLoop)


def in_a_loop(
    coroutine: Coroutine[Any, Any, None],
    seconds: float = 2 * TIMEOUT,
    loop_factory: Callable[[], asyncio.AbstractEventLoop] | None = None,
) -> None:
    """Run it in its own event loop, of asyncio's usual kind or from this factory.

    Raises:
        TimeoutError: it takes longer than this.
    """

    async def bounded() -> None:
        async with asyncio.timeout(seconds):
            await coroutine

    _run(bounded(), loop_factory)


def _run(
    coroutine: Coroutine[Any, Any, None],
    loop_factory: Callable[[], asyncio.AbstractEventLoop] | None,
) -> None:
    """Use another thread, because a browser test may have left a loop running in this one."""

    def run() -> None:
        with asyncio.Runner(loop_factory=loop_factory) as runner:
            runner.run(coroutine)

    with ThreadPoolExecutor(1) as pool:
        pool.submit(run).result()
