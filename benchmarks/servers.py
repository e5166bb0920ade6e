"""Start servers in their own processes: the service, its sandbox, and its peers."""

from __future__ import annotations

import http.client
import json
import os
import re
import socket
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Self

from benchmarks.environment import ROOT

__all__ = [
    "BARE",
    "DELAY",
    "KEY",
    "MANY",
    "ORIGIN",
    "SERVE",
    "Sandbox",
    "Server",
    "ask",
    "free_port",
    "service",
    "variables_of",
]

PROGRAMS = Path(sys.executable).parent
SERVE = (str(PROGRAMS / "sentifyd-edge"), "serve")
BARE = (sys.executable, "-m", "benchmarks.bare")
KEY = "benchmark-key-2f6c1d"
ORIGIN = "https://docs.example.com"
# Seconds of a login at a nearby service.
DELAY = 0.030
MANY = "999999/second"
PATIENCE = 30
HOST = "127.0.0.1"
_PORTS = iter(range(20000 + os.getpid() % 10000, 32768))


def free_port() -> int:
    """Return a free port, because the output of a server with port 0 is not read.

    It is below the range that the kernel uses for outgoing connections.
    """
    for port in _PORTS:
        with socket.socket() as sock, suppress(OSError):
            sock.bind((HOST, port))
            return port
    raise SystemExit("no port is free")


def ask(port: int, path: str, method: str = "GET", body: str | None = None) -> tuple[int, bytes]:
    """Send a request, and return status and body of the answer."""
    connection = http.client.HTTPConnection(HOST, port, timeout=PATIENCE)
    try:
        connection.request(method, path, body, {"Origin": ORIGIN})
        answer = connection.getresponse()
        return answer.status, answer.read()
    finally:
        connection.close()


class Server:
    """A server process, as a context manager that waits until the port accepts connections.

    Args:
        command: the command to run.
        port: the port that it will listen on.
        variables: its environment variables.
        stdout: file descriptor of its output.
        folder: its working directory.
    """

    def __init__(
        self,
        command: Sequence[str],
        port: int,
        variables: Mapping[str, str],
        *,
        stdout: int = subprocess.DEVNULL,
        folder: Path = ROOT,
    ) -> None:
        self.port = port
        self._command = command
        # Other variables are not inherited: settings of the service would change the result.
        kept = ("PATH", "HOME", "PYTHONPATH")
        inherited = {name: os.environ[name] for name in kept if name in os.environ}
        self._environ = {**inherited, **variables}
        self._stdout = stdout
        self._folder = folder

    def __enter__(self) -> Self:
        self._process = subprocess.Popen(
            self._command,
            cwd=self._folder,
            env=self._environ,
            stdin=subprocess.DEVNULL,
            stdout=self._stdout,
        )
        try:
            self._wait_until_it_listens()
            self._set_up()
        except BaseException:
            self._end()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._end()

    @property
    def resident(self) -> int:
        """Resident memory in KiB."""
        status = Path(f"/proc/{self._process.pid}/status").read_text(encoding="ascii")
        found = re.search(r"VmRSS:\s+(\d+) kB", status)
        assert found
        return int(found[1])

    @property
    def cpu(self) -> float:
        """CPU seconds of this process so far, in user mode and in the kernel."""
        stat = Path(f"/proc/{self._process.pid}/stat").read_text(encoding="ascii")
        fields = stat.rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def wait_until_ready(self) -> None:
        end = time.monotonic() + PATIENCE
        while ask(self.port, "/readyz")[0] != 200:
            if time.monotonic() > end:
                raise SystemExit(f"{self._command[0]} does not become ready")
            time.sleep(0.05)

    def _wait_until_it_listens(self) -> None:
        end = time.monotonic() + PATIENCE
        while time.monotonic() < end and self._process.poll() is None:
            try:
                socket.create_connection((HOST, self.port)).close()
            except ConnectionRefusedError:
                time.sleep(0.001)
            else:
                return
        raise SystemExit(f"{self._command[0]} did not start")

    def _set_up(self) -> None:
        """Prepare the server for requests; for subclasses."""

    def _end(self) -> None:
        self._process.terminate()
        try:
            self._process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


class Sandbox(Server):
    """The stand-in for Sentifyd.

    Args:
        delay: seconds that a login takes.
    """

    def __init__(self, delay: float = DELAY) -> None:
        port = free_port()
        command = (SERVE[0], "sandbox", "--port", str(port), "--token-life", "3600")
        super().__init__(command, port, {"SANDBOX_API_KEY": KEY})
        self._delay = delay

    def _set_up(self) -> None:
        fault = json.dumps({"kind": "delay", "seconds": self._delay})
        status, answer = ask(self.port, "/sandbox", "PUT", fault)
        if status != 200:
            raise SystemExit(f"the sandbox refused its delay: {answer.decode()}")

    @property
    def logins(self) -> int:
        """Number of logins so far."""
        count: int = json.loads(ask(self.port, "/sandbox")[1])["logins"]
        return count


def service(
    sandbox: Server, policy: str, *, stdout: int = subprocess.DEVNULL, **variables: str
) -> Server:
    """Create the token service in front of the sandbox, with a rate limit that nobody reaches."""
    port = free_port()
    ours = {"PORT": str(port), "TOKEN_POLICY": policy, "RATE_LIMIT": MANY}
    return Server(SERVE, port, {**variables_of(sandbox), **ours, **variables}, stdout=stdout)


def variables_of(sandbox: Server) -> dict[str, str]:
    """Return the environment variables with which a token service logs in to the sandbox."""
    return {
        "AVATAR_API_KEY": KEY,
        "SENTIFYD_BACKEND": f"http://127.0.0.1:{sandbox.port}",
        "ALLOWED_ORIGINS": ORIGIN,
    }
