"""Shared grants in Redis, so that one process logs in for all replicas."""

from __future__ import annotations

import asyncio
import json
import random
import secrets
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any

from edge_service.errors import ServiceError
from edge_service.redis_client import AnyRedis, RedisUnavailable, Script, SharedRedis
from edge_service.sealing import Sealer
from edge_service.settings import AvatarSettings
from edge_service.strict_json import parse_json
from edge_service.upstream.grant import Grant, HeldGrant

__all__ = ["RedisGrants"]

POLL_SECONDS = 0.05
REPLICA_CLOCK_SKEW_SECONDS = 5.0
# Increase it with every change of the stored format; grants in another format are ignored.
FORMAT = 3
# Both at once: in between, a grant could expire or be replaced.
_LOAD = Script("return {redis.call('get', KEYS[1]), redis.call('pttl', KEYS[1])}")
_UNLOCK = Script(
    "if redis.call('get', KEYS[1]) == ARGV[1] then redis.call('del', KEYS[1]) end return 1"
)


class RedisGrants:
    """The grant of one avatar in Redis, with a lock for its renewal.

    While Redis is unavailable, each process logs in on its own.

    Args:
        redis: where the grant is; the caller closes it.
        avatar: the avatar of the grant.
        sealer: encrypts the grant in Redis; `None` stores it unencrypted.
        lock_seconds: maximum duration of one renewal, in seconds.
    """

    def __init__(
        self,
        redis: SharedRedis,
        avatar: AvatarSettings,
        sealer: Sealer | None,
        lock_seconds: float,
    ) -> None:
        self._redis = redis
        self._sealer = sealer
        self._key = _key(avatar)
        self._lock_key = f"{self._key}:lock"
        self._lock_ms = int(lock_seconds * 1000)

    async def renew(
        self, wanted: Callable[[HeldGrant], bool], log_in: Callable[[], Awaitable[HeldGrant]]
    ) -> HeldGrant:
        """The stored grant if it is wanted; otherwise log in, while other processes wait.

        Args:
            wanted: whether a stored grant can be used.
            log_in: fetches a new grant.

        Raises:
            UpstreamError: raised by `log_in`.
        """
        ours = secrets.token_hex(8)
        deadline = time.monotonic() + self._lock_ms / 1000
        try:
            found = await self._wait_for(wanted, ours, deadline)
        except RedisUnavailable:
            return await log_in()
        if found is not None:
            return found
        try:
            held = await log_in()
            with suppress(RedisUnavailable):
                await self._store(held)
        finally:
            with suppress(RedisUnavailable):
                await self._unlock(ours)
        return held

    async def _wait_for(
        self, wanted: Callable[[HeldGrant], bool], ours: str, deadline: float
    ) -> HeldGrant | None:
        """A stored grant that is wanted, or `None` when this process has to log in."""
        locked = False
        while True:
            found = await self._load()
            if found is not None and wanted(found):
                if locked:
                    await self._unlock(ours)
                return found
            if locked:
                return None
            # Look again after locking, because the previous owner may have stored a grant.
            locked = await self._lock(ours)
            if not locked:
                if time.monotonic() > deadline:
                    return None
                await asyncio.sleep(POLL_SECONDS * random.uniform(0.5, 1.5))  # noqa: S311

    async def _load(self) -> HeldGrant | None:
        async def load(client: AnyRedis) -> tuple[bytes | None, float]:
            from redis.exceptions import ResponseError

            try:
                # Converted here, because a strange answer means that Redis is not usable.
                stored, left_ms = await _LOAD(client, [self._key])
                return (None if stored is None else bytes(stored), left_ms / 1000)
            except ResponseError as error:
                # Another program's key says nothing about Redis; the next grant replaces it.
                if "WRONGTYPE" not in str(error):
                    raise
                return None, 0.0

        stored, left = await self._redis.run(load, self._key)
        if stored is None:
            return None
        try:
            text = stored.decode("utf-8")
            if self._sealer is not None:
                text = self._sealer.open(text, self._key)
            return _unpack(text, left)
        except (ValueError, TypeError, KeyError, AttributeError, OverflowError, ServiceError):
            # Sealed with a removed key, or in another format: treat it as missing.
            return None

    async def _store(self, held: HeldGrant) -> None:
        text = _pack(held)
        if self._sealer is not None:
            text = self._sealer.seal(text, self._key)
        left_ms = int(held.left(time.monotonic()) * 1000)
        if left_ms > 0:
            await self._redis.run(lambda client: client.set(self._key, text, px=left_ms), self._key)

    async def _lock(self, ours: str) -> bool:
        return bool(
            await self._redis.run(
                lambda client: client.set(self._lock_key, ours, nx=True, px=self._lock_ms),
                self._lock_key,
            )
        )

    async def _unlock(self, ours: str) -> None:
        await self._redis.run(
            lambda client: _UNLOCK(client, [self._lock_key], [ours]), self._lock_key
        )


def _pack(held: HeldGrant) -> str:
    """Serialize a grant in the current `FORMAT`."""
    grant = held.grant
    return json.dumps(
        {
            "format": FORMAT,
            "access_token": grant.access_token,
            "refresh_token": grant.refresh_token,
            "parameters": grant.avatar_parameters,
            "token_type": grant.token_type,
            "expires_in": grant.expires_in,
            "is_complete": grant.is_complete,
            "life": held.life,
            "expires": time.time() + held.left(time.monotonic()),
        }
    )


def _unpack(text: str, left: float) -> HeldGrant:
    """Parse a text from `_pack`.

    Args:
        text: from Redis.
        left: seconds until Redis deletes it.

    Raises:
        ValueError: the text is in another format. A malformed text may also raise `KeyError` or
            `TypeError`.
    """
    content: Any = parse_json(text.encode("utf-8"))
    if content["format"] != FORMAT:
        raise ValueError
    life = float(content["life"])
    # `left` comes from Redis' clock, because clocks of replicas differ. The stored time only stops
    # expired grants that were restored from a backup.
    rest = float(content["expires"]) + REPLICA_CLOCK_SKEW_SECONDS - time.time()
    grant = Grant(
        access_token=_checked(content["access_token"], str),
        refresh_token=_checked(content["refresh_token"], str),
        avatar_parameters=_checked(content["parameters"], dict),
        token_type=_checked(content["token_type"], str, type(None)),
        expires_in=_checked(content["expires_in"], int, float, type(None)),
        is_complete=_checked(content["is_complete"], bool),
    )
    return HeldGrant(grant, time.monotonic() + min(left, life, rest) - life, life)


def _checked(value: Any, *types: type) -> Any:  # noqa: ANN401 - any JSON value
    if not isinstance(value, types):
        raise TypeError
    return value


def _key(avatar: AvatarSettings) -> str:
    """The Redis key of an avatar's grant.

    It contains the format, so that different releases can share a Redis during an update.
    """
    return f"sentifyd:grant:{FORMAT}:{avatar.digest}"
