"""Serves a folder of built sites as hosts of static sites do: text is compressed with gzip."""

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
        # From the first byte: nobody's figures should depend on where a host begins.
        middleware=[Middleware(GZipMiddleware, minimum_size=0)],
    )
    serve([(app, bind("127.0.0.1", int(os.environ["PORT"]), "PORT"))], lambda: None)


if __name__ == "__main__":
    main()
