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

DOCS, SHOP = "canary-key-docs", "canary-key-shop"
SHOP_ORIGIN = "https://shop.example.com"
PATIENCE = 20


class Upstream:
    """Takes any key and remembers all logins; its tokens tell whose they are."""

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
        """Hold logins with this key until the block ends; the event is set once one has arrived."""
        arrived, leave = self._gates[key] = threading.Event(), threading.Event()
        try:
            yield arrived
        finally:
            del self._gates[key]
            leave.set()

    async def _login(self, request: Request) -> Response:
        body = await request.json()
        key = body["avatar_api_key"]
        self.bodies.append(body)
        number = len(self.bodies)
        if key in self._gates:
            arrived, leave = self._gates[key]
            self.held += 1
            arrived.set()
            await asyncio.to_thread(leave.wait, PATIENCE)
            self.held -= 1
        tokens = {"access_token": f"{whose(key)}-{number}", "refresh_token": f"r-{number}"}
        return JSONResponse({"data": {**tokens, "avatar_params": {}}})


def whose(key: str) -> str:
    """What the tokens of a key begin with; not the key itself, which the service would mask."""
    return hashlib.sha256(key.encode()).hexdigest()[:12]


def owner(response: requests.Response) -> str:
    assert response.status_code == 200, response.text
    token: str = response.json()["tokens"]["accessToken"]
    return token.partition("-")[0]


def written(folder: Path, content: str) -> Path:
    path = folder / "avatars.toml"
    path.write_text(content, encoding="utf-8")
    return path


def avatar(name: object, key: object, /, **fields: object) -> str:
    """A table of the file; JSON's texts and lists are TOML's too."""
    entries = {"id": name, "key": key, **fields}
    lines = [f"{field} = {json.dumps(value)}" for field, value in entries.items() if value != ""]
    return "\n".join(["[[avatars]]", *lines, ""])


def allowed(response: requests.Response) -> str | None:
    return response.headers.get("Access-Control-Allow-Origin")
