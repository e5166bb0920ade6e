"""Lua scripts that Redis keeps after their first call."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from edge_service.redis_client.connections import AnyRedis

__all__ = ["Script"]


class Script:
    """A Lua script, called by its digest.

    It does what the library's `register_script` does, but belongs to no client, and sends an
    unknown script to the one node of a cluster that needs it.

    Args:
        text: the script, in ASCII.
    """

    def __init__(self, text: str) -> None:
        self._text = text
        # Redis identifies scripts by this digest.
        self._digest = hashlib.sha1(text.encode("ascii")).hexdigest()  # noqa: S324

    async def __call__(
        self,
        client: AnyRedis,
        keys: Sequence[str | bytes],
        arguments: Sequence[str | bytes | int] = (),
    ) -> Any:  # noqa: ANN401 - whatever the script returns
        """Run the script.

        Args:
            client: where to run it.
            keys: the keys that it uses; on a cluster, all in one slot.
            arguments: its other arguments.

        Raises:
            RedisError: it failed.
        """
        from redis.exceptions import NoScriptError

        parts: Any = (len(keys), *keys, *arguments)
        try:
            return await client.evalsha(self._digest, *parts)
        except NoScriptError:
            return await client.eval(self._text, *parts)
