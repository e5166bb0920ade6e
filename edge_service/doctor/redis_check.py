"""The doctor's check of Redis: does once what rate limits and shared grants need."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING

from edge_service.doctor.diagnosis import Peer, Verdict, judge_network
from edge_service.errors import UpstreamUnreachable
from edge_service.redis_client import probe
from edge_service.redis_client.connections import connect
from edge_service.settings.redis_url import RedisAddress, redis_address
from edge_service.upstream.client import root_cause

if TYPE_CHECKING:
    from redis.asyncio.sentinel import MasterNotFoundError

__all__ = ["check_redis"]

SECONDS = 2.0
# So many keys that every node of a usual cluster gets one.
CLUSTER_KEYS = 48
# How Redis' error begins when it has too many clients.
TOO_MANY_CLIENTS = "max number"
# Part of Redis' error when it gets a password and has none.
HAS_NONE = "without any password"


async def check_redis(url: str, ca_file: Path | None) -> Verdict:
    """Connect to Redis, and run every command that the service needs.

    Args:
        url: `REDIS_URL`.
        ca_file: certificate authorities to trust in place of the system's.

    Returns:
        The verdict. It contains nothing of the URL and no text of the server.
    """
    from redis.exceptions import RedisClusterException, RedisError

    address = redis_address(url)
    connections = connect(address, 1, ca_file)
    try:
        async with asyncio.timeout(SECONDS):
            client = await connections.open()
            await probe(client)
            if address.kind == "cluster":
                for number in range(CLUSTER_KEYS):
                    await probe(client, str(number))
        return Verdict("redis", "ok", "it answers")
    except (RedisError, RedisClusterException, OSError) as error:
        return _verdict(address, error)
    finally:
        await connections.close()


def _verdict(address: RedisAddress, error: Exception) -> Verdict:
    from redis.asyncio.sentinel import MasterNotFoundError
    from redis.exceptions import AuthenticationError, BusyLoadingError, RedisClusterException
    from redis.exceptions import ConnectionError as ConnectionLost
    from redis.exceptions import TimeoutError as TooSlow

    if isinstance(error, RedisClusterException) and isinstance(error.__cause__, Exception):
        # No node answered; the cause is the error of one.
        return _verdict(address, error.__cause__)
    if isinstance(error, MasterNotFoundError):
        return _no_master(error)
    if isinstance(error, AuthenticationError) or HAS_NONE in str(error):
        what = "Redis refuses the user name or password"
        fix = "check both in REDIS_URL"
        if address.kind == "sentinel":
            fix += "; if only Sentinel has no password, add ?sentinel_password="
        return Verdict("redis", "redis-refused", what, fix)
    if isinstance(error, (TooSlow, TimeoutError)):
        fix = (
            "check REDIS_URL (rediss:// is for TLS only), and that no firewall blocks the "
            "connection from this machine"
        )
        return Verdict("redis", "timeout", "Redis does not answer in time", fix)
    # The library reports two error responses of Redis as lost connections.
    is_lost = isinstance(error, (ConnectionLost, OSError))
    is_full = str(error).startswith(TOO_MANY_CLIENTS)
    if not is_lost or isinstance(error, BusyLoadingError) or is_full:
        fix = (
            "check the log of Redis; this user must be allowed to write keys that begin with "
            "sentifyd: and to run scripts, and Redis needs free memory and connections"
        )
        if address.kind == "cluster":
            fix += ", and every part of the cluster a master"
        what = f"Redis answers with an error ({type(error).__name__})"
        return Verdict("redis", "redis-failing", what, fix)
    failure = UpstreamUnreachable()
    failure.cause, failure.detail = root_cause(error)
    if address.kind == "socket" and failure.cause in ("FileNotFoundError", "PermissionError"):
        what = f"the socket in REDIS_URL cannot be opened ({failure.cause})"
        fix = "check its path, and that this user may write to it (unixsocketperm in redis.conf)"
        return Verdict("redis", "socket", what, fix)
    return judge_network(Peer("redis", "Redis", "REDIS_URL", tls=_tls(address)), failure)


def _no_master(error: MasterNotFoundError) -> Verdict:
    # The library keeps the errors of the sentinels only as text.
    text = str(error)
    if "AuthenticationError" in text:
        what = "Sentinel refuses the user name or password"
        fix = "check both in REDIS_URL; if they differ from those of Redis, add sentinel_password"
        return Verdict("redis", "redis-refused", what, fix)
    if " : " in text:
        what = "Sentinel cannot be reached, or knows no running master of the name in REDIS_URL"
        fix = (
            "check the hosts, their ports (26379 by default) and the name at the end of REDIS_URL, "
            "and that no firewall blocks the connection"
        )
        return Verdict("redis", "sentinel", what, fix)
    what = "Sentinel knows no running master of the name in REDIS_URL"
    fix = "check the name at the end of REDIS_URL: the command SENTINEL MASTERS lists all names"
    return Verdict("redis", "sentinel", what, fix)


def _tls(address: RedisAddress) -> str:
    return "begins with rediss://" if address.kind == "server" else "has ssl=true"
