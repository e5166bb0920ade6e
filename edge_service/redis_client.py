"""Connections to Redis that give up soon, so that no visitor waits for one that is away."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from redis.asyncio import ConnectionPool

__all__ = ["connection_pool"]

STEP_SECONDS = 0.25


def connection_pool(url: str, most: int) -> ConnectionPool:
    """A pool of connections; none is opened before it is used.

    Args:
        url: of the server; it may hold a password.
        most: connections at once.

    Raises:
        ValueError: the URL cannot be used; says the cure, without the URL.
    """
    from redis.asyncio import ConnectionPool
    from redis.asyncio.retry import Retry
    from redis.backoff import NoBackoff
    from redis.exceptions import ConnectionError as ConnectionLost
    from redis.exceptions import RedisError

    try:
        pool = ConnectionPool.from_url(
            url,
            max_connections=most,
            socket_timeout=STEP_SECONDS,
            socket_connect_timeout=STEP_SECONDS,
            # At once, for a connection that an idle server has closed; never after a timeout.
            retry=Retry(NoBackoff(), 1, (ConnectionLost,)),
            # Version 3 costs a round trip more, and takes a closed connection for a live one.
            protocol=2,
            driver_info=None,
            # Lone surrogates in somebody's text must not look like an outage.
            encoding_errors="surrogatepass",
        )
        # Options in the URL's query are not looked at before that.
        pool.make_connection()  # type: ignore[no-untyped-call]
    except (TypeError, ValueError, RedisError):
        # Their texts quote parts of the URL, which may be the password.
        raise ValueError(
            "must be a URL such as redis://:password@redis.example.com:6379/0"
        ) from None
    return pool
