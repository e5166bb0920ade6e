r"""A Starlette application of your own, with the token service under /avatar.

The page's endpoint is then `/avatar/request_tokens`. Run it with

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
    """Start and end what the service does in the background: a mounted one is not told."""
    async with tokens.router.lifespan_context(tokens):
        yield


async def home(_: Request) -> PlainTextResponse:
    """A page of yours."""
    return PlainTextResponse("An application of your own")


app = Starlette(routes=[Route("/", home), Mount("/avatar", tokens)], lifespan=lifespan)
