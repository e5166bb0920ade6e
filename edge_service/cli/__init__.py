"""`sentifyd-edge`: serve the token endpoint, find faults, run the sandbox, show the demo."""

from __future__ import annotations

import argparse
import importlib.util
import os
import sys
from collections.abc import Sequence

from edge_service.cli.arguments import Command, build_parser

__all__ = ["main", "parser"]

_EXTRA = (
    *("starlette", "uvicorn", "requests", "structlog", "joserfc", "websockets"),
    *("limits", "cryptography", "prometheus_client"),
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command.

    Args:
        arguments: the command line; the process' own when not given.

    Returns:
        The exit status: 0; 1 when `doctor` found something, or nobody reads the output; 2 when
        something must be mended first (one line a mistake on stderr).
    """
    options = parser().parse_args(arguments)
    missing = [name for name in _EXTRA if importlib.util.find_spec(name) is None]
    if missing:
        return _complain(f"needs {', '.join(missing)}: run pip install 'mkdocs-sentifyd[service]'")
    command: Command = options.command
    try:
        return command(options)
    except ImportError as error:
        if error.name is None or error.name.partition(".")[0] != "uvicorn":
            raise
        return _complain(str(error))
    except BrokenPipeError:
        # Whoever read the output has gone. Python would complain once more at the end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except KeyboardInterrupt:
        # A service that listens has a handler of its own for the signal.
        return 130


def parser() -> argparse.ArgumentParser:
    """The parser of the command line, for whoever documents or completes it."""
    return build_parser(
        {
            "serve": _serve,
            "doctor": _doctor,
            "keygen": _keygen,
            "sandbox": _sandbox,
            "preview": _preview,
            "demo": _demo,
        }
    )


def _serve(options: argparse.Namespace) -> int:
    from edge_service.server import startup
    from edge_service.settings import SettingsError
    from edge_service.settings.lookalikes import advice

    environ, shown = dict(os.environ), {}
    for name, argument in (("HOST", options.host), ("PORT", options.port)):
        if argument is not None:
            environ[name] = argument
            shown[name] = f"--{name.lower()}"
    # A person at a terminal reads words; whatever collects lines gets JSON, and so do people who
    # ask for it.
    wants_json = environ.get("LOG_FORMAT", "").strip().lower() == "json"
    # Where a log is collected, a line that went to a terminal instead would be missing from it.
    for_people = sys.stderr.isatty() and sys.stdout.isatty() and not wants_json
    if sys.stdout.isatty():
        environ.setdefault("LOG_FORMAT", "console")
    try:
        settings, sockets = startup.prepare(environ, shown)
    except SettingsError as error:
        lines = [*error.problems, *advice(environ)]
        if sys.stderr.isatty() and any(
            line.startswith("AVATAR_API_KEY is not set") for line in lines
        ):
            lines.append(
                "an example is in sentifyd-edge serve --help; to try it without an account, run "
                "sentifyd-edge sandbox, and do what it prints"
            )
        return _complain(*lines)

    def greet(port: int) -> None:
        from edge_service.server.welcome import welcome

        _note(*welcome(settings, port, advice(environ)))

    startup.run(settings, sockets, environ, greet if for_people else None)
    return 0


def _doctor(options: argparse.Namespace) -> int:
    from edge_service.doctor.checks import examine, refuse
    from edge_service.settings import Settings, SettingsError
    from edge_service.settings.lookalikes import advice

    try:
        settings = Settings.from_env()
    except SettingsError as error:
        lines = [*error.problems, *advice(os.environ)]
        if not options.json:
            return _complain(*lines)
        refuse(lines, _say)
        return 2
    return examine(settings, os.environ, _say, as_json=options.json)


def _keygen(_: argparse.Namespace) -> int:
    from edge_service.sealing import new_key

    _say(new_key())
    return 0


def _sandbox(options: argparse.Namespace) -> int:
    from edge_service.sandbox.app import Sandbox, create_sandbox
    from edge_service.server import serving

    api_key = options.api_key or os.environ.get("SANDBOX_API_KEY") or "sandbox-only-key"
    try:
        sock = serving.bind("127.0.0.1", options.port, "--port or SANDBOX_PORT")
    except serving.AddressUnavailable as error:
        return _complain(str(error))
    base = f"http://127.0.0.1:{sock.getsockname()[1]}"
    shown = api_key if api_key == "sandbox-only-key" else "(the key that you chose)"

    def announce() -> None:
        _say(
            f"Sentifyd sandbox on {base}; tokens live {options.token_life} s. Stop with Ctrl-C.",
            "",
            "A token service that logs in here, to start in another terminal:",
            f"  SENTIFYD_BACKEND={base} AVATAR_API_KEY={shown} \\",
            "  ALLOWED_ORIGINS=http://127.0.0.1:8000,http://localhost:8000 sentifyd-edge serve",
            "",
            "The component for the plugin, in the sentifyd section of mkdocs.yml:",
            f"  loader: {{url: {base}/sentifyd-bot/main.js}}",
        )

    app = create_sandbox(Sandbox(api_key, options.token_life))
    serving.serve([(app, sock)], announce, websockets=True)
    return 0


def _preview(options: argparse.Namespace) -> int:
    from edge_service.sandbox.preview import run_preview
    from edge_service.server.serving import AddressUnavailable
    from edge_service.settings import urls

    listed = ",".join(options.origin or ("http://127.0.0.1:8000", "http://localhost:8000"))
    if "*" in listed:
        return _complain("--origin holds *: name each origin, such as http://127.0.0.1:8000")
    try:
        origins = urls.origins(listed, allow_any=False)
    except ValueError as error:
        return _complain(f"--origin {error}")

    def announce(addresses: str) -> None:
        _say(addresses)
        _note(f"A Sentifyd sandbox for {', '.join(sorted(origins))}. Stop with Ctrl-C.")

    try:
        run_preview(origins, announce, with_parent=options.with_parent)
    except AddressUnavailable as error:
        return _complain(str(error))
    return 0


def _demo(options: argparse.Namespace) -> int:
    from edge_service.sandbox.demo import EXAMPLE, DemoError, run_demo

    try:
        run_demo(options.config_file or EXAMPLE, options.token_life, _say)
    except DemoError as error:
        return _complain(str(error))
    return 0


def _say(*lines: str) -> None:
    print(*lines, sep="\n", flush=True)  # noqa: T201 - this is the command line


def _note(*lines: str) -> None:
    print(*lines, sep="\n", file=sys.stderr, flush=True)  # noqa: T201


def _complain(*problems: str) -> int:
    _note(*(f"sentifyd-edge: {problem}" for problem in problems))
    return 2
