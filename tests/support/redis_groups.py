"""Several real Redis servers together: with Sentinel, or as a cluster."""

from __future__ import annotations

import subprocess
import tempfile
from contextlib import ExitStack
from pathlib import Path

import redis

from tests.support.ports import free_port
from tests.support.processes import Command
from tests.support.redis import RedisServer, client, executable, tls_options
from tests.support.waiting import until

SERVICE = "docs"


class WatchedRedis:
    """A master, a replica, and three sentinels that replace the master when it fails.

    Args:
        password: of all of them; empty for none.
        down_ms: how long a master may be silent, in milliseconds.
        guards_sentinels: whether the sentinels require the password too.
        certificate: with its key; all connections then use TLS with certificates on both sides.
    """

    def __init__(
        self,
        *,
        password: str = "",
        down_ms: int = 500,
        guards_sentinels: bool = True,
        certificate: tuple[Path, Path] | None = None,
    ) -> None:
        self._password = password
        self._certificate = certificate
        self._down_ms = down_ms
        self._sentinel_password = password if guards_sentinels else ""
        self._stack = ExitStack()
        self.ports: list[int] = []
        self.servers: list[RedisServer] = []

    @property
    def url(self) -> str:
        hosts = ",".join(f"127.0.0.1:{port}" for port in self.ports)
        credentials = f":{self._password}@" if self._password else ""
        query = _query(self._certificate)
        if self._password != self._sentinel_password:
            query += ("&" if query else "?") + f"sentinel_password={self._sentinel_password}"
        return f"redis+sentinel://{credentials}{hosts}/{SERVICE}{query}"

    def __enter__(self) -> WatchedRedis:
        with ExitStack() as stack:
            master = RedisServer(
                password=self._password or None,
                certificate=self._certificate,
                masterauth=self._password,
            )
            replica = RedisServer(
                password=self._password or None,
                certificate=self._certificate,
                masterauth=self._password,
                replicaof=f"127.0.0.1 {master.port}",
            )
            self.servers = [stack.enter_context(server) for server in (master, replica)]
            until(lambda: self._replicas(master) == 1)
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
            for _ in range(3):
                port = free_port()
                # Sentinel writes its state to this file.
                file = folder / f"{port}.conf"
                file.write_text(self._configuration(port, master.port, folder))
                sentinel = stack.enter_context(Command(executable(), str(file), "--sentinel"))
                sentinel.wait_for("monitor master")
                self.ports.append(port)
            until(lambda: all(self._is_ready(port) for port in self.ports))
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def master(self) -> RedisServer:
        """The server that the first sentinel considers the master."""
        with self._sentinel(self.ports[0]) as one:
            port = one.sentinel_get_master_addr_by_name(SERVICE)[1]
        return next(server for server in self.servers if server.port == port)

    def _sentinel(self, port: int) -> redis.Redis:
        return client(port, self._sentinel_password or None, self._certificate)

    def _replicas(self, server: RedisServer) -> int:
        with server.client() as one:
            info = one.info("replication")
        return sum(f"slave{n}" in info and info[f"slave{n}"]["state"] == "online" for n in range(2))

    def _is_ready(self, port: int) -> bool:
        with self._sentinel(port) as one:
            state = one.sentinel_master(SERVICE)
        return bool(state["num-slaves"] == 1 and state["num-other-sentinels"] == 2)

    def _configuration(self, port: int, master: int, folder: Path) -> str:
        lines = [
            f"port {port}",
            "bind 127.0.0.1",
            f"dir {folder}",
            f"sentinel monitor {SERVICE} 127.0.0.1 {master} 2",
            f"sentinel down-after-milliseconds {SERVICE} {self._down_ms}",
            f"sentinel failover-timeout {SERVICE} 5000",
        ]
        if self._certificate:
            options = tls_options(port, self._certificate)
            lines[0:1] = [f"{name} {value}" for name, value in options.items()]
        if self._password:
            lines.append(f"sentinel auth-pass {SERVICE} {self._password}")
        if self._sentinel_password:
            lines.append(f"requirepass {self._sentinel_password}")
            lines.append(f"sentinel sentinel-pass {self._sentinel_password}")
        return "\n".join(lines) + "\n"


class RedisCluster:
    """Three masters that share the slots.

    Args:
        password: of all of them; empty for none.
        certificate: with its key; all connections then use TLS with certificates on both sides.
    """

    def __init__(self, *, password: str = "", certificate: tuple[Path, Path] | None = None) -> None:
        self._password = password
        self._certificate = certificate
        self._stack = ExitStack()
        self.servers: list[RedisServer] = []

    @property
    def url(self) -> str:
        hosts = ",".join(f"127.0.0.1:{server.port}" for server in self.servers[:2])
        credentials = f":{self._password}@" if self._password else ""
        return f"redis+cluster://{credentials}{hosts}{_query(self._certificate)}"

    def __enter__(self) -> RedisCluster:
        with ExitStack() as stack:
            for _ in range(3):
                server = RedisServer(
                    password=self._password or None,
                    certificate=self._certificate,
                    cluster_enabled="yes",
                    tls_cluster="yes" if self._certificate else "no",
                    cluster_node_timeout="2000",
                    # The default is 10,000 more than the port, which may be an ephemeral port.
                    cluster_port=str(free_port()),
                )
                while server.options["cluster-port"] == str(server.port):
                    server.port = free_port()
                self.servers.append(stack.enter_context(server))
            hosts = [f"127.0.0.1:{server.port}" for server in self.servers]
            auth = ["-a", self._password, "--no-auth-warning"] if self._password else []
            if self._certificate:
                own, key = map(str, self._certificate)
                auth += ["--tls", "--cacert", own, "--cert", own, "--key", key]
            subprocess.run(
                ["redis-cli", *auth, "--cluster", "create", *hosts, "--cluster-yes"],
                check=True,
                capture_output=True,
            )
            until(lambda: all(self._is_ready(server) for server in self.servers))
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def keys(self) -> list[list[bytes]]:
        """The keys on each server."""
        found = []
        for server in self.servers:
            with server.client() as one:
                found.append(list(one.scan_iter()))
        return found

    def _is_ready(self, server: RedisServer) -> bool:
        with server.client() as one:
            return bool(one.cluster("info")["cluster_state"] == "ok")


def _query(certificate: tuple[Path, Path] | None) -> str:
    if certificate is None:
        return ""
    own, key = certificate
    return f"?ssl=true&ssl_ca_certs={own}&ssl_certfile={own}&ssl_keyfile={key}"
