"""A real nginx that runs committed configuration files, with other paths and ports in them."""

from __future__ import annotations

import os
import shutil
import signal
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import requests
from requests.adapters import HTTPAdapter

from tests.support import missing
from tests.support.processes import Command

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


class Nginx:
    """A running nginx, for the length of a `with` block.

    Args:
        folder: for all files that it reads and writes; logs go to `log/`.
        files: configuration files, by their path below `folder`; those in `conf.d` are read in the
            order of their names, and may include the others.
        changes: texts to replace in the files; each must be in one of them.
    """

    def __init__(self, folder: Path, files: Mapping[str, Path], changes: Mapping[str, str]) -> None:
        self.folder = folder
        self._executable = executable()
        for name in ("conf.d", "log", "temporary"):
            (folder / name).mkdir()
        unused = set(changes)
        for name, file in files.items():
            text = file.read_text(encoding="utf-8")
            for old, new in changes.items():
                if old in text:
                    unused.discard(old)
                    text = text.replace(old, new)
            (folder / name).write_text(text, encoding="utf-8")
        assert not unused, f"not in the configuration: {unused}"
        # A worker that runs as another user could not read the test's files.
        user = "user root;" if os.getuid() == 0 else ""
        frame = FRAME.format(folder=folder, user=user)
        (folder / "nginx.conf").write_text(frame, encoding="utf-8")

    def __enter__(self) -> Nginx:
        self._command = Command(
            *(self._executable, "-p", str(self.folder), "-c", str(self.folder / "nginx.conf"))
        )
        try:
            self._command.wait_for("start worker process ", seconds=20)
        except AssertionError:
            self._command.wait()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        status = self._command.stop(signal.SIGTERM)
        assert status == 0, self._command.output

    @property
    def output(self) -> str:
        """Its output on standard error."""
        return self._command.output

    def log(self, name: str) -> str:
        """The content of a log file."""
        return (self.folder / "log" / name).read_text(encoding="utf-8")

    def everything_written(self) -> str:
        """Every file of its folder, and its output."""
        files = (path for path in self.folder.rglob("*") if path.is_file())
        return "\n".join([*(path.read_text("latin-1") for path in files), self.output])


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
    # Debian installs it in a folder that is only in root's PATH.
    path = f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin"
    if (found := shutil.which("nginx", path=path)) is None:
        missing.skip("no nginx: run 'sudo apt-get install nginx-light'")
    return found
