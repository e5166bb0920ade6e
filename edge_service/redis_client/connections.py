"""Connections to Redis with short timeouts, so that an outage does not delay visitors."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Any, TypeAlias

if TYPE_CHECKING:
    from pathlib import Path

    from redis.asyncio import Redis, RedisCluster

__all__ = ["AnyRedis", "Connections"]

AnyRedis: TypeAlias = "Redis | RedisCluster"

STEP_SECONDS = 0.25


class Connections:
    """Connections to one Redis, which belong to one event loop. They are made on first use.

    Args:
        url: the URL of Redis; it may contain a password.
        most: maximum number of connections.
        ca_file: certificate authorities to trust in place of the system's.

    Raises:
        ValueError: the URL cannot be used. The message says how to fix it, without the URL.

    Attributes:
        client: the library's client. It raises `RedisError` or `OSError`.
    """

    def __init__(self, url: str, most: int, ca_file: Path | None = None) -> None:
        from redis.asyncio import ConnectionPool, Redis
        from redis.exceptions import RedisError

        options = _options()
        if ca_file is not None and url.startswith("rediss:"):
            options["ssl_ca_certs"] = str(ca_file)
        try:
            self._pool = ConnectionPool.from_url(url, max_connections=most, **options)
            # Only this validates the options in the URL's query.
            self._pool.make_connection()  # type: ignore[no-untyped-call]
        except (TypeError, ValueError, RedisError):
            # Their messages quote parts of the URL, which may be the password.
            raise ValueError(
                "must be a URL such as redis://:password@redis.example.com:6379/0"
            ) from None
        self.client: AnyRedis = Redis.from_pool(self._pool)
        self.is_cluster = False

    async def drop_idle(self) -> None:
        """Close the connections that are not in use."""
        with suppress(Exception):
            await self._pool.disconnect(inuse_connections=False)

    async def close(self) -> None:
        """Close all connections."""
        with suppress(Exception):
            await self.client.aclose()


def _options() -> dict[str, Any]:
    from redis.asyncio.retry import Retry
    from redis.backoff import NoBackoff
    from redis.exceptions import ConnectionError as ConnectionLost

    return {
        "socket_timeout": STEP_SECONDS,
        "socket_connect_timeout": STEP_SECONDS,
        # One retry, for an idle connection that the server has closed; none after a timeout.
        "retry": Retry(NoBackoff(), 1, (ConnectionLost,)),
        # Version 3 needs one more round trip, and does not notice a closed connection.
        "protocol": 2,
        "driver_info": None,
    }
