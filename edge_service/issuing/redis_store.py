"""Grants that several processes share through Redis, so that one of them logs in for all."""

from __future__ import annotations

import asyncio
import hashlib
import json
import random
import secrets
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import structlog

from edge_service.errors import ServiceError
from edge_service.redis_client import connection_pool
from edge_service.sealing import Sealer
from edge_service.settings import AvatarSettings
from edge_service.strict_json import parse_json
from edge_service.upstream.grant import Grant, HeldGrant

if TYPE_CHECKING:
    from redis.asyncio import Redis

__all__ = ["RedisGrants", "connect"]

MAX_CONNECTIONS = 64
POLL_SECONDS = 0.05
CLOCK_SKEW_SECONDS = 5.0
# Raise it with every change of what is stored: another format counts as absent.
FORMAT = 2
_UNLOCK = "if redis.call('get', KEYS[1]) == ARGV[1] then redis.call('del', KEYS[1]) end return 1"


def connect(url: str) -> Redis:
    """A client that gives up soon; nothing is sent before its first use."""
    from redis.asyncio import Redis

    return Redis.from_pool(connection_pool(url, MAX_CONNECTIONS))


class RedisGrants:
    """The grant of one avatar in Redis, with a lock for its renewal.

    When Redis cannot be reached every process logs in for itself.

    Args:
        client: the Redis client; it stays open.
        avatar: whose grant it is.
        sealer: encrypts the grant in Redis; `None` stores it as it is.
        lock_seconds: the longest that one renewal may take.
        on_fallback: is called with `True` when Redis becomes unavailable, and with `False` when it
            is available again.
    """

    def __init__(
        self,
        client: Redis,
        avatar: AvatarSettings,
        sealer: Sealer | None,
        lock_seconds: float,
        on_fallback: Callable[[bool], None] = lambda _: None,
    ) -> None:
        self._client = client
        self._sealer = sealer
        self._key = _key(avatar)
        self._lock_key = f"{self._key}:lock"
        self._lock_ms = int(lock_seconds * 1000)
        self._on_fallback = on_fallback
        self._away = False
        self._unlock = client.register_script(_UNLOCK)
        self._log = structlog.get_logger("service")

    async def renew(
        self, wanted: Callable[[HeldGrant], bool], log_in: Callable[[], Awaitable[HeldGrant]]
    ) -> HeldGrant:
        """The stored grant when it is wanted; else log in, while other processes wait for it.

        Raises:
            UpstreamError: as `log_in` does.
        """
        ours = secrets.token_hex(8)
        deadline = time.monotonic() + self._lock_ms / 1000
        try:
            found = await self._wait_for(wanted, ours, deadline)
        except Exception as error:  # noqa: BLE001 - whatever it is, the visitor gets an answer
            self._report(away=True, error=error)
            return await log_in()
        self._report(away=False)
        if found is not None:
            return found
        try:
            held = await log_in()
            with suppress(Exception):
                await self._store(held)
        finally:
            with suppress(Exception):
                await self._unlock([self._lock_key], [ours])
        return held

    async def _wait_for(
        self, wanted: Callable[[HeldGrant], bool], ours: str, deadline: float
    ) -> HeldGrant | None:
        """A grant that is wanted, or `None` once it is our turn to log in."""
        locked = False
        while True:
            found = await self._load()
            if found is not None and wanted(found):
                if locked:
                    await self._unlock([self._lock_key], [ours])
                return found
            if locked:
                return None
            # Once locked, look again: the one before may have stored a grant in between.
            locked = bool(await self._client.set(self._lock_key, ours, nx=True, px=self._lock_ms))
            if not locked:
                if time.monotonic() > deadline:
                    return None
                await asyncio.sleep(POLL_SECONDS * random.uniform(0.5, 1.5))  # noqa: S311

    async def _load(self) -> HeldGrant | None:
        async with self._client.pipeline(transaction=True) as pipeline:
            pipeline.get(self._key)
            pipeline.pttl(self._key)
            stored, left_ms = await pipeline.execute()
        if stored is None:
            return None
        try:
            text = stored.decode("utf-8")
            if self._sealer is not None:
                text = self._sealer.open(text, self._key)
            return _unpack(text, left_ms / 1000)
        except (ValueError, TypeError, KeyError, AttributeError, OverflowError, ServiceError):
            # Sealed with a key that is gone, or not in this format: the same as absent.
            return None

    async def _store(self, held: HeldGrant) -> None:
        text = _pack(held)
        if self._sealer is not None:
            text = self._sealer.seal(text, self._key)
        left_ms = int(held.left(time.monotonic()) * 1000)
        if left_ms > 0:
            await self._client.set(self._key, text, px=left_ms)

    def _report(self, *, away: bool, error: BaseException | None = None) -> None:
        if away == self._away:
            return
        self._away = away
        self._on_fallback(away)
        if away:
            self._log.warning(
                "redis_unavailable", part="shared grants", exception=type(error).__name__
            )
        else:
            self._log.warning("redis_available", part="shared grants")


def _pack(held: HeldGrant) -> str:
    """A grant in the format that `FORMAT` numbers."""
    grant = held.grant
    return json.dumps(
        {
            "format": FORMAT,
            "access_token": grant.access_token,
            "refresh_token": grant.refresh_token,
            "parameters": grant.avatar_parameters,
            "token_type": grant.token_type,
            "expires_in": grant.expires_in,
            "life": held.life,
            "expires": time.time() + held.left(time.monotonic()),
        }
    )


def _unpack(text: str, left: float) -> HeldGrant:
    """The grant in a text of `_pack`.

    Args:
        text: from Redis.
        left: seconds until Redis drops it.

    Raises:
        ValueError: the text is in another format. A text that only claims to be in this one may
            raise `KeyError` or `TypeError` as well.
    """
    content: Any = parse_json(text.encode("utf-8"))
    if content["format"] != FORMAT:
        raise ValueError
    life = float(content["life"])
    # Redis' own clock measures what is left, so that the clocks of processes may differ; but a
    # value that somebody restored must not live again.
    rest = float(content["expires"]) + CLOCK_SKEW_SECONDS - time.time()
    grant = Grant(
        access_token=_checked(content["access_token"], str),
        refresh_token=_checked(content["refresh_token"], str),
        avatar_parameters=_checked(content["parameters"], dict),
        token_type=_checked(content["token_type"], str, type(None)),
        expires_in=_checked(content["expires_in"], int, float, type(None)),
    )
    return HeldGrant(grant, time.monotonic() + min(left, life, rest) - life, life)


def _checked(value: Any, *types: type) -> Any:  # noqa: ANN401 - whatever was stored
    if not isinstance(value, types):
        raise TypeError
    return value


def _key(avatar: AvatarSettings) -> str:
    """A name that changes with everything that a grant depends on, and reveals nothing of the key.

    It holds the format, so that releases with different ones can share a Redis during an update.
    """
    parts = json.dumps([avatar.login_url, avatar.avatar_id, avatar.name]).encode("ascii")
    secret = hashlib.blake2b(avatar.api_key.encode("ascii")).digest()
    return (
        f"sentifyd:grant:{FORMAT}:{hashlib.blake2b(parts, key=secret, digest_size=16).hexdigest()}"
    )
