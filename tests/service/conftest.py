from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from edge_service.app import create_app
from edge_service.redis_client import connections, shared
from edge_service.sandbox.app import Sandbox, create_sandbox
from edge_service.settings import Settings
from tests.support.redis import RedisServer
from tests.support.servers import serving
from tests.support.service import Service, StartService
from tests.support.settings import KEY, ORIGIN


@pytest.fixture
def sandbox() -> Sandbox:
    return Sandbox(KEY)


@pytest.fixture
def sandbox_url(sandbox: Sandbox) -> Iterator[str]:
    with serving(create_sandbox(sandbox)) as url:
        yield url


@pytest.fixture
def start_service() -> Iterator[StartService]:
    """Start a token service in front of an upstream, from environment variables."""
    with ExitStack() as stack:

        def start(upstream: str, **variables: str) -> Service:
            environ = {
                "AVATAR_API_KEY": KEY,
                "ALLOWED_ORIGINS": f"{ORIGIN},http://localhost:8000",
                "SENTIFYD_BACKEND": upstream,
                **variables,
            }
            app = create_app(Settings.from_env(environ))
            return Service(stack.enter_context(serving(app)))

        yield start


@pytest.fixture
def service(start_service: StartService, sandbox_url: str) -> Service:
    return start_service(sandbox_url)


@pytest.fixture
def redis() -> Iterator[RedisServer]:
    """A Redis that the test may stop."""
    with RedisServer() as server:
        yield server


@pytest.fixture(scope="module")
def module_redis() -> Iterator[RedisServer]:
    with RedisServer() as server:
        yield server


@pytest.fixture
def empty_redis(module_redis: RedisServer) -> RedisServer:
    """A Redis for tests that do not stop it."""
    with module_redis.client() as client:
        client.flushall()
    return module_redis


@pytest.fixture
def short_retry(monkeypatch: pytest.MonkeyPatch) -> None:
    """Retry an unavailable Redis soon."""
    monkeypatch.setattr(shared, "RETRY_SECONDS", 0.05)


@pytest.fixture
def long_timeouts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Do not mistake a busy machine for an unavailable Redis."""
    monkeypatch.setattr(connections, "STEP_SECONDS", 10)
    monkeypatch.setattr(shared, "EXCHANGE_SECONDS", 20)
