"""The vendor's own component as `make test` builds it, and a stand-in for its backend."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

from starlette.applications import Starlette
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Mount, Route, WebSocketRoute
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp
from starlette.websockets import WebSocket, WebSocketDisconnect

from tests.support import missing

# Engine.IO 4 and Socket.IO 5: a type as a digit, then JSON. No ping comes while a test runs.
_HANDSHAKE = (
    '0{"sid":"one","upgrades":[],"pingInterval":600000,"pingTimeout":600000,"maxPayload":1000000}'
)
_CONNECT, _CONNECTED = "40", '40{"sid":"two"}'


def built_component(root: Path) -> Path:
    """The folder with the built component; skips the test if there is none."""
    folder = root / ".venvs/component"
    if not (folder / ".installed").exists():
        missing.skip("no vendor's component: run 'make .venvs/component/.installed'")
    return folder / "dist"


class Backend:
    """Accepts every token, and serves the component's files.

    Attributes:
        authorizations: the header `Authorization` of every call.
        connects: what each socket sent to connect.
    """

    def __init__(self, files: Path) -> None:
        self.authorizations: list[str | None] = []
        self.connects: list[str] = []
        self._files = files

    def app(self) -> ASGIApp:
        routes = [
            Route("/api/v1/chatbot/get-avatar-params", self._parameters, methods=["POST"]),
            WebSocketRoute("/socket.io/", self._talk),
            Mount("/", StaticFiles(directory=self._files)),
        ]
        return CORSMiddleware(
            Starlette(routes=routes), allow_origins=["*"], allow_headers=["authorization"]
        )

    async def _parameters(self, request: Request) -> JSONResponse:
        self.authorizations.append(request.headers.get("Authorization"))
        return JSONResponse({})

    async def _talk(self, socket: WebSocket) -> None:
        await socket.accept()
        await socket.send_text(_HANDSHAKE)
        with suppress(WebSocketDisconnect):
            while True:
                packet = await socket.receive_text()
                if packet.startswith(_CONNECT):
                    self.connects.append(packet)
                    await socket.send_text(_CONNECTED)
