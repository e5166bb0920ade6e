"""Two token services behind nginx, as systemd runs them: many visitors, and a rolling restart."""

from __future__ import annotations

import os
import random
import re
import shutil
import signal
import socket
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from functools import partial
from pathlib import Path

import pytest
import redis
import requests

from edge_service.sandbox.app import Sandbox
from edge_service.sandbox.faults import Fault
from edge_service.sealing import new_key
from edge_service.server.serving import AddressUnavailable, bind
from edge_service.settings.variables import declared
from tests.deploy.conftest import Host, Serve, free_ports, recommended
from tests.support.load import Tally, Visitor, crowd
from tests.support.ports import free_port
from tests.support.processes import Command
from tests.support.redis import RedisServer
from tests.support.servers import RawUpstream
from tests.support.service import Running
from tests.support.settings import KEY, ORIGIN
from tests.support.waiting import until

pytestmark = pytest.mark.stress

SITE = "nginx/docs.example.com.conf"
PASSWORD = "canary-password-71c0"
# With the 768 connections of Debian's nginx, which begins to close idle ones when few are left.
AT_ONCE = 350
SHARED = {
    "TOKEN_POLICY": "shared",
    "RATE_LIMIT": "999999/second",
    "ALLOWED_ORIGINS": ORIGIN,
    "TRUSTED_PROXIES": "127.0.0.1",
}


def in_front_of(host: Host, first: int, second: int) -> int:
    """Start an nginx without TLS and without its rate limit; return its port."""
    ports = free_ports()
    more = {
        "listen 443 ssl http2;": f"listen 127.0.0.1:{ports['https']};",
        "rate=5r/s": "rate=99999r/s",
    }
    host(SITE, first, ports, more, second)
    return ports["https"]


@pytest.fixture(scope="module")
def services(serve: Serve) -> list[Running]:
    return [serve(**SHARED) for _ in range(2)]


def test_many_simultaneous_visitors_need_one_login_per_process(
    host: Host, services: list[Running], sandbox: Sandbox
) -> None:
    port = in_front_of(host, *(service.port for service in services))
    before = sandbox.logins
    sandbox.fault = Fault("delay", seconds=0.3)
    with ExitStack() as stack:
        visitors = []
        for number in range(AT_ONCE):
            source = (f"127.0.{10 + number // 250}.{1 + number % 250}", 0)
            visitor = socket.create_connection(("127.0.0.1", port), 20, source)
            visitors.append(stack.enter_context(visitor))
        for visitor in visitors:
            visitor.sendall(b"GET /request_tokens HTTP/1.1\r\nHost: localhost\r\n\r\n")
        answers = [visitor.recv(65536).split(maxsplit=2)[1] for visitor in visitors]
    sandbox.fault = None

    assert answers == [b"200"] * AT_ONCE
    assert sandbox.logins <= before + len(services)


def test_nginx_retries_on_the_other_process(host: Host, services: list[Running]) -> None:
    with RawUpstream(lambda connection: connection.shutdown(socket.SHUT_RDWR)) as dying:
        port = in_front_of(host, int(dying.url.rpartition(":")[2]), services[0].port)
        url = f"http://127.0.0.1:{port}/request_tokens"
        for _ in range(4):
            answer = requests.post(url, json={"refreshToken": "x"}, timeout=10)
            assert answer.status_code == 200
        assert dying.received


def test_rolling_restart_fails_no_request(
    host: Host, serve: Serve, services: list[Running]
) -> None:
    port = in_front_of(host, *(service.port for service in services))
    tally = Tally()
    with crowd(*(Visitor(port, tally, keep=number > 2) for number in range(6))):
        for service in services:
            count = tally.statuses.total() + 50
            until(lambda count=count: tally.statuses.total() > count)  # type: ignore[misc]
            service.command.stop(signal.SIGTERM)
            assert serve(**SHARED, PORT=str(service.port)).port == service.port
    assert set(tally.statuses) == {200}
    assert (tally.lost, tally.refused) == ([], 0)


@pytest.fixture
def unit(root: Path) -> Path:
    return root / "deploy" / "nginx" / "sentifyd-edge@.service"


class Instance:
    """One instance of the unit with all its drop-ins, as systemd reads them."""

    def __init__(self, unit: Path, port: int, folder: Path, contents: dict[str, str]) -> None:
        self.port = port
        self.environment: dict[str, str] = {}
        self.files: list[str] = []
        self.credentials: dict[str, str] = {}
        self.command: list[str] = []
        for file in (unit, *sorted(Path(f"{unit}.d").iterdir())):
            for line in file.read_text().splitlines():
                key, _, value = line.partition("=")
                self._read(key, value.replace("%i", str(port)).replace("%d", str(folder)))
        folder.mkdir()
        for name, source in self.credentials.items():
            (folder / name).write_text(contents[source])

    def _read(self, key: str, value: str) -> None:
        if key == "ExecStart":
            program, *arguments = value.split()
            self.command = [Path(program).name, *arguments]
        elif key == "Environment":
            self.environment |= dict(pair.split("=", 1) for pair in value.split())
        elif key == "EnvironmentFile":
            self.files.append(value)
        elif key == "LoadCredential":
            name, _, self.credentials[name] = value.partition(":")

    def start(self, *files: dict[str, str]) -> Command:
        """Start it; the variables of files win over those of the unit, as in systemd."""
        environment = self.environment
        for file in files:
            environment = environment | file
        return Command(*self.command, **environment)


