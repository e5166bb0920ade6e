"""Measure the service's memory after many visitors, and its time until the first answer."""

from __future__ import annotations

import http.client
import socket
import time

from benchmarks.figures import Table, share_covered, summary
from benchmarks.load import Target, load
from benchmarks.servers import (
    BARE,
    ORIGIN,
    SERVE,
    Sandbox,
    Server,
    free_port,
    service,
    variables_of,
)

__all__ = ["measure_memory", "measure_start"]

FEW = 1000
SECONDS = 2
# The window is long enough to remember every address, and no address exceeds the limit.
LIMIT = "30/minute"
LIVE = b"GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n"


def measure_memory(requests: int) -> Table:
    """Compare resident memory after many requests from many addresses to that after few."""
    addresses = requests // 2
    with (
        Sandbox() as sandbox,
        service(sandbox, "shared", TRUSTED_PROXIES="127.0.0.0/8", RATE_LIMIT=LIMIT) as ours,
    ):
        _ask_few(ours.port)
        before, done = ours.resident, FEW
        while done < requests:
            found = load(Target("shared", ours), SECONDS, "addresses", str(done), str(addresses))
            if found.errors:
                raise SystemExit(f"{found.errors} of {found.answers} answers were errors")
            done += found.answers
        after = ours.resident
    return Table(
        f"Resident memory of shared after {done} requests from {addresses} addresses, "
        f"divided by that after {FEW}",
        ["", "ratio", "goal", "before", "after"],
        [
            [
                "VmRSS",
                f"{after / before:.3f}",
                "<= 1.3",
                f"{before / 1024:.0f} MiB",
                f"{after / 1024:.0f} MiB",
            ]
        ],
    )


def measure_start(rounds: int) -> Table:
    """Compare the time from process start to the first answer to that of a bare application."""
    ratios = []
    with Sandbox() as sandbox:
        variables = variables_of(sandbox)
        for number in range(rounds + 1):
            order = (SERVE, BARE) if number % 2 else (BARE, SERVE)
            taken = {command: _start(command, variables) for command in order}
            # The first round only fills the disk cache.
            if number:
                ratios.append(taken[SERVE] / taken[BARE])
    return Table(
        f"Process start to the first 200 of /livez, divided by a bare Starlette application; "
        f"{rounds} rounds, interval of the median: {share_covered(rounds):.0%}",
        ["", "ratio", "rounds", "interval", "goal"],
        [["start", *summary(ratios).cells(), "<= 1.85"]],
    )


def _start(command: tuple[str, ...], variables: dict[str, str]) -> float:
    port = free_port()
    began = time.perf_counter()
    with (
        Server(command, port, {**variables, "PORT": str(port)}),
        # The port accepts connections before the application answers, so this waits for the answer.
        socket.create_connection(("127.0.0.1", port)) as connection,
    ):
        connection.sendall(LIVE)
        if not connection.recv(4096).startswith(b"HTTP/1.1 200 "):
            raise SystemExit(f"{command[0]} is not alive")
        return time.perf_counter() - began


def _ask_few(port: int) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", port)
    for number in range(FEW):
        address = f"11.0.{number // 256}.{number % 256}"
        connection.request(
            "GET", "/request_tokens", headers={"Origin": ORIGIN, "X-Forwarded-For": address}
        )
        answer = connection.getresponse()
        answer.read()
        if answer.status != 200:
            raise SystemExit(f"no tokens: the status is {answer.status}")
    connection.close()
