"""Connections to Redis with short timeouts, so that an outage does not delay visitors."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias

from edge_service.redis_client.closing import closed_in_time, tls_closed_in_time
from edge_service.settings.redis_url import RedisAddress

if TYPE_CHECKING:
    from pathlib import Path

    from redis.asyncio import Connection, Redis, RedisCluster, SSLConnection
    from redis.asyncio.connection import AbstractConnection

__all__ = ["AnyRedis", "Connections", "connect"]

AnyRedis: TypeAlias = "Redis | RedisCluster"

STEP_SECONDS = 0.25


class Connections(Protocol):
    """Connections to one Redis, which belong to one event loop. They are made on first use."""

    async def open(self) -> AnyRedis:
        """The library's client. It, and this, raises `RedisError` or `OSError`."""

    async def close(self) -> None:
        """Close all connections. None may be in use, and none is opened afterwards."""


def connect(address: RedisAddress, most: int, ca_file: Path | None = None) -> Connections:
    """Connections to a Redis.

    Args:
        address: where it is.
        most: maximum number of connections; for a cluster, to each node.
        ca_file: certificate authorities to trust in place of the system's, unless the address names
            others.
    """
    options = _options(address.user)
    tls: dict[str, Any] = {}
    if address.is_tls:
        tls = {"ssl_check_hostname": address.checks_host, **dict(address.files)}
        if ca_file is not None:
            tls.setdefault("ssl_ca_certs", str(ca_file))
    if address.kind == "cluster":
        # Older releases of redis-py do not know it for clusters.
        del options["driver_info"]
        return _ClusterConnections(address, {**options, **tls, "max_connections": most})
    options |= {"max_connections": most, "db": address.database}
    if address.kind == "sentinel":
        return _sentinel(address, options, tls)
    return _server(address, options, tls)


class _PooledConnections:
    """Connections to one server at a time, and to those that know which one it is."""

    def __init__(self, client: Redis, *others: Redis) -> None:
        self._client = client
        self._clients = (client, *others)

    async def open(self) -> Redis:
        return self._client

    async def close(self) -> None:
        for client in self._clients:
            with suppress(Exception):
                await client.aclose(close_connection_pool=True)


class _ClusterConnections:
    """Connections to the nodes of a cluster."""

    def __init__(self, address: RedisAddress, options: dict[str, Any]) -> None:
        self._address = address
        self._options = options | ({"ssl": True} if address.is_tls else {})
        self._client: RedisCluster | None = None

    async def open(self) -> RedisCluster:
        if self._client is None:
            from redis.asyncio import Connection, RedisCluster, SSLConnection
            from redis.asyncio.cluster import ClusterNode

            # Created on first use, because the library resolves `localhost` here.
            self._client = RedisCluster(
                startup_nodes=[ClusterNode(host, port) for host, port in self._address.hosts],
                # The given nodes stay known, because the cluster may move to other addresses.
                dynamic_startup_nodes=False,
                # Otherwise several moved slots close connections that are in use.
                reinitialize_steps=0,
                **self._options,
            )
            # For this class, the library has no option.
            kind = _kind(Connection, SSLConnection, self._address)
            self._client.connection_kwargs["connection_class"] = kind
            for node in self._client.nodes_manager.startup_nodes.values():
                node.connection_class = kind
        if not self._client.get_default_node():
            # Before it knows the nodes, the library sends scripts to any of them.
            await self._client.initialize()
        return self._client

    async def close(self) -> None:
        if self._client is not None:
            with suppress(Exception):
                await self._client.aclose()
            # After an error, the library considers itself closed, but still has connections.
            for nodes in ("nodes_cache", "startup_nodes"):
                with suppress(Exception):
                    await self._client.nodes_manager.aclose(nodes)


def _server(address: RedisAddress, options: dict[str, Any], tls: dict[str, Any]) -> Connections:
    from redis.asyncio import Connection, ConnectionPool, Redis, SSLConnection
    from redis.asyncio import UnixDomainSocketConnection as SocketConnection

    kind: type[AbstractConnection]
    if address.kind == "socket":
        kind = closed_in_time(SocketConnection, STEP_SECONDS)
        options |= {"path": address.path}
    else:
        kind = _kind(Connection, SSLConnection, address)
        ((host, port),) = address.hosts
        options |= {"host": host, "port": port, **tls}
    return _PooledConnections(Redis.from_pool(ConnectionPool(kind, **options)))


def _sentinel(address: RedisAddress, options: dict[str, Any], tls: dict[str, Any]) -> Connections:
    from redis.asyncio import Connection, Sentinel, SSLConnection
    from redis.asyncio.sentinel import SentinelManagedConnection as ToMaster
    from redis.asyncio.sentinel import SentinelManagedSSLConnection as ToMasterTLS

    if address.is_tls:
        tls["ssl"] = True
    options["connection_class"] = _kind(ToMaster, ToMasterTLS, address)
    sentinel = Sentinel(  # type: ignore[no-untyped-call]
        address.hosts,
        sentinel_kwargs={**_options(address.sentinel_user), **tls},
        **options,
        **tls,
    )
    # For this class, the library has no option.
    kind = _kind(Connection, SSLConnection, address)
    for one in sentinel.sentinels:
        one.connection_pool.connection_class = kind
    return _PooledConnections(sentinel.master_for(address.service), *sentinel.sentinels)


def _kind(
    plain: type[Connection], tls: type[SSLConnection], address: RedisAddress
) -> type[Connection]:
    if address.is_tls:
        return tls_closed_in_time(tls, STEP_SECONDS)
    return closed_in_time(plain, STEP_SECONDS)


def _options(user: tuple[str, str]) -> dict[str, Any]:
    from redis.asyncio.retry import Retry
    from redis.backoff import NoBackoff
    from redis.exceptions import ConnectionError as ConnectionLost

    name, password = user
    return {
        "username": name or None,
        "password": password or None,
        "socket_timeout": STEP_SECONDS,
        "socket_connect_timeout": STEP_SECONDS,
        # One retry, for an idle connection that the server has closed; none after a timeout.
        "retry": Retry(NoBackoff(), 1, (ConnectionLost,)),
        # Version 3 needs one more round trip, and does not notice a closed connection.
        "protocol": 2,
        "driver_info": None,
    }
