"""`sentifyd-edge`: serve the token endpoint, run the sandbox, preview a site, show the demo."""

from __future__ import annotations

import argparse
import importlib.metadata
import importlib.util
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

__all__ = ["main"]

_EXTRA = (
    *("starlette", "uvicorn", "requests", "structlog", "joserfc", "websockets"),
    *("limits", "cryptography", "prometheus_client"),
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command.

    Args:
        arguments: the command line; the process' own when not given.

    Returns:
        The exit status: 0, or 2 when something must be mended first (one line a mistake on stderr).
    """
    options = _parser().parse_args(arguments)
    missing = [name for name in _EXTRA if importlib.util.find_spec(name) is None]
    if missing:
        return _complain(f"needs {', '.join(missing)}: run pip install 'mkdocs-sentifyd[service]'")
    command: Callable[[argparse.Namespace], int] = options.command
    try:
        return command(options)
    except KeyboardInterrupt:
        # Only before it listens: from then on the signal has a handler of its own.
        return 130


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="sentifyd-edge",
        description="A token endpoint for Sentifyd avatars, and a sandbox to try it against.",
    )
    version = importlib.metadata.version("mkdocs-sentifyd")
    parser.add_argument("--version", action="version", version=f"%(prog)s {version}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    serve = commands.add_parser(
        "serve",
        help="serve the token endpoint",
        description="Serve the token endpoint. Everything else is set by environment variables.",
        epilog="AVATAR_API_KEY_FILE=key.txt ALLOWED_ORIGINS=https://docs.example.com "
        "sentifyd-edge serve --port 8080",
    )
    serve.add_argument("--host", help="address to listen on (HOST, 127.0.0.1)")
    serve.add_argument("--port", type=_port, help="port to listen on (PORT, 8080)")
    serve.set_defaults(command=_serve)

    keygen = commands.add_parser(
        "keygen",
        help="print a key for SEAL_KEYS",
        description="Print a new key for SEAL_KEYS. To rotate, append it to the keys that are "
        "there, move it to the front once every process knows it, and take the old one away a day "
        "later.",
        epilog="sentifyd-edge keygen > seal-keys",
    )
    keygen.set_defaults(command=_keygen)

    sandbox = commands.add_parser(
        "sandbox",
        help="run a local stand-in for Sentifyd",
        description="Run a local stand-in for Sentifyd: login API, web component and WebSocket. "
        "It listens on 127.0.0.1 only.",
    )
    sandbox.add_argument(
        "--port",
        type=_port,
        default=_default_port("SANDBOX_PORT", 8090),
        help="(SANDBOX_PORT, 8090)",
    )
    sandbox.add_argument("--api-key", help="key that its login accepts (SANDBOX_API_KEY)")
    _add_token_life(sandbox)
    sandbox.set_defaults(command=_sandbox)

    preview = commands.add_parser(
        "preview",
        help="run sandbox and token service for a site under development",
        description="Run a sandbox and a token service on two free ports of 127.0.0.1, for a site "
        "that is served on this machine. The first line on standard output is JSON and tells the "
        "addresses.",
        epilog="sentifyd-edge preview --origin http://127.0.0.1:8000",
    )
    preview.add_argument(
        "--origin",
        action="append",
        metavar="URL",
        help="whose pages get tokens; may be repeated (http://127.0.0.1:8000 and "
        "http://localhost:8000)",
    )
    preview.add_argument(
        "--with-parent", action="store_true", help="stop when standard input is closed"
    )
    preview.set_defaults(command=_preview)

    demo = commands.add_parser(
        "demo",
        help="show a documentation site with an avatar",
        description="Build a documentation site, and serve it with a token endpoint and a sandbox "
        "on three loopback ports: SITE_PORT (8000), EDGE_PORT (8080) and SANDBOX_PORT (8090).",
    )
    demo.add_argument(
        "--config-file",
        type=Path,
        help="the site (example_docs/mkdocs.yml)",
    )
    _add_token_life(demo)
    demo.set_defaults(command=_demo)
    return parser


def _serve(options: argparse.Namespace) -> int:
    from edge_service import serving
    from edge_service.app import create_app, metrics_app
    from edge_service.settings import Settings, SettingsError
    from edge_service.telemetry import announce, configure_logging, tell_reload

    environ = dict(os.environ)
    if options.host is not None:
        environ["HOST"] = options.host
    if options.port is not None:
        environ["PORT"] = str(options.port)
    try:
        settings = Settings.from_env(environ)
        sock = serving.bind(settings.host, settings.port, "--port or PORT")
        metrics_sock = None
        if settings.metrics_port is not None:
            metrics_sock = serving.bind(settings.host, settings.metrics_port, "METRICS_PORT")
    except SettingsError as error:
        return _complain(*error.problems)
    except serving.AddressUnavailable as error:
        return _complain(str(error))
    configure_logging(settings.log_level, settings.log_format)
    app = create_app(settings)
    apps = [(app, sock)]
    if metrics_sock is not None:
        apps.append((metrics_app(app), metrics_sock))

    def reload() -> None:
        problems: Sequence[str] = ()
        try:
            app.state.avatars.replace(Settings.from_env(environ).avatars)
        except SettingsError as error:
            problems = error.problems
        app.state.metrics.reloaded(ok=not problems)
        tell_reload(problems)

    serving.serve(
        apps,
        lambda: announce(settings, sock.getsockname()[1]),
        # Without a file there is nothing to read again, and the signal ends the process as ever.
        on_hangup=reload if settings.avatars_file is not None else None,
        # A body, a key set, a slot and a login may each have to be waited for.
        grace=8 + 2 * settings.upstream_timeout,
    )
    return 0


def _keygen(_: argparse.Namespace) -> int:
    from edge_service.sealing import new_key

    _say(new_key())
    return 0


def _sandbox(options: argparse.Namespace) -> int:
    from edge_service import serving
    from edge_service.sandbox.app import Sandbox, create_sandbox

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
            f"  token service: SENTIFYD_BACKEND={base} AVATAR_API_KEY={shown}",
            f"  plugin:        loader: {{url: {base}/sentifyd-bot/main.js}}",
        )

    app = create_sandbox(Sandbox(api_key, options.token_life))
    serving.serve([(app, sock)], announce, websockets=True)
    return 0


def _preview(options: argparse.Namespace) -> int:
    from edge_service import variables
    from edge_service.sandbox.preview import run_preview
    from edge_service.serving import AddressUnavailable

    listed = ",".join(options.origin or ("http://127.0.0.1:8000", "http://localhost:8000"))
    if "*" in listed:
        return _complain("--origin holds *: name each origin, such as http://127.0.0.1:8000")
    try:
        origins = variables.origins(listed, allow_any=False)
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


def _add_token_life(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--token-life",
        type=_seconds,
        default=30,
        metavar="SECONDS",
        help="how long an access token lives, 1 to 3600 (30)",
    )


def _default_port(variable: str, default: int) -> str:
    # argparse parses a default that is text, so a malformed variable is reported like an argument.
    return os.environ.get(variable, str(default))


def _port(text: str) -> int:
    return _whole_number(text, 0, 65535)


def _seconds(text: str) -> int:
    return _whole_number(text, 1, 3600)


def _whole_number(text: str, least: int, most: int) -> int:
    if not text.isascii() or not text.isdigit() or not least <= int(text) <= most:
        raise argparse.ArgumentTypeError(f"must be a whole number from {least} to {most}")
    return int(text)


def _say(*lines: str) -> None:
    print(*lines, sep="\n", flush=True)  # noqa: T201 - this is the command line


def _note(*lines: str) -> None:
    print(*lines, sep="\n", file=sys.stderr, flush=True)  # noqa: T201


def _complain(*problems: str) -> int:
    _note(*(f"sentifyd-edge: {problem}" for problem in problems))
    return 2


if __name__ == "__main__":
    sys.exit(main())
