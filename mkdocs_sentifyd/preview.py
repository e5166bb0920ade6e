"""Run a sandbox and a token service for `mkdocs serve`, in a process that ends with it."""

from __future__ import annotations

import importlib.util
import ipaddress
import json
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from typing import IO, TypedDict

__all__ = ["Preview", "PreviewError", "local_origins"]

START_SECONDS = 30.0
STOP_SECONDS = 5.0
_LOOPBACK = ("127.0.0.1", "localhost")


class PreviewError(Exception):
    """The preview cannot run; the text is one line that says how to fix it."""


class _Addresses(TypedDict):
    token_endpoint: str
    loaders: dict[str, str]


class Preview:
    """A running sandbox and token service; create one with `start`.

    Attributes:
        token_endpoint: URL of the token endpoint.
        loaders: URL of the loader for each component, `bot` and `realtime`.
    """

    token_endpoint: str
    loaders: Mapping[str, str]

    def __init__(
        self, process: subprocess.Popen[str], reader: threading.Thread, addresses: _Addresses
    ) -> None:
        self.token_endpoint = addresses["token_endpoint"]
        self.loaders = addresses["loaders"]
        self._process = process
        self._reader = reader

    @classmethod
    def start(cls, origins: Sequence[str]) -> Preview:
        """Start sandbox and token service, and wait until they answer.

        Args:
            origins: origins of the previewed site; see `local_origins`.

        Raises:
            PreviewError: the extra `service` is not installed, or the start fails.
        """
        if any(importlib.util.find_spec(name) is None for name in ("starlette", "uvicorn")):
            raise PreviewError(
                "preview: sandbox needs the token service: "
                "run pip install 'mkdocs-sentifyd[service]', or set preview: live"
            )
        # -P keeps the site's folder off sys.path, where it could shadow modules of the service.
        command = [sys.executable, "-P", "-m", "edge_service.cli", "preview", "--with-parent"]
        process = subprocess.Popen(  # noqa: S603 - our own interpreter, no shell
            [*command, *(f"--origin={origin}" for origin in origins)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            encoding="utf-8",
            errors="replace",
            # Keeps Ctrl-C away from this process: MkDocs receives it, and then stops the preview.
            start_new_session=True,
        )
        ready: Future[_Addresses] = Future()
        reader = threading.Thread(target=_read, args=(process.stdout, ready), daemon=True)
        reader.start()
        try:
            return cls(process, reader, ready.result(START_SECONDS))
        except TimeoutError:
            _end(process, reader)
            raise PreviewError(
                f"preview: sandbox did not start within {START_SECONDS:g} seconds: "
                "try again, or set preview: live"
            ) from None
        except BaseException:
            _end(process, reader)
            raise

    @property
    def is_running(self) -> bool:
        """Whether the process is still running."""
        return self._process.poll() is None

    def stop(self) -> None:
        """Stop the process, and wait until it has ended."""
        _end(self._process, self._reader)


def local_origins(dev_addr: tuple[str, int]) -> list[str]:
    """Return the origins under which a browser on this machine can open a local server.

    Args:
        dev_addr: host and port that the server listens on.
    """
    host, port = dev_addr[0].strip("[]").lower(), dev_addr[1]
    hosts = [host]
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        if host == "localhost":
            hosts = [*_LOOPBACK]
    else:
        if address.is_unspecified:
            hosts = [*_LOOPBACK, *(["::1"] if address.version == 6 else [])]
        elif address.is_loopback:
            hosts = [host, *_LOOPBACK]
    # Browsers omit the default port.
    suffix = "" if port == 80 else f":{port}"
    names = (f"[{name}]" if ":" in name else name for name in dict.fromkeys(hosts))
    return [f"http://{name}{suffix}" for name in names]


def _read(output: IO[str], ready: Future[_Addresses]) -> None:
    """Report the addresses, and then keep reading: a full pipe would block the process."""
    last = "it printed no error"
    for line in output:
        if line.startswith("{") and not ready.done():
            ready.set_result(json.loads(line))
        last = line.strip() or last
    if not ready.done():
        ready.set_exception(
            PreviewError(
                f"preview: sandbox did not start ({last}): fix the cause, or set preview: live"
            )
        )


def _end(process: subprocess.Popen[str], reader: threading.Thread) -> None:
    assert process.stdin is not None  # noqa: S101 - for the type checker
    assert process.stdout is not None  # noqa: S101
    process.stdin.close()
    try:
        process.wait(STOP_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    reader.join()
    process.stdout.close()
