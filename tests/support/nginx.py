"""A real nginx that runs committed configuration files, with other paths and ports in them."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import requests
from requests.adapters import HTTPAdapter

from tests.support import proxies
from tests.support.proxies import Proxy

# The main configuration file, as in a distribution's package.
FRAME = """
daemon off;
{user}
pid {folder}/nginx.pid;
worker_processes 1;
error_log stderr notice;
error_log {folder}/log/error.log notice;
events {{ worker_connections 768; }}
http {{
    include /etc/nginx/mime.types;
    default_type application/octet-stream;
    sendfile on;
    gzip on;
    access_log {folder}/log/access.log;
    client_body_temp_path {folder}/temporary/body;
    proxy_temp_path {folder}/temporary/proxy;
    fastcgi_temp_path {folder}/temporary/fastcgi;
    uwsgi_temp_path {folder}/temporary/uwsgi;
    scgi_temp_path {folder}/temporary/scgi;
    include {folder}/conf.d/*.conf;
}}
"""


class Nginx(Proxy):
    """A running nginx.

    Configuration files in `conf.d` are read in the order of their names, and may include the
    others; logs go to `log/`.
    """

    program = "nginx"
    package = "nginx-light"
    ready = "start worker process "

    def __init__(self, folder: Path, files: Mapping[str, Path], changes: Mapping[str, str]) -> None:
        super().__init__(folder, files, changes)
        for name in ("log", "temporary"):
            (folder / name).mkdir()
        # A worker that runs as another user could not read the test's files.
        user = "user root;" if os.getuid() == 0 else ""
        frame = FRAME.format(folder=folder, user=user)
        (folder / "nginx.conf").write_text(frame, encoding="utf-8")

    def arguments(self) -> tuple[str, ...]:
        return "-p", str(self.folder), "-c", str(self.folder / "nginx.conf")


class _FromAddress(HTTPAdapter):
    def __init__(self, address: str) -> None:
        self._address = address
        super().__init__()

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:  # noqa: ANN401 - whatever
        kwargs["source_address"] = (self._address, 0)
        super().init_poolmanager(*args, **kwargs)


def visitor_from(address: str, certificate: Path | None = None) -> requests.Session:
    """A session that connects from an address of the loopback network.

    Args:
        address: such as 127.0.0.2.
        certificate: to trust instead of the system's certificates.
    """
    session = requests.Session()
    session.trust_env = False
    if certificate is not None:
        session.verify = str(certificate)
    for scheme in ("http://", "https://"):
        session.mount(scheme, _FromAddress(address))
    return session


def executable() -> str:
    """The path of nginx."""
    return proxies.executable(Nginx.program, Nginx.package)
