r"""Your own Starlette application, with the token service under /avatar.

The token endpoint is then `/avatar/request_tokens`. Run it with

    uvicorn starlette_app:app --no-access-log --no-proxy-headers \
        --http edge_service.http_protocol:BoundedProtocol
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Mount, Route

from edge_service.app import create_app
from edge_service.settings import Settings, SettingsError

try:
    tokens = create_app(Settings.from_env())
except SettingsError as error:
    raise SystemExit(str(error)) from None


@asynccontextmanager
async def lifespan(_: Starlette) -> AsyncIterator[None]:
    """Start and stop the service's background work; mounted applications get no lifespan events."""
    async with tokens.router.lifespan_context(tokens):
        yield


async def home(_: Request) -> PlainTextResponse:
    """One of your pages."""
    return PlainTextResponse("Your own application")


app = Starlette(routes=[Route("/", home), Mount("/avatar", tokens)], lifespan=lifespan)
