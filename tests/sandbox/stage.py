"""Sandbox, token service and a site in plain HTML, for tests of the sandbox's component."""

from __future__ import annotations

from contextlib import ExitStack

from starlette.applications import Starlette
from starlette.responses import HTMLResponse, Response
from starlette.routing import Route

from edge_service.app import create_app
from edge_service.sandbox.app import Sandbox, create_sandbox
from edge_service.settings import Settings
from tests.support.servers import serving
from tests.support.settings import KEY, avatar_settings

__all__ = ["Stage"]


class Stage:
    """Sandbox, token service and a site whose pages a test writes."""

    def __init__(self, stack: ExitStack, token_life: int) -> None:
        self.body = ""
        self.script = ""
        self.headers: dict[str, str] = {}
        self.sandbox = Sandbox(KEY, token_life)
        self.sandbox_url = stack.enter_context(serving(create_sandbox(self.sandbox)))
        routes = [Route("/page.js", self._script), Route("/{path:path}", self._page)]
        self.site = stack.enter_context(serving(Starlette(routes=routes)))
        origins = frozenset({self.site})
        avatar = avatar_settings(self.sandbox_url, allowed_origins=origins)
        settings = Settings(avatars={"": avatar})
        self.edge = stack.enter_context(serving(create_app(settings)))
        self.endpoint = f"{self.edge}/request_tokens"
        self.loader = f"{self.sandbox_url}/sentifyd-bot/main.js"

    def embed(self, attributes: str = "", loader: str | None = None) -> None:
        self.body = (
            f'<script src="{loader or self.loader}" defer></script>'
            f'<sentifyd-bot token_endpoint="{self.endpoint}" avatar_id="a1" {attributes}>'
            "</sentifyd-bot>"
        )

    async def _page(self, _: object) -> HTMLResponse:
        head = '<title>Page</title><link rel="icon" href="data:,">'
        return HTMLResponse(
            f"<!doctype html><html lang=en>{head}{self.body}</html>", headers=self.headers
        )

    async def _script(self, _: object) -> Response:
        return Response(self.script, media_type="text/javascript")
