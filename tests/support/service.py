"""A running token service, and helpers for requests to it."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import requests

from tests.support.processes import Command
from tests.support.settings import ORIGIN
from tests.support.waiting import TIMEOUT


class Service:
    """A running token service, called like a browser on an allowed page calls it."""

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
            timeout=TIMEOUT,
            **kwargs,  # type: ignore[arg-type]
        )


class Running(Service):
    """A token service in its own process."""

    def __init__(self, command: Command) -> None:
        self.command = command
        self.port = command.port()
        super().__init__(f"http://127.0.0.1:{self.port}")

    @property
    def pid(self) -> int:
        return self.command.pid


StartService = Callable[..., Service]


def assert_error(response: requests.Response, status: int, code: str, error: str = "") -> None:
    assert response.status_code == status
    assert response.headers["Content-Type"] == "application/json"
    body = response.json()
    assert body["code"] == code
    assert body["error"]
    if error:
        assert body["error"] == error
    assert response.headers["Cache-Control"] == "no-store"
    assert response.headers["Vary"] == "Origin"


def is_ready(service: Service) -> bool:
    return requests.get(f"{service.base}/readyz", timeout=TIMEOUT).status_code == 200


def metric(service: Service, line: str) -> float:
    page = requests.get(f"{service.base}/metrics", timeout=TIMEOUT).text
    found = [text for text in page.splitlines() if text.startswith(line)]
    assert len(found) == 1, page
    return float(found[0].split()[-1])


def access_token(service: Service, **kwargs: object) -> str:
    response = service.call("POST", **kwargs)  # type: ignore[arg-type]
    assert response.status_code == 200, response.text
    token: str = response.json()["tokens"]["accessToken"]
    return token


def crowd_of(service: Service, visitors: int) -> list[str]:
    """The access tokens of visitors who come at the same time."""
    with ThreadPoolExecutor(visitors) as pool:
        return list(pool.map(lambda _: access_token(service), range(visitors)))


def claims_of(token: str) -> dict[str, Any]:
    part = token.split(".")[1]
    claims: dict[str, Any] = json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))
    return claims


def jwt(claims: object) -> str:
    text = claims if isinstance(claims, bytes) else json.dumps(claims).encode()
    return f"e30.{base64.urlsafe_b64encode(text).decode().rstrip('=')}.x"
