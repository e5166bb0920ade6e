"""The pause that Sentifyd asks for when it refuses an avatar's login."""

from __future__ import annotations

import math
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

from edge_service.errors import UpstreamPaused, UpstreamRejected

__all__ = ["LoginPause"]

T = TypeVar("T")

DEFAULT_SECONDS = 5.0
PROBE_SECONDS = 1.0
MAX_SECONDS = 3600.0
# Servers announce maintenance with round numbers, and are often available again much earlier.
MAX_MAINTENANCE_SECONDS = 60.0


class LoginPause:
    """Makes no login until the `Retry-After` of a refusal has passed (RFC 9110, section 10.2.3).

    A 429 starts a pause of at most an hour; of five seconds if its `Retry-After` is missing,
    invalid or past. A 503 starts one of at most a minute, and only with `Retry-After`; without, it
    is a failure like others, for the circuit breaker.

    After the pause, one login tests whether Sentifyd accepts logins again, and the others wait for
    its result. If it is refused too, the next pause lasts at least five seconds. However many
    visitors ask, a Sentifyd that keeps refusing gets at most twelve logins a minute.

    Args:
        on_start: called with the refusal and the seconds of each new pause.
        clock: monotonic clock, in seconds.
    """

    def __init__(
        self,
        on_start: Callable[[UpstreamRejected, float], None] = lambda *_: None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._on_start = on_start
        self._clock = clock
        self._until = -math.inf
        self._untested = False
        self._probing = False

    def check(self) -> None:
        """Check whether a login may begin.

        Raises:
            UpstreamPaused: not now.
        """
        self.check_again()
        if self._probing:
            raise UpstreamPaused(PROBE_SECONDS)

    def check_again(self) -> None:
        """Check whether a login that has begun may still be sent.

        Raises:
            UpstreamPaused: a pause has started in the meantime.
        """
        if (left := self._until - self._clock()) > 0:
            raise UpstreamPaused(left)

    async def run(self, call: Callable[[], Awaitable[T]]) -> T:
        """Log in, unless there is a pause.

        Raises:
            UpstreamPaused: there is one, so the call was not made.
            UpstreamError: raised by the call.
        """
        self.check()
        is_probe = self._probing = self._untested
        try:
            result = await call()
        except UpstreamRejected as error:
            if (seconds := _seconds(error)) > 0:
                self._start(error, max(seconds, DEFAULT_SECONDS if is_probe else 0))
            elif is_probe:
                self._untested = False
            raise
        else:
            if is_probe:
                self._untested = False
            return result
        finally:
            # Also after a cancellation: a probe without a result would keep the others waiting.
            if is_probe:
                self._probing = False

    def _start(self, error: UpstreamRejected, seconds: float) -> None:
        now = self._clock()
        # Concurrent logins are usually refused together, which is one pause.
        if now >= self._until:
            self._on_start(error, seconds)
        self._until = max(self._until, now + seconds)
        self._untested = True


def _seconds(error: UpstreamRejected) -> float:
    if error.status == 429:
        return min(error.retry_after or DEFAULT_SECONDS, MAX_SECONDS)
    return min(error.retry_after, MAX_MAINTENANCE_SECONDS) if error.status == 503 else 0
