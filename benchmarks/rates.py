"""Measure the service's throughput, compared to a bare application and to its peers."""

from __future__ import annotations

import base64
import json
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

from benchmarks.environment import ready_environment, ready_express
from benchmarks.figures import Table
from benchmarks.load import (
    CONNECTIONS,
    Ratio,
    Target,
    here_table,
    in_turn,
    load_table,
)
from benchmarks.servers import (
    BARE,
    DELAY,
    KEY,
    Sandbox,
    Server,
    ask,
    free_port,
    service,
    variables_of,
)

__all__ = ["measure_direct", "measure_peers", "measure_shared"]

FLASK = ("--worker-class", "gthread", "--threads", str(CONNECTIONS), "--log-level", "warning")


def measure_shared(rounds: int) -> Sequence[Table]:
    """Compare `shared` with all guards, metrics and logs to a bare route on the same server."""
    seal_key = base64.urlsafe_b64encode(os.urandom(32)).decode()
    with ExitStack() as stack:
        sandbox = stack.enter_context(Sandbox())

        def shared(stdout: int = subprocess.DEVNULL, **variables: str) -> Server:
            metrics = str(free_port())
            return service(sandbox, "shared", stdout=stdout, METRICS_PORT=metrics, **variables)

        log = stack.enter_context(_reader())
        servers = {"shared": shared(), "shared, log into a pipe": shared(log)}
        goals = dict.fromkeys(servers, ">= 0.7")
        servers["shared, SEAL_KEYS"] = shared(SEAL_KEYS=seal_key)
        stores: dict[str, Server] = {}
        if shutil.which("redis-server"):
            redis = stores["shared, REDIS_URL"] = stack.enter_context(_redis())
            url = f"redis://127.0.0.1:{redis.port}/0"
            servers["shared, REDIS_URL"] = shared(REDIS_URL=url)
            goals["shared, REDIS_URL"] = ">= 0.4"
        else:
            print("redis-server is missing, so its row is skipped: apt-get install redis-server")
        for server in servers.values():
            stack.enter_context(server)
        size = len(_tokens(servers["shared"].port))
        bare = _bare(size)
        stack.enter_context(bare)
        targets = [Target("bare", bare)]
        targets += [
            Target(name, server, store=stores.get(name)) for name, server in servers.items()
        ]
        found = in_turn(targets, rounds)
    ratios = load_table(
        f"shared, divided by a bare Starlette route that answers {size} bytes",
        found,
        [
            *(_rate(name, "bare", goals.get(name, "")) for name in servers),
            *(_work(name, "bare", goals.get(name, "")) for name in servers),
        ],
    )
    return ratios, here_table(found)


def measure_direct(rounds: int) -> Sequence[Table]:
    """Compare `direct` to the maximum rate of the same number of connections with this delay."""
    most = CONNECTIONS / DELAY
    with Sandbox() as sandbox, _direct(sandbox) as ours:
        _tokens(ours.port)
        login = json.dumps({"avatar_api_key": KEY})
        alone = Target("sandbox", sandbox, "/api/login", login)
        found = in_turn([alone, Target("direct", ours)], rounds)

    def rows(name: str, goals: tuple[str, str]) -> list[Ratio]:
        return [
            Ratio(
                f"{name}: requests a second", lambda one: one[name].rate / most, [name], goals[0]
            ),
            Ratio(f"{name}: p99", lambda one: one[name].p99 / DELAY, [name], goals[1]),
        ]

    ratios = load_table(
        f"direct, divided by {CONNECTIONS} logins each {DELAY * 1000:.0f} ms, and by that delay",
        found,
        [*rows("direct", (">= 0.75", "<= 2")), *rows("sandbox", ("", ""))],
    )
    return ratios, here_table(found)


def measure_peers(rounds: int) -> Sequence[Table]:
    """Compare the service to endpoints that follow the vendor's documented samples.

    Each is one process, like the service; Flask has a thread for each connection.
    """
    flask = f"Flask, gunicorn with {CONNECTIONS} threads"
    with ExitStack() as stack:
        sandbox = stack.enter_context(Sandbox())
        servers = {
            "direct": _direct(sandbox),
            "shared": service(sandbox, "shared"),
            flask: _flask(sandbox),
        }
        express = _express(sandbox)
        if express is None:
            print("npm is missing, so Express is skipped: apt-get install npm")
        else:
            servers["Express"] = express
        for server in servers.values():
            stack.enter_context(server)
            _tokens(server.port)
        targets = [Target(name, server) for name, server in servers.items()]
        found = in_turn(targets, rounds)
    names = list(servers)[1:]
    goals = {"Express": "<= 0.95", flask: "<= 0.3"}
    ratios = load_table(
        f"The service and its peers, divided by direct, with logins of {DELAY * 1000:.0f} ms",
        found,
        [
            *(_rate(name, "direct", goals.get(name, "")) for name in names),
            *(_p99(name, "direct") for name in names),
            # The CPU time of gunicorn's workers is not measured.
            *(_work(name, "direct", "<= 0.7") for name in names if name == "Express"),
        ],
    )
    return ratios, here_table(found)


def _rate(name: str, base: str, goal: str = "") -> Ratio:
    return Ratio(
        f"{name}: requests a second",
        lambda one: one[name].rate / one[base].rate,
        [name, base],
        goal,
    )


def _work(name: str, base: str, goal: str) -> Ratio:
    return Ratio(
        f"{name}: requests a CPU second",
        lambda one: one[base].cost / one[name].cost,
        [name, base],
        goal,
    )


def _p99(name: str, base: str) -> Ratio:
    return Ratio(f"{name}: p99", lambda one: one[name].p99 / one[base].p99, [name, base])


def _tokens(port: int) -> bytes:
    """Return an answer of the endpoint; end the run if it has no tokens."""
    status, body = ask(port, "/request_tokens")
    if status != 200 or "accessToken" not in json.loads(body)["tokens"]:
        raise SystemExit(f"no tokens: the status is {status}: {body.decode()}")
    return body


def _direct(sandbox: Server) -> Server:
    return service(sandbox, "direct", UPSTREAM_CONCURRENCY=str(CONNECTIONS))


def _bare(size: int) -> Server:
    port = free_port()
    return Server(BARE, port, {"PORT": str(port), "BYTES": str(size)})


def _flask(sandbox: Server) -> Server:
    port = free_port()
    gunicorn = str(ready_environment() / "gunicorn")
    return Server(
        (gunicorn, *FLASK, "--bind", f"127.0.0.1:{port}", "benchmarks.peers.flask_app:app"),
        port,
        variables_of(sandbox),
    )


def _express(sandbox: Server) -> Server | None:
    folder = ready_express()
    if folder is None:
        return None
    port = free_port()
    variables = {**variables_of(sandbox), "PORT": str(port), "NODE_ENV": "production"}
    return Server(("node", "server.js"), port, variables, folder=folder)


@contextmanager
def _reader() -> Iterator[int]:
    """A pipe with a reader, as a container runtime reads the log."""
    with subprocess.Popen(["cat"], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL) as process:
        assert process.stdin
        yield process.stdin.fileno()


@contextmanager
def _redis() -> Iterator[Server]:
    port = free_port()
    with tempfile.TemporaryDirectory() as folder:
        command = ("redis-server", "--port", str(port), "--bind", "127.0.0.1", "--save", "")
        with Server(command, port, {}, folder=Path(folder)) as server:
            yield server
