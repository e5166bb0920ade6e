"""An upstream in memory, and the grants that policies make from its answers."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from itertools import pairwise

from edge_service.errors import UpstreamRejected
from edge_service.issuing.policy import GrantRequest, Policy
from edge_service.upstream.grant import Grant
from edge_service.upstream.pause import LoginPause
from tests.support.clocks import now

FIRST = GrantRequest()


class FakeUpstream:
    """Each login takes `seconds` and returns a new grant, unless there is a `failure`.

    A refusal starts a pause. `begun` has the time of each login, `born` that of each access token.
    """

    def __init__(self, seconds: float = 0.0, expires_in: float | None = 100.0) -> None:
        self.seconds = seconds
        self.expires_in = expires_in
        self.is_complete = True
        self.is_ample = True
        self.failure: Exception | None = None
        self.begun: list[float] = []
        self.born: dict[str, float] = {}
        self.in_progress = 0
        self.most_in_progress = 0
        self._pause = LoginPause(clock=now)

    @property
    def logins(self) -> int:
        return len(self.begun)

    def gaps(self) -> list[float]:
        return [after - before for before, after in pairwise(self.begun)]

    def check(self) -> None:
        self._pause.check()

    async def may_log_in_ahead(self) -> bool:
        return self.is_ample

    async def login(self) -> Grant:
        return await self._pause.run(self._login)

    async def _login(self) -> Grant:
        self.begun.append(now())
        number = self.logins
        failure = self.failure
        self.in_progress += 1
        self.most_in_progress = max(self.most_in_progress, self.in_progress)
        try:
            await asyncio.sleep(self.seconds)
        finally:
            self.in_progress -= 1
        if failure is not None:
            raise failure
        self.born[f"access-{number}"] = now()
        return replace(grant(number, self.expires_in), is_complete=self.is_complete)

    def age(self, issued: Grant) -> float:
        return now() - self.born[issued.access_token]


def grant(number: int = 1, expires_in: float | None = 100.0) -> Grant:
    return Grant(
        access_token=f"access-{number}",
        refresh_token=f"refresh-{number}",
        avatar_parameters={"voice": "x"},
        expires_in=expires_in,
    )


def refresh(issued: Grant) -> GrantRequest:
    return GrantRequest(issued.refresh_token)


@asynccontextmanager
async def started(issuer: Policy, upstream: FakeUpstream) -> AsyncIterator[None]:
    """Start the issuer, close it after the block, and check that no task is left."""
    issuer.start()
    try:
        yield
    finally:
        others = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
        await issuer.close()
    assert upstream.in_progress == 0
    assert all(task.done() for task in others)
    assert asyncio.all_tasks() == {asyncio.current_task()}


def rejected(status: int, retry_after: str | None = None) -> UpstreamRejected:
    return UpstreamRejected(status, None, retry_after)
