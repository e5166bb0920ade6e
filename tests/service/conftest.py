from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest
import requests

from edge_service.app import create_app
from edge_service.sandbox.app import Sandbox, create_sandbox
from edge_service.settings import Settings
from tests.support.servers import serving

KEY = "canary-key-7f3a91"
ORIGIN = "https://docs.example.com"


class Service:
    """A running token service, asked as a browser on an allowed page would ask."""

    def __init__(self, base: str) -> None:
        self.base = base
        self.url = f"{base}/request_tokens"

    def get(
        self, query: str = "", *, origin: str | None = ORIGIN, **headers: str
    ) -> requests.Response:
        return self.call("GET", query, origin=origin, headers=headers)

    def call(
        self,
        method: str,
        query: str = "",
        *,
        origin: str | None = ORIGIN,
        headers: dict[str, str] | None = None,
        **kwargs: object,
    ) -> requests.Response:
        sent = {name.replace("_", "-"): value for name, value in (headers or {}).items()}
        if origin is not None:
            sent["Origin"] = origin
        return requests.request(
            method,
            self.url + query,
            headers=sent,
            timeout=20,
            **kwargs,  # type: ignore[arg-type]
        )


@pytest.fixture
def sandbox() -> Sandbox:
    return Sandbox(KEY)


@pytest.fixture
def sandbox_url(sandbox: Sandbox) -> Iterator[str]:
    with serving(create_sandbox(sandbox)) as url:
        yield url


StartService = Callable[..., Service]


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