def instance_name() -> int:
    """A free port of four digits, for which the unit's metrics port is free too."""
    worker = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
    for port in random.sample(range(2_000 + worker % 16, 10_000, 16), 50):
        with (
            suppress(AddressUnavailable),
            bind("127.0.0.1", port, "it"),
            bind("127.0.0.1", int(f"1{port}"), "it"),
        ):
            return port
    raise AssertionError("no port is free")


@pytest.fixture
def redis_url() -> Iterator[str]:
    with RedisServer(password=PASSWORD) as server:
        yield server.url


@pytest.fixture
def instances(unit: Path, tmp_path: Path, redis_url: str) -> list[Instance]:
    """Two instances with every drop-in."""
    contents = {
        "/etc/sentifyd/avatar-key": KEY,
        "/etc/sentifyd/seal-keys": new_key(),
        "/etc/sentifyd/redis-url": redis_url,
    }
    names = (instance_name(), instance_name())
    return [Instance(unit, name, tmp_path / str(name), contents) for name in names]


def counts_in_redis(service: Running, client: redis.Redis) -> bool:
    """Whether a request's count is in Redis; on a busy machine, the service may lose it once."""
    client.flushdb()
    return service.get().status_code == 200 and client.dbsize() == 1


def test_two_instances_run_on_one_environment_file(
    instances: list[Instance], root: Path, sandbox_url: str, redis_url: str
) -> None:
    for instance in instances:
        assert instance.files == [
            "/etc/sentifyd/sentifyd-edge.env",
            f"-/etc/sentifyd/sentifyd-edge-{instance.port}.env",
        ]
        files = {variable.file_name for variable in declared() if variable.secret}
        assert instance.environment.keys() == {"PORT", "METRICS_PORT", *files}
    named = recommended(root / "deploy" / "nginx" / "sentifyd-edge.env")
    more = {"SENTIFYD_BACKEND": sandbox_url}
    with ExitStack() as stack:
        commands = [stack.enter_context(one.start(named, more)) for one in instances]
        services = [Running(command) for command in commands]
        assert [service.port for service in services] == [one.port for one in instances]
        client = stack.enter_context(redis.Redis.from_url(redis_url))
        for service in services:
            until(partial(counts_in_redis, service, client))
            metrics = f"http://127.0.0.1:1{service.port}/metrics"
            assert "sentifyd_edge_redis_fallback" in requests.get(metrics, timeout=5).text
            assert requests.get(f"{service.base}/metrics", timeout=5).status_code == 404
            answer = service.get()
            # Sealed: Sentifyd's own token is a JWT.
            assert "." not in answer.json()["tokens"]["refreshToken"]
            environ = Path(f"/proc/{service.pid}/environ").read_text()
            assert "SEAL_KEYS_FILE=" in environ
            assert [secret for secret in (KEY, PASSWORD) if secret in environ] == []
        for command in commands:
            command.stop(signal.SIGTERM)
            assert PASSWORD not in command.output
            assert KEY not in command.output


def test_file_of_an_instance_wins(instances: list[Instance], root: Path, sandbox_url: str) -> None:
    named = recommended(root / "deploy" / "nginx" / "sentifyd-edge.env")
    own = {"METRICS_PORT": str(free_port()), "SENTIFYD_BACKEND": sandbox_url}
    with instances[0].start(named, own) as command:
        Running(command)
        url = f"http://127.0.0.1:{own['METRICS_PORT']}/metrics"
        assert requests.get(url, timeout=5).status_code == 200


def test_invalid_settings_end_with_a_status_that_systemd_does_not_restart(
    instances: list[Instance], unit: Path
) -> None:
    with instances[0].start({"ALLOWED_ORIGINS": ""}) as command:
        assert f"RestartPreventExitStatus={command.wait()}\n" in unit.read_text()


def test_page_installs_every_file_with_its_mode(
    instances: list[Instance], unit: Path, root: Path
) -> None:
    page = (root / "example_docs" / "docs" / "deploy" / "nginx.md").read_text()
    installed = {}
    for mode, files, target in re.findall(r"^sudo install -m (\d+) (.+) (\S+)$", page, re.M):
        for file in files.split():
            place = f"{target}{Path(file).name}" if target.endswith("/") else target
            installed[place] = mode
            assert (root / file).is_file() or "/" not in file
    for secret in (*instances[0].credentials.values(), instances[0].files[0]):
        assert installed[secret] in ("400", "600")
    for file in (unit, *Path(f"{unit}.d").iterdir()):
        assert installed[f"/etc/systemd/system/{file.relative_to(unit.parent)}"] == "644"
    program = re.findall(r"^ExecStart=(\S+)/bin/", unit.read_text(), re.M)
    assert f" {program[0]}\n" in page


# Debian includes it, containers do not, and one test is not worth an installation.
if ANALYZE := shutil.which("systemd-analyze"):

    def test_systemd_can_read_the_unit(unit: Path, tmp_path: Path) -> None:
        text = unit.read_text().replace("/opt/sentifyd-edge/bin/sentifyd-edge", "/bin/true")
        (tmp_path / unit.name).write_text(text)
        # systemd reads the drop-ins beside a unit too.
        shutil.copytree(f"{unit}.d", tmp_path / f"{unit.name}.d")
        instance = unit.name.replace("@", "@8080")
        done = subprocess.run(
            [str(ANALYZE), "verify", "--man=no", str(tmp_path / instance)],
            capture_output=True,
            text=True,
            timeout=30,
        )
        assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
