from __future__ import annotations

import socket
import ssl
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path
from types import MappingProxyType

import pytest
import requests
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from edge_service.sandbox.app import Sandbox, create_sandbox
from edge_service.settings.variables import declared
from tests.support.certificates import self_signed
from tests.support.nginx import Nginx, visitor_from
from tests.support.ports import free_port
from tests.support.processes import Command
from tests.support.proxies import Caddy, HAProxy, Proxy
from tests.support.servers import serving
from tests.support.service import Running
from tests.support.settings import KEY
from tests.support.waiting import TIMEOUT

Serve = Callable[..., Running]
NOTHING: Mapping[str, str] = MappingProxyType({})


@pytest.fixture(scope="session")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A certificate for this machine, and its key."""
    return self_signed(tmp_path_factory.mktemp("tls"))


@pytest.fixture(scope="module")
def sandbox() -> Sandbox:
    return Sandbox(KEY, token_life=300)


@pytest.fixture(scope="module")
def sandbox_url(sandbox: Sandbox) -> Iterator[str]:
    with serving(create_sandbox(sandbox)) as url:
        yield url


@pytest.fixture(scope="module")
def serve(sandbox_url: str) -> Iterator[Serve]:
    """Start a token service in front of the sandbox; fail if its output contains the key."""
    with ExitStack() as stack:

        def start(**variables: str) -> Running:
            good = {"AVATAR_API_KEY": KEY, "SENTIFYD_BACKEND": sandbox_url, "PORT": "0"}
            command = Command("sentifyd-edge", "serve", **{**good, **variables})
            stack.callback(lambda: KEY in command.output and pytest.fail("the key was logged"))
            stack.enter_context(command)
            return Running(command)

        yield start


@pytest.fixture(scope="module")
def echo() -> Iterator[int]:
    """The port of a server in place of the token service; it returns the request's headers."""

    async def respond(request: Request) -> JSONResponse:
        return JSONResponse(dict(request.headers))

    routes = [
        Route("/request_tokens", respond, methods=["GET", "POST", "OPTIONS"]),
        # Proxies probe it.
        Route("/readyz", respond),
    ]
    with serving(Starlette(routes=routes)) as url:
        yield int(url.rpartition(":")[2])


class Hosted:
    """A site behind a proxy; each request comes from a new visitor with its own address."""

    def __init__(self, proxy: Proxy, ports: dict[str, int], certificate: Path) -> None:
        self.proxy = proxy
        self.origin = f"https://localhost:{ports['https']}"
        self.plain = f"http://localhost:{ports['http']}"
        self.certificate = certificate
        self._addresses = (f"127.0.1.{number}" for number in range(1, 255))

    def visitor(self) -> requests.Session:
        return visitor_from(next(self._addresses), self.certificate)

    def connect(self) -> ssl.SSLSocket:
        """A connection for requests that no library sends, over HTTP/1.1."""
        port = int(self.origin.rpartition(":")[2])
        sock = socket.create_connection(("127.0.0.1", port), TIMEOUT, (next(self._addresses), 0))
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        context = ssl.create_default_context(cafile=str(self.certificate))
        return context.wrap_socket(sock, server_hostname="localhost")

    def ask(
        self, path: str = "/request_tokens", method: str = "GET", **kwargs: object
    ) -> requests.Response:
        with self.visitor() as visitor:
            return visitor.request(
                method,
                self.origin + path,
                timeout=20,
                **kwargs,  # type: ignore[arg-type]
            )


Host = Callable[..., Hosted]


@pytest.fixture(scope="module")
def host(
    root: Path, certificate: tuple[Path, Path], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Host]:
    """Run a proxy with a recipe's site on `ports`, in front of the service on port `service`."""
    with ExitStack() as stack:

        def start(
            site: str,
            service: int,
            ports: dict[str, int],
            more: Mapping[str, str] = NOTHING,
            second: int | None = None,
        ) -> Hosted:
            folder = tmp_path_factory.mktemp("proxy")
            file = root / "deploy" / site
            prepare = {"Caddyfile": _caddy, "haproxy.cfg": _haproxy}.get(file.name, _nginx)
            changes = {
                "127.0.0.1:8080": f"127.0.0.1:{service}",
                "127.0.0.1:8081": f"127.0.0.1:{second or service}",
            }
            proxy = prepare(folder, file, ports, certificate, {**changes, **more})
            return Hosted(stack.enter_context(proxy), ports, certificate[0])

        yield start


