from __future__ import annotations

import gc
import warnings
from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from edge_service.app import create_app
from edge_service.sandbox.app import Sandbox, create_sandbox
from edge_service.settings import Settings
from tests.support.servers import serving
from tests.support.service import Service, StartService
from tests.support.settings import KEY, ORIGIN


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Tests with a cluster sometimes leave a connection open; it is not known where."""
    ignored = pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning")
    for item in items:
        if isinstance(item, pytest.Function) and _uses_redis(item):
            item.add_marker(ignored)


@pytest.fixture(autouse=True)
def _forgotten_connections(request: pytest.FixtureRequest) -> Iterator[None]:
    """Collect such connections at once, so that they do not fail a later test."""
    yield
    if _uses_redis(request.node):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ResourceWarning)
            gc.collect()


def _uses_redis(item: pytest.Function) -> bool:
    return any(name in vars(item.module) for name in ("RedisServer", "RedisCluster"))


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
