r"""Your own FastAPI application that signs users in, with the token service for signed-in users.

The application identifies visitors, so leave `VISITOR_AUTH` unset. Run it with

    uvicorn fastapi_app:app --no-access-log --no-proxy-headers \
        --http edge_service.http_protocol:BoundedProtocol
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI
from starlette.requests import Request
from starlette.types import Scope

from edge_service.admission.identity import Authenticator, user_name
from edge_service.app import create_app
from edge_service.errors import Unauthenticated
from edge_service.settings import Settings, SettingsError

# Replace it by your session store: user names by session.
sessions: dict[str, str] = {}


class SignedIn(Authenticator):
    """Identifies visitors by the application's session."""

    async def identify(self, scope: Scope) -> str:
        """The name of the signed-in user; replace it by your own lookup."""
        session = Request(scope).cookies.get("session", "")
        user = user_name(sessions.get(session))
        if user is None:
            raise Unauthenticated
        return user


try:
    tokens = create_app(Settings.from_env(), authenticator=SignedIn())
except SettingsError as error:
    raise SystemExit(str(error)) from None


@asynccontextmanager
async def lifespan(_: FastAPI) -> AsyncIterator[None]:
    """Start and stop the service's background work; mounted applications get no lifespan events."""
    async with tokens.router.lifespan_context(tokens):
        yield


app = FastAPI(lifespan=lifespan)
app.mount("/avatar", tokens)


@app.get("/")
async def home() -> dict[str, str]:
    """One of your routes."""
    return {"message": "Your own application"}
