"""A real Redis on a loopback port, which can crash or hang."""

from __future__ import annotations

import shutil
import signal
import tempfile
from pathlib import Path

import redis

from tests.support import missing
from tests.support.ports import free_port
from tests.support.processes import Command


class RedisServer:
    """A Redis without persistence, for the length of a `with` block.

    Args:
        port: where it listens; by default, a free one.
        password: of the default user.
        certificate: with its key; the server then speaks only TLS, and requires a certificate of
            clients, which may be this one.
        options: further lines of its configuration, such as `unixsocket`.
    """

    def __init__(
        self,
        *,
        port: int = 0,
        password: str | None = None,
        certificate: tuple[Path, Path] | None = None,
        **options: str | Path,
    ) -> None:
        self.port = port or free_port()
        self._password = password
        self._certificate = certificate
        self.options = {name.replace("_", "-"): str(value) for name, value in options.items()}
        self._executable = executable()
        self._folder = tempfile.TemporaryDirectory()
        self._command: Command | None = None

    @property
    def url(self) -> str:
        credentials = f":{self._password}@" if self._password else ""
        return f"redis://{credentials}127.0.0.1:{self.port}/0"

    def __enter__(self) -> RedisServer:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()
        self._folder.cleanup()

    def start(self) -> None:
        """Start it, again on the same port if it ran before."""
        options = {
            "port": str(self.port),
            "bind": "127.0.0.1",
            "dir": self._folder.name,
            "save": "",
            "appendonly": "no",
            **({"requirepass": self._password} if self._password else {}),
            **(tls_options(self.port, self._certificate) if self._certificate else {}),
            **self.options,
        }
        arguments = [
            part for name, value in options.items() for part in (f"--{name}", *value.split(" "))
        ]
        self._command = Command(self._executable, *arguments)
        self._command.wait_for("Ready to accept connections", seconds=20)

    def stop(self) -> None:
        """Kill it, as a crash would."""
        if self._command is not None:
            self._command.stop(signal.SIGKILL)
            self._command = None

    def pause(self) -> None:
        """Let it hang: it accepts connections, but does not answer."""
        assert self._command is not None
        self._command.freeze()

    def resume(self) -> None:
        self._send(signal.SIGCONT)

    def client(self) -> redis.Redis:
        """A new client, for use in a `with` statement."""
        return client(self.port, self._password, self._certificate)

    def _send(self, number: signal.Signals) -> None:
        assert self._command is not None
        self._command.send(number)


def tls_options(port: int, certificate: tuple[Path, Path]) -> dict[str, str]:
    """Lines of a configuration that allow only TLS, with certificates on both sides."""
    return {
        "port": "0",
        "tls-port": str(port),
        "tls-cert-file": str(certificate[0]),
        "tls-key-file": str(certificate[1]),
        "tls-ca-cert-file": str(certificate[0]),
        "tls-replication": "yes",
    }


def client(
    port: int, password: str | None = None, certificate: tuple[Path, Path] | None = None
) -> redis.Redis:
    """A client for a server on this machine."""
    if certificate is None:
        return redis.Redis(host="127.0.0.1", port=port, password=password)
    own, key = map(str, certificate)
    return redis.Redis(
        host="127.0.0.1",
        port=port,
        password=password,
        ssl=True,
        ssl_certfile=own,
        ssl_keyfile=key,
        ssl_ca_certs=own,
    )


def executable() -> str:
    """Where redis-server is; skips the test if it is missing."""
    if (executable := shutil.which("redis-server")) is None:
        missing.skip("no Redis: run 'sudo apt-get install redis-server'")
    return executable
