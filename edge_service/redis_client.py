"""Connections to Redis with short timeouts, so that an outage does not delay visitors."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from redis.asyncio import ConnectionPool

__all__ = ["connection_pool"]

STEP_SECONDS = 0.25


def connection_pool(url: str, most: int) -> ConnectionPool:
    """A connection pool; it connects on first use.

    Args:
        url: URL of the server; it may contain a password.
        most: maximum number of connections.

    Raises:
        ValueError: the URL cannot be used. The message says how to fix it, without the URL.
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
            # One retry, for an idle connection that the server has closed; none after a timeout.
            retry=Retry(NoBackoff(), 1, (ConnectionLost,)),
            # Version 3 needs one more round trip, and does not notice a closed connection.
            protocol=2,
            driver_info=None,
            # Lone surrogates in a user's name must not look like an outage.
            encoding_errors="surrogatepass",
        )
        # Only this validates the options in the URL's query.
        pool.make_connection()  # type: ignore[no-untyped-call]
    except (TypeError, ValueError, RedisError):
        # Their messages quote parts of the URL, which may be the password.
        raise ValueError(
            "must be a URL such as redis://:password@redis.example.com:6379/0"
        ) from None
    return pool
