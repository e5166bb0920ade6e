"""A sandbox and a token service for a site under development, until they are told to stop."""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterable

from edge_service.sandbox.pair import HOST, Pair
from edge_service.server.serving import bind, serve
from edge_service.telemetry import configure_logging

__all__ = ["run_preview"]

TOKEN_LIFE = 3600


def run_preview(
    origins: Iterable[str], say: Callable[[str], None], *, with_parent: bool = False
) -> None:
    """Serve both on free loopback ports.

    Args:
        origins: whose pages may ask for tokens.
        say: is given the addresses, as one line of JSON, once both answer.
        with_parent: stop when standard input is closed, so that this ends with whoever holds its
            other end, however that ends.

    Raises:
        AddressUnavailable: there is no free port.
    """
    pair = Pair.on(bind(HOST, 0, "HOST"), bind(HOST, 0, "HOST"), origins, TOKEN_LIFE)
    configure_logging("warning", "console")

    def announce() -> None:
        if with_parent:
            threading.Thread(target=_follow_parent, daemon=True).start()
        say(json.dumps({"token_endpoint": pair.token_endpoint, "loaders": pair.loaders}))

    serve(pair.apps, announce, grace=1, websockets=True)


def _follow_parent() -> None:
    while os.read(sys.stdin.fileno(), 4096):
        pass
    # os.kill would end the process at once on Windows, whatever handles the signal.
    signal.raise_signal(signal.SIGTERM)
