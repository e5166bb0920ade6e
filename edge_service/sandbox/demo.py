"""The demo: a built documentation site, a token service and a sandbox, on three loopback ports."""

from __future__ import annotations

import importlib.util
import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from starlette.applications import Starlette
from starlette.routing import Mount
from starlette.staticfiles import StaticFiles

from edge_service.sandbox.preview import HOST, Pair, address
from edge_service.server.serving import AddressUnavailable, bind, serve
from edge_service.telemetry import configure_logging

__all__ = ["EXAMPLE", "DemoError", "run_demo"]

EXAMPLE = Path("example_docs/mkdocs.yml")
STOP_SIGNALS = tuple(
    getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)
)
# Packages that build the example: the name to import, and the name to install.
TOOLS = {
    "mkdocs": "mkdocs",
    "material": "mkdocs-material",
    "mkdocstrings_handlers": "'mkdocstrings[python]'",
}
PORTS = {"SANDBOX_PORT": 8090, "EDGE_PORT": 8080, "SITE_PORT": 8000}


class DemoError(Exception):
    """The demo cannot run; the message says how to fix it."""


def run_demo(config_file: Path, token_life: int, output: Callable[..., None]) -> None:
    """Build the site, serve everything until Ctrl-C, and remove the built site.

    Args:
        config_file: the site's mkdocs.yml. It must read the URLs of loader and token endpoint from
            the variables `SENTIFYD_LOADER_URL` and `SENTIFYD_TOKEN_ENDPOINT`.
        token_life: lifetime of access tokens in seconds.
        output: prints lines for the person at the terminal.

    Raises:
        DemoError: something is missing, a port is in use, or the build of the site fails.
    """
    _check_tools(config_file)
    sandbox_socket, edge_socket, site_socket = _bind_all()
    site = address(site_socket)
    origins = (site, site.replace(HOST, "localhost"))
    api_key = os.environ.get("SANDBOX_API_KEY")
    pair = Pair.on(sandbox_socket, edge_socket, origins, token_life, api_key)
    configure_logging("warning", "console")
    stopped = _handle_signals()
    with tempfile.TemporaryDirectory(prefix="sentifyd-demo-") as folder:
        output("Building the site ...")
        _build(
            config_file,
            Path(folder),
            {
                "SENTIFYD_LOADER_URL": pair.loaders["bot"],
                "SENTIFYD_TOKEN_ENDPOINT": pair.token_endpoint,
                "SITE_URL": f"{site}/",
            },
            stopped,
        )
        begin, excluded = "ask it something about this site", "The page “Without an avatar”"
        guide = f"{site}/guide/site/"
        if config_file != EXAMPLE:
            guide = "example_docs/docs/guide/site.md"
            begin, excluded = "type a message", "A page that you exclude"

        def announce() -> None:
            output(
                "",
                f"  Open {site}/",
                "",
                f"  1. The avatar is at the bottom right: open it, and {begin}.",
                f"  2. Its token expires after {token_life} s: watch how {pair.edge} refreshes it.",
                f"  3. {excluded} has no avatar, and sends no request to a third party.",
                "",
                "  This is a sandbox, not Sentifyd. Stop with Ctrl-C.",
                "",
                "  Next, your own site: run pip install '.[service]' here, add the plugin sentifyd "
                "with preview: sandbox to its mkdocs.yml, and run mkdocs serve there. "
                f"{guide} has the steps.",
            )

        apps = (*pair.apps, (_site(Path(folder)), site_socket))
        serve(apps, announce, STOP_SIGNALS, websockets=True)
    output("", "Stopped.")


def _check_tools(config_file: Path) -> None:
    if not config_file.is_file():
        raise DemoError(
            f"{config_file} does not exist: run this in a clone of the project, or choose a site "
            "with --config-file"
        )
    wanted = TOOLS if config_file == EXAMPLE else {"mkdocs": TOOLS["mkdocs"]}
    missing = [wanted[name] for name in wanted if importlib.util.find_spec(name) is None]
    if missing:
        raise DemoError(f"cannot build the site: run pip install {' '.join(missing)}")


def _bind_all() -> list[socket.socket]:
    sockets: list[socket.socket] = []
    try:
        for variable, default in PORTS.items():
            text = os.environ.get(variable) or str(default)
            if not re.fullmatch(r"[0-9]{1,5}", text) or int(text) > 65535:
                raise DemoError(f"{variable} must be a whole number from 0 to 65535")
            sockets.append(bind(HOST, int(text), variable))
    except AddressUnavailable as error:
        raise DemoError(str(error)) from None
    return sockets


def _handle_signals() -> threading.Event:
    """Return an event that a stop signal sets.

    An exception could arrive just after the build has started, and leave it running.
    """
    stopped = threading.Event()
    for number in STOP_SIGNALS:
        signal.signal(number, lambda *_: stopped.set())
    return stopped


def _build(
    config_file: Path, site_dir: Path, variables: dict[str, str], stopped: threading.Event
) -> None:
    # Without --quiet, with which MkDocs does not count warnings. Other sites may have warnings.
    strict = ["--strict"] if config_file == EXAMPLE else []
    command = [sys.executable, "-m", "mkdocs", "build", *strict]
    with subprocess.Popen(  # noqa: S603 - our own interpreter, no shell
        [*command, "--config-file", str(config_file), "--site-dir", str(site_dir)],
        # Material's notice about MkDocs 2 would hide the error message.
        env={**os.environ, "NO_MKDOCS_2_WARNING": "1", **variables},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as process:
        output = None
        while output is None and not stopped.is_set():
            with suppress(subprocess.TimeoutExpired):
                output, _ = process.communicate(timeout=0.1)
        process.kill()
    # Ctrl-C also stops the build, which may end first.
    if output is None or stopped.is_set():
        raise SystemExit(130)
    if process.returncode:
        lines = [line for line in output.splitlines() if line and not line.startswith("INFO ")]
        raise DemoError("\n".join(["the build of the site failed:", *lines]))


def _site(folder: Path) -> Starlette:
    return Starlette(routes=[Mount("/", StaticFiles(directory=folder, html=True))])
