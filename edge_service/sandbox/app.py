"""The sandbox as an ASGI application: login calls, web component and WebSocket."""

from __future__ import annotations

import asyncio
import hmac
import json
import time
from collections.abc import Callable
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocket, WebSocketDisconnect

from edge_service.sandbox.avatar import answer, greeting
from edge_service.sandbox.conversation import Conversation
from edge_service.sandbox.faults import Fault
from edge_service.sandbox.tokens import InvalidToken, TokenMint
from edge_service.strict_json import InvalidJson, parse_json

__all__ = ["Sandbox", "create_sandbox"]

CLOSE_BAD_MESSAGE = 4400
CLOSE_TOKEN = 4401
_COMPONENT = Path(__file__).with_name("component")
_SDKS = {"sentifyd-bot": "Sentifyd", "sentifyd-realtime": "SentifydRealtime"}
_PARTS = (
    *("storage", "state", "texts", "markup", "actions", "conversation", "question", "panel"),
    *("tokens", "connection", "realtime", "element"),
)


@dataclass(slots=True)
class Sandbox:
    """State and routes of the sandbox.

    Attributes:
        api_key: the API key that its login accepts.
        token_life: lifetime of access tokens in seconds.
        fault: how logins fail at the moment; `None` if they work.
        logins: number of login calls so far, including refused ones.
    """

    api_key: str = field(repr=False)
    token_life: int = 30
    fault: Fault | None = None
    logins: int = 0
    mint: TokenMint = field(init=False, repr=False)

    def __post_init__(self) -> None:
        """Create the signing key."""
        self.mint = TokenMint(self.token_life)

    async def login(self, request: Request) -> Response:
        """`POST /api/login`: the documented call."""
        return await self._login(request, v1=False)

    async def login_v1(self, request: Request) -> Response:
        """`POST /api/v1/chatbot/login`: the hosted call, flat and in camelCase."""
        return await self._login(request, v1=True)

    async def _login(self, request: Request, *, v1: bool) -> Response:
        self.logins += 1
        try:
            body = parse_json(await request.body())
        except InvalidJson:
            return JSONResponse({"error": "malformed_request"}, 400)
        if not isinstance(body, dict) or (v1 and not isinstance(body.get("avatar_id"), str)):
            return JSONResponse({"error": "malformed_request"}, 400)
        key = body.get("avatar_api_key")
        if not isinstance(key, str) or not hmac.compare_digest(
            key.encode("utf-8", "replace"), self.api_key.encode()
        ):
            return JSONResponse({"error": "invalid_api_key"}, 401)
        answer = self._answer(str(body.get("avatar_id", "sandbox")), request, v1=v1)
        return await self.fault.instead_of(answer) if self.fault else JSONResponse(answer)

    def _answer(self, avatar: str, request: Request, *, v1: bool) -> dict[str, Any]:
        access, refresh = self.mint.access_token(avatar), self.mint.refresh_token(avatar)
        parameters = {
            "name": "Sandbox avatar",
            "language": "en",
            "voice": "none",
            "websocket": _websocket(request),
        }
        if v1:
            return {
                "accessToken": access,
                "refreshToken": refresh,
                "tokenType": "Bearer",
                "expiresIn": self.token_life,
                "avatarParameters": parameters,
            }
        tokens = {"access_token": access, "refresh_token": refresh}
        return {"data": {**tokens, "avatar_params": parameters}}

    async def talk(self, socket: WebSocket) -> None:
        """`/ws`: the first message has the access token; the connection ends when it expires."""
        conversation = Conversation(socket, greeting)
        await socket.accept()
        try:
            claims = self.mint.check_access_token(await conversation.receive_token())
            await conversation.begin(claims["sub"])
            while True:
                # The timeout covers only the wait: a received question is still answered.
                async with asyncio.timeout(claims["exp"] - time.time()):
                    text = await conversation.next_text()
                await answer(text, conversation)
        except (InvalidToken, TimeoutError):
            await socket.close(CLOSE_TOKEN, "token expired or unknown")
        except (ValueError, KeyError):
            await socket.close(CLOSE_BAD_MESSAGE, "malformed message")
        except WebSocketDisconnect:
            return

    async def control(self, request: Request) -> Response:
        """`/sandbox`: GET returns the state, PUT switches a fault on, DELETE switches it off."""
        if request.method == "PUT":
            try:
                self.fault = Fault(**await request.json())
            except (TypeError, RecursionError):
                known = ", ".join(field.name for field in fields(Fault) if field.init)
                error = f"send a JSON object with kind; the fields are {known}"
                return JSONResponse({"error": error}, 400)
            except ValueError as problem:
                return JSONResponse({"error": str(problem)}, 400)
        elif request.method == "DELETE":
            self.fault = None
        return JSONResponse(
            {"logins": self.logins, "fault": self.fault.kind if self.fault else None}
        )


def create_sandbox(sandbox: Sandbox) -> Starlette:
    """The ASGI application; serve it on a loopback address only."""
    bot, realtime = (_loader(element) for element in _SDKS)
    return Starlette(
        routes=[
            Route("/api/login", sandbox.login, methods=["POST"]),
            Route("/api/v1/chatbot/login", sandbox.login_v1, methods=["POST"]),
            Route("/sentifyd-bot/main.js", bot),
            Route("/element/bot.js", bot),
            Route("/sentifyd-realtime/v1/main.js", realtime),
            Route("/sandbox", sandbox.control, methods=["GET", "PUT", "DELETE"]),
            WebSocketRoute("/ws", sandbox.talk),
        ]
    )


def _loader(element: str) -> Callable[[Request], Response]:
    names = {
        "ELEMENT": element,
        "SDK": _SDKS[element],
        "STYLE": (_COMPONENT / "style.css").read_text("utf-8"),
    }
    constants = [f"const {name} = {json.dumps(text)};" for name, text in names.items()]
    once = "if (customElements.get(ELEMENT)) return;"
    parts = [(_COMPONENT / f"{part}.js").read_text("utf-8") for part in _PARTS]
    # Browsers fetch module scripts with CORS, and classic scripts without.
    headers = {"Access-Control-Allow-Origin": "*", "Cache-Control": "no-cache"}

    def respond(request: Request) -> Response:
        socket = f"const SOCKET = {json.dumps(_websocket(request))};"
        source = "\n".join(["(() => {", *constants, socket, once, *parts, "})();", ""])
        return Response(source, media_type="text/javascript", headers=headers)

    return respond


def _websocket(request: Request) -> str:
    return f"ws://{request.headers['host']}/ws"
