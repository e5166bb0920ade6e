r"""A FastAPI application of your own that signs people in, with the token service for them alone.

It takes the part that a proxy has elsewhere: it knows who asks, and tells the service. Needs these
variables beside the others:

    VISITOR_AUTH=forwarded
    TRUSTED_PROXIES=127.0.0.1

and is run with

    uvicorn fastapi_app:app --no-access-log --no-proxy-headers \
        --http edge_service.http_protocol:BoundedProtocol
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI
from starlette.requests import Request
from starlette.types import ASGIApp, Receive, Scope, Send

from edge_service.app import create_app
from edge_service.identity import ForwardedRules
from edge_service.settings import Settings, SettingsError

try:
    settings = Settings.from_env()
except SettingsError as error:
    raise SystemExit(str(error)) from None
if not isinstance(settings.visitor_auth, ForwardedRules):
    raise SystemExit(
        "VISITOR_AUTH has to be forwarded: else everybody gets tokens, signed in or not"
    )
USER_HEADER = settings.visitor_auth.header.lower().encode("latin-1")
tokens = create_app(settings)

# Where yours come from: a name for each session.
sessions: dict[str, str] = {}


def user_of(request: Request) -> str | None:
    """Who is signed in; put your own way to tell in its place."""
    return sessions.get(request.cookies.get("session", ""))


class SignedIn:
    """Names the visitor to the token service, whatever the visitor may say."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on as a trusted proxy would."""
        if scope["type"] == "http":
            own = (USER_HEADER, b"x-forwarded-for")
            headers = [pair for pair in scope["headers"] if pair[0] not in own]
            user = user_of(Request(scope))
            # No header can hold a line break or half a character: such a name is nobody's.
            if user is not None and user.isprintable():
                headers.append((USER_HEADER, user.encode()))
            if client := scope.get("client"):
                headers.append((b"x-forwarded-for", client[0].encode()))
            scope = {**scope, "headers": headers, "client": ("127.0.0.1", 0)}
        await self._app(scope, receive, send)


@asynccontextmanager
async def lifespan(_: FastAPI) -> AsyncIterator[None]:
    """Start and end what the service does in the background: a mounted one is not told."""
    async with tokens.router.lifespan_context(tokens):
        yield


app = FastAPI(lifespan=lifespan)
app.mount("/avatar", SignedIn(tokens))


@app.get("/")
async def home() -> dict[str, str]:
    """A route of yours."""
    return {"message": "An application of your own"}
