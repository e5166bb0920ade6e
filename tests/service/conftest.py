from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from edge_service.app import create_app
from edge_service.sandbox.app import Sandbox, create_sandbox
from edge_service.settings import Settings
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
