"""Ports for servers that need a port number in advance."""

from __future__ import annotations

import os
import random
from contextlib import suppress

from edge_service.server.serving import AddressUnavailable, bind

_WORKERS = 16


def free_port() -> int:
    """A free port of 127.0.0.1.

    It is below the ephemeral ports, and no other worker chooses it, so that it is still free when
    the server binds it.
    """
    worker = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
    for port in random.sample(range(20_000 + worker % _WORKERS, 32_000, _WORKERS), 20):
        with suppress(AddressUnavailable), bind("127.0.0.1", port, "the port"):
            return port
    raise AssertionError("no port is free")
