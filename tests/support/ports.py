"""Ports for servers that need a port number in advance."""

from __future__ import annotations

import os
import random
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress

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


@contextmanager
def closed_port() -> Iterator[int]:
    """A port of 127.0.0.1 that refuses connections, and that no server can take meanwhile."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        yield sock.getsockname()[1]
