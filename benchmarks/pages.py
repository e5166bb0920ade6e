"""Serve a folder of built sites like a static host, with gzip compression."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.gzip import GZipMiddleware
from starlette.routing import Mount
from starlette.staticfiles import StaticFiles

from edge_service.server.serving import bind, serve

__all__: list[str] = []


def main() -> None:
    folder = Path(sys.argv[1])
    app = Starlette(
        routes=[Mount("/", StaticFiles(directory=folder, html=True))],
        # Hosts compress from different sizes on, so the figures must not depend on such a limit.
        middleware=[Middleware(GZipMiddleware, minimum_size=0)],
    )
    serve([(app, bind("127.0.0.1", int(os.environ["PORT"]), "PORT"))], lambda: None)


if __name__ == "__main__":
    main()
