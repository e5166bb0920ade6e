"""Ports for servers that have to be told one."""

from __future__ import annotations

import os
import random
from contextlib import suppress

from edge_service.server.serving import AddressUnavailable, bind

_WORKERS = 16


def free_port() -> int:
    """A free port of 127.0.0.1.

    It is below those that systems pick from by themselves, and one that no other worker picks:
    else it could be somebody else's by the time that the server binds it.
    """
    worker = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
    for port in random.sample(range(20_000 + worker % _WORKERS, 32_000, _WORKERS), 20):
        with suppress(AddressUnavailable), bind("127.0.0.1", port, "the port"):
            return port
    raise AssertionError("no port is free")
