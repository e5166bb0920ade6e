"""Several avatars in a file, and an upstream that distinguishes them."""

from __future__ import annotations

import asyncio
import hashlib
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import requests
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from tests.support.waiting import TIMEOUT

DOCS, SHOP = "canary-key-docs", "canary-key-shop"
SHOP_ORIGIN = "https://shop.example.com"


class Upstream:
    """Accepts any key and records all logins; its tokens begin with their key's owner."""

    def __init__(self) -> None:
        self.bodies: list[dict[str, str]] = []
        self.held = 0
        self.url = ""
        self._gates: dict[str, tuple[threading.Event, threading.Event]] = {}

    @property
    def keys(self) -> list[str]:
        return [body["avatar_api_key"] for body in self.bodies]

    def app(self) -> Starlette:
        return Starlette(routes=[Route("/{path:path}", self._login, methods=["POST"])])

    @contextmanager
    def holding(self, key: str) -> Iterator[threading.Event]:
        """Delay logins with this key until the block ends; the event is set when one arrives."""
        arrived, release = self._gates[key] = threading.Event(), threading.Event()
        try:
            yield arrived
        finally:
            del self._gates[key]
            release.set()

    async def _login(self, request: Request) -> Response:
        body = await request.json()
        key = body["avatar_api_key"]
        self.bodies.append(body)
        number = len(self.bodies)
        if key in self._gates:
            arrived, release = self._gates[key]
            self.held += 1
            arrived.set()
            await asyncio.to_thread(release.wait, TIMEOUT)
            self.held -= 1
        tokens = {"access_token": f"{whose(key)}-{number}", "refresh_token": f"r-{number}"}
        return JSONResponse({"data": {**tokens, "avatar_params": {}}})


def whose(key: str) -> str:
    """The prefix of a key's tokens: a digest, because the service would mask the key itself."""
    return hashlib.sha256(key.encode()).hexdigest()[:12]


def owner(response: requests.Response) -> str:
    assert response.status_code == 200, response.text
    token: str = response.json()["tokens"]["accessToken"]
    return token.partition("-")[0]


def write_avatars(folder: Path, content: str) -> Path:
    path = folder / "avatars.toml"
    path.write_text(content, encoding="utf-8")
    return path


def avatar(name: object, key: object, /, **fields: object) -> str:
    """A table of the avatars file; JSON strings and lists are also valid TOML."""
    entries = {"id": name, "key": key, **fields}
    lines = [f"{field} = {json.dumps(value)}" for field, value in entries.items() if value != ""]
    return "\n".join(["[[avatars]]", *lines, ""])


def allowed(response: requests.Response) -> str | None:
    return response.headers.get("Access-Control-Allow-Origin")
