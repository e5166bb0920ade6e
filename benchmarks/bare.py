"""A minimal Starlette application for comparison: it answers with a constant JSON text.

It runs on the same server as the service.
"""

from __future__ import annotations

import json
import os

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from edge_service.server.serving import bind, serve

__all__: list[str] = []


def main() -> None:
    empty = len(json.dumps({"tokens": ""}))
    body = json.dumps({"tokens": "x" * (int(os.environ.get("BYTES", "0")) - empty)}).encode()

    async def answer(_: Request) -> Response:
        return Response(body, media_type="application/json")

    app = Starlette(routes=[Route("/request_tokens", answer), Route("/livez", answer)])
    serve([(app, bind("127.0.0.1", int(os.environ["PORT"]), "PORT"))], lambda: None)


if __name__ == "__main__":
    main()
