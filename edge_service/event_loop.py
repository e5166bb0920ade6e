"""Cleanup at the end of an event loop.

A mounted application gets no lifespan events, and some serverless platforms have a new event loop
for each request, so there may be no other sign of the end.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable

__all__ = ["at_end_of_loop"]


async def at_end_of_loop(clean_up: Callable[[], Awaitable[None]]) -> Callable[[], Awaitable[None]]:
    """Clean up before the running event loop is closed.

    Args:
        clean_up: called at most once.

    Returns:
        A function that cleans up earlier. It must be kept: without it, the cleanup is due at once.
    """

    async def until_end() -> AsyncGenerator[None, None]:
        # `asyncio.run` and its kind close asynchronous generators before the event loop.
        try:
            yield
        finally:
            await clean_up()

    generator = until_end()
    await anext(generator)
    return generator.aclose