def _nginx(
    folder: Path,
    site: Path,
    ports: dict[str, int],
    certificate: tuple[Path, Path],
    more: dict[str, str],
) -> Proxy:
    changes = {
        "listen 80;": f"listen 127.0.0.1:{ports['http']};",
        "listen 443 ssl http2;": f"listen 127.0.0.1:{ports['https']} ssl http2;",
        # Not every machine has IPv6.
        "listen [::]:80;": "",
        "listen [::]:443 ssl http2;": "",
        "/etc/nginx/snippets": str(folder),
        "/var/log/nginx": str(folder / "log"),
        "/var/www/docs.example.com": str(folder / "site"),
        "/etc/ssl/docs.example.com/fullchain.pem": str(certificate[0]),
        "/etc/ssl/docs.example.com/privkey.pem": str(certificate[1]),
        **more,
    }
    files = installed(site)
    # A second site on the same machine.
    copy = folder / "copy.conf"
    text = site.read_text(encoding="utf-8")
    copy.write_text(text.replace("server_name docs.", "server_name wiki."))
    files["conf.d/wiki.example.com.conf"] = copy
    return Nginx(folder, files, changes)


def _caddy(
    folder: Path,
    site: Path,
    ports: dict[str, int],
    certificate: tuple[Path, Path],
    more: dict[str, str],
) -> Proxy:
    # Without a certificate authority, and on this machine only.
    options = (
        "admin off\n\tdefault_bind 127.0.0.1\n\t"
        f"http_port {ports['http']}\n\thttps_port {ports['https']}\n\tservers {{"
    )
    name = f"https://localhost:{ports['https']} {{\n\ttls {certificate[0]} {certificate[1]}"
    changes = {
        "servers {": options,
        "docs.example.com {": name,
        "/var/www/docs.example.com": str(folder / "site"),
        **more,
    }
    return Caddy(folder, {"Caddyfile": site}, changes)


def _haproxy(
    folder: Path,
    site: Path,
    ports: dict[str, int],
    certificate: tuple[Path, Path],
    more: dict[str, str],
) -> Proxy:
    both = folder / "haproxy.pem"
    both.write_text("".join(path.read_text() for path in certificate))
    changes = {
        "bind :80\n": f"bind 127.0.0.1:{ports['http']}\n",
        "bind :443 ": f"bind 127.0.0.1:{ports['https']} ",
        "/etc/ssl/tokens.example.com/haproxy.pem": str(both),
        "log /dev/log local0": "log stdout format raw local0",
        # The user of the tests reads the certificate, and cannot become another one.
        "    user haproxy\n    group haproxy\n": "",
        **more,
    }
    return HAProxy(folder, {"haproxy.cfg": site}, changes)


def installed(site: Path) -> dict[str, Path]:
    """The files of a recipe, by their place in nginx's folder."""
    shared = site.parents[1] / "nginx"
    return {
        f"conf.d/{site.name}": site,
        "conf.d/00-sentifyd.conf": shared / "sentifyd-http.conf",
        **{
            f"sentifyd-{name}.conf": shared / f"sentifyd-{name}.conf"
            for name in ("proxy", "server")
        },
    }


def free_ports() -> dict[str, int]:
    """Free ports for HTTP and HTTPS."""
    return {"http": free_port(), "https": free_port()}


def recommended(file: Path) -> dict[str, str]:
    """The variables of a recipe; neither ports nor secrets, because the unit sets them."""
    lines = file.read_text(encoding="utf-8").splitlines()
    variables = dict(line.split("=", 1) for line in lines if line and line[0] != "#")
    secret = {name for one in declared() if one.secret for name in (one.name, one.file_name)}
    assert not {*secret, "PORT", "METRICS_PORT"} & variables.keys()
    return variables
