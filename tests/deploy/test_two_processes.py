"""Two token services behind nginx, as systemd runs them: many visitors, and a rolling restart."""

from __future__ import annotations

import configparser
import shutil
import signal
import socket
import subprocess
from contextlib import ExitStack
from pathlib import Path

import pytest
import requests

from edge_service.sandbox.app import Sandbox
from edge_service.sandbox.faults import Fault
from edge_service.settings.variables import declared
from tests.deploy.conftest import Host, Serve, free_ports, recommended
from tests.support.load import Tally, Visitor, crowd
from tests.support.ports import free_port
from tests.support.processes import Command
from tests.support.servers import RawUpstream
from tests.support.service import Running
from tests.support.settings import KEY, ORIGIN
from tests.support.waiting import until

pytestmark = pytest.mark.stress

SITE = "nginx/docs.example.com.conf"
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


def test_unit_starts_the_service(unit: Path, root: Path, tmp_path: Path, sandbox_url: str) -> None:
    """With the variables of unit and file; those in the file win, as in systemd."""
    parser = configparser.ConfigParser(interpolation=None)
    parser.optionxform = str  # type: ignore[assignment,method-assign]
    parser.read(unit)
    service = parser["Service"]
    port = free_port()
    name, _, file = service["LoadCredential"].partition(":")
    (tmp_path / name).write_text(KEY)
    given = service["Environment"].replace("%i", str(port)).replace("%d", str(tmp_path))
    named = recommended(root / "deploy" / "nginx" / Path(service["EnvironmentFile"]).name)
    variables = {**dict(pair.split("=", 1) for pair in given.split()), **named}
    assert variables.keys() <= {variable.name for variable in declared()} | {"AVATAR_API_KEY_FILE"}
    page = (root / "example_docs" / "docs" / "deploy" / "nginx.md").read_text()
    for path in (file, service["EnvironmentFile"], service["ExecStart"].rpartition("/bin/")[0]):
        assert f" {path}\n" in page

    program, *arguments = service["ExecStart"].split()
    more = {**variables, "SENTIFYD_BACKEND": sandbox_url}
    with Command(Path(program).name, *arguments, **more) as command:
        assert Running(command).port == port
        assert requests.get(f"http://127.0.0.1:{port}/request_tokens", timeout=5).ok
        command.stop(signal.SIGTERM)
    # With this exit status for an invalid setting, systemd does not restart it.
    with Command(Path(program).name, *arguments) as command:
        assert str(command.wait()) == service["RestartPreventExitStatus"]


# Debian includes it, containers do not, and one test is not worth an installation.
if ANALYZE := shutil.which("systemd-analyze"):

    def test_systemd_can_read_the_unit(unit: Path, tmp_path: Path) -> None:
        text = unit.read_text().replace("/opt/sentifyd-edge/bin/sentifyd-edge", "/bin/true")
        (tmp_path / unit.name).write_text(text)
        instance = unit.name.replace("@", "@8080")
        done = subprocess.run(
            [str(ANALYZE), "verify", "--man=no", str(tmp_path / instance)],
            capture_output=True,
            text=True,
            timeout=30,
        )
        assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
