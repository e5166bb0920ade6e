"""A circuit breaker, which stops logins for some seconds while Sentifyd keeps failing."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from typing import ClassVar, Literal, TypeVar, get_args

from edge_service.errors import (
    BudgetSpent,
    BudgetUnavailable,
    CircuitOpen,
    UpstreamBusy,
    UpstreamError,
    UpstreamPaused,
    UpstreamRejected,
    UpstreamTooSlow,
    UpstreamUnreachable,
)

__all__ = ["CircuitBreaker", "CircuitState"]

T = TypeVar("T")

CircuitState = Literal["closed", "half-open", "open"]
FAILURES = 5
OPEN_SECONDS = 5.0
PROBE_SECONDS = 1.0
# They say nothing about Sentifyd.
_NOT_SENT = (BudgetSpent, BudgetUnavailable, CircuitOpen, UpstreamBusy, UpstreamPaused)


class CircuitBreaker:
    """Opens after five failures in a row, and lets one call probe five seconds later.

    Failures are: no connection, no answer in time, and status 5xx. A 4xx is not a failure, because
    Sentifyd did answer. A saturated service is not one either, because nothing was sent.

    Args:
        on_change: called with each new state.
        clock: monotonic clock, in seconds.

    Attributes:
        states: all possible states.
    """

    states: ClassVar[tuple[CircuitState, ...]] = get_args(CircuitState)

    def __init__(
        self,
        on_change: Callable[[CircuitState], None] = lambda _: None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._state: CircuitState = "closed"
        self._on_change = on_change
        self._clock = clock
        self._failures = 0
        self._opened = 0.0
        self._generation = 0
        self._probing = False

    @property
    def state(self) -> CircuitState:
        """The state that the next call will find."""
        if self._state == "open" and self._remaining() <= 0:
            return "half-open"
        return self._state

    def check(self) -> None:
        """Check whether a call may begin.

        Raises:
            CircuitOpen: not now.
        """
        if self._state == "open" and (wait := self._remaining()) > 0:
            raise CircuitOpen(wait)
        if self._probing:
            raise CircuitOpen(PROBE_SECONDS)

    async def run(self, call: Callable[[], Awaitable[T]]) -> T:
        """Make a call to upstream, unless the circuit is open.

        Raises:
            CircuitOpen: the circuit is open, so the call was not made.
            UpstreamError: raised by the call.
        """
        generation = self._enter()
        failed: bool | None = None
        try:
            result = await call()
        except UpstreamError as error:
            failed = _is_failure(error)
            raise
        else:
            failed = False
            return result
        finally:
            # Also after a cancellation: a probe without a result would keep the circuit open.
            self._leave(generation, failed)

    def _enter(self) -> int:
        self.check()
        if self._state == "open":
            self._become("half-open")
        self._probing = self._state == "half-open"
        return self._generation

    def _remaining(self) -> float:
        return self._opened + OPEN_SECONDS - self._clock()

    def _leave(self, generation: int, failed: bool | None) -> None:
        if generation != self._generation:
            # The call began in an earlier state, so its result is outdated.
            return
        self._probing = False
        if failed is None:
            return
        if not failed:
            self._failures = 0
            if self._state != "closed":
                self._become("closed")
            return
        self._failures += 1
        if self._state == "half-open" or self._failures >= FAILURES:
            self._opened = self._clock()
            self._become("open")

    def _become(self, state: CircuitState) -> None:
        self._state = state
        self._generation += 1
        self._failures = 0
        self._probing = False
        self._on_change(state)


def _is_failure(error: UpstreamError) -> bool | None:
    if isinstance(error, UpstreamRejected):
        return error.status >= 500
    if isinstance(error, (UpstreamUnreachable, UpstreamTooSlow)):
        return True
    return None if isinstance(error, _NOT_SENT) else False
