"""The behaviour that all policies share."""

from __future__ import annotations

import socket
import time

import pytest

from edge_service.errors import UpstreamRejected
from edge_service.issuing.direct import Direct
from edge_service.issuing.policy import GrantRequest
from edge_service.sandbox.app import Sandbox
from edge_service.sandbox.faults import Fault
from edge_service.upstream.grant import Grant, HeldGrant, life_of
from tests.support.clocks import in_virtual_time
from tests.support.grants import FIRST, FakeUpstream, grant, refresh, rejected, started
from tests.support.servers import RawUpstream
from tests.support.service import (
    StartService,
    assert_error,
    jwt,
)


def test_direct_logs_in_once_for_each_request_and_refresh() -> None:
    async def visit() -> None:
        upstream = FakeUpstream()
        issuer = Direct(upstream)
        assert issuer.ready
        async with started(issuer, upstream):
            first = await issuer.issue(FIRST)
            second = await issuer.issue(refresh(first))
            upstream.failure = rejected(401)
            with pytest.raises(UpstreamRejected):
                await issuer.issue(FIRST)
        assert [first.access_token, second.access_token] == ["access-1", "access-2"]
        assert upstream.logins == 3

    in_virtual_time(visit())


def test_repr_of_a_request_contains_no_token() -> None:
    assert "canary" not in repr(GrantRequest("canary"))


@pytest.mark.parametrize("policy", ["direct", "pool", "shared"])
@pytest.mark.parametrize("status", [401, 429, 500, 503])
def test_error_response_of_upstream_is_not_retried(
    start_service: StartService,
    sandbox: Sandbox,
    sandbox_url: str,
    monkeypatch: pytest.MonkeyPatch,
    policy: str,
    status: int,
) -> None:
    monkeypatch.setattr("edge_service.issuing.pool.Pool.start", lambda _: None)
    sandbox.fault = Fault("status", status=status)
    service = start_service(sandbox_url, TOKEN_POLICY=policy)

    assert_error(service.get(), status, "upstream_rejected")
    assert sandbox.logins == 1


def test_login_that_times_out_is_not_retried(start_service: StartService) -> None:
    def hang(_: socket.socket) -> None:
        upstream.over.wait(20)

    with RawUpstream(hang) as upstream:
        service = start_service(upstream.url, UPSTREAM_TIMEOUT="0.3")
        assert_error(service.get(), 504, "upstream_timeout")
        assert len(upstream.received) == 1


def token_of(access: str, expires_in: float | None = None) -> Grant:
    return Grant(
        access_token=access, refresh_token="r", avatar_parameters={}, expires_in=expires_in
    )


@pytest.mark.parametrize(
    ("issued", "life"),
    [
        (token_of(jwt({"iat": 1000, "exp": 1300}), 60), 60),
        (token_of("opaque", 60.5), 60.5),
        (token_of("opaque", 10**400), 86_400),
        (token_of(jwt({"iat": 1000, "exp": 1300})), 300),
        (token_of(jwt({"iat": 1000.5, "exp": 1300})), 299.5),
        (token_of(jwt({"iat": 0, "exp": 10**12})), 86_400),
        (token_of(jwt({"iat": 1, "exp": 10**400})), 86_400),
        (token_of(jwt({"iat": 1.5, "exp": 10**400})), 55),
        (token_of(jwt({"exp": 10**400})), 55),
        (token_of(jwt({"iat": 1300, "exp": 1000})), 55),
        (token_of(jwt({"iat": "1000", "exp": 1300})), 55),
        (token_of(jwt({"iat": 1000})), 55),
        (token_of(jwt({"exp": 1000})), 55),
        (token_of(jwt({"exp": None})), 55),
        (token_of(jwt([1000])), 55),
        (token_of(jwt(b"\xff")), 55),
        (token_of(jwt(b'{"exp": NaN}')), 55),
        (token_of(jwt(b"[" * 100_000)), 55),
        (token_of("opaque"), 55),
        (token_of("a.b"), 55),
        (token_of("a.b.c.d"), 55),
        (token_of("a.\ud800.c"), 55),
        (token_of("a..c"), 55),
    ],
    ids=range(23),
)
def test_lifetime_of_a_token_is_computed(issued: Grant, life: float) -> None:
    assert life_of(issued) == life


def test_lifetime_of_a_token_without_iat_starts_now() -> None:
    assert life_of(token_of(jwt({"exp": time.time() + 300}))) == pytest.approx(300, abs=5)


@pytest.mark.parametrize(
    ("begun", "ends", "life"),
    [
        # Upstream has cached it, so only the rest of its lifetime remains.
        (-3600, 60, 60),
        (-200, 100, 100),
        (-3600, 1.5, 1.5),
        (-30 * 86_400, 3600, 3600),
        (-30 * 86_400, 30 * 86_400, 86_400),
        # New, with clocks that differ by a little or by a lot.
        (0, 300, 300),
        (-30, 270, 300),
        (30, 330, 300),
        (-(10**6), 300 - 10**6, 300),
        (-400, -100, 300),
        (10**6, 300 + 10**6, 300),
        (0, 30, 30),
        (-20, 20, 40),
    ],
)
def test_lifetime_of_a_token_allows_for_clock_differences(
    begun: float, ends: float, life: float
) -> None:
    now = time.time()
    issued = token_of(jwt({"iat": now + begun, "exp": now + ends}))

    assert life_of(issued) == pytest.approx(life, abs=5 if life > 10 else 2)


@pytest.mark.parametrize(
    ("expires_in", "later", "reported"),
    [(100, 0, 100), (100, 0.5, 99), (100, 60, 40), (100, 99.9, 1), (None, 60, None)],
)
def test_remaining_lifetime_is_reported(
    expires_in: float | None, later: float, reported: int | None
) -> None:
    held = HeldGrant.fresh(grant(1, expires_in), 5000.0)

    shown = held.at(5000.0 + later)

    assert shown.expires_in == reported
    assert shown.access_token == "access-1"
