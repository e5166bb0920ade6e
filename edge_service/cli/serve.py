"""`sentifyd-edge serve`: serve the token endpoint."""

from __future__ import annotations

import argparse
import os
import sys

from edge_service.cli.parsing import STATUSES, Group, add_command, epilog
from edge_service.cli.terminal import print_note, print_problems

__all__ = ["add_parser", "run"]


def add_parser(group: Group) -> argparse.ArgumentParser:
    """Add the command to the group."""
    from edge_service.settings.variables import Variables, declared

    parser = add_command(
        group,
        "serve",
        "serve the token endpoint",
        "Serve the token endpoint. Environment variables configure it; two of them are\n"
        "required. At a terminal it prints the lines for mkdocs.yml, otherwise it logs JSON\n"
        "lines. SIGTERM and Ctrl-C shut it down gracefully; SIGHUP reloads AVATARS_FILE.",
        epilog(
            "AVATAR_API_KEY_FILE=key.txt ALLOWED_ORIGINS=https://docs.example.com "
            "sentifyd-edge serve",
            "AVATARS_FILE=avatars.toml sentifyd-edge serve --host 0.0.0.0 --port 8080",
            variables={one.file_name or one.name: one.summary for one in declared() if one.summary},
            statuses=STATUSES,
        ),
    )
    parser.add_argument("--host", help=f"address to listen on (HOST, {Variables.HOST.default})")
    # Validated together with the variables, so that all mistakes are reported at once.
    parser.add_argument(
        "--port", help=f"port to listen on, 0 for any free one (PORT, {Variables.PORT.default})"
    )
    return parser


def run(options: argparse.Namespace) -> int:
    """Run the command; returns its exit status."""
    from edge_service.server import startup
    from edge_service.settings import SettingsError
    from edge_service.settings.environment import advice

    environ, shown = dict(os.environ), {}
    for name, argument in (("HOST", options.host), ("PORT", options.port)):
        if argument is not None:
            environ[name] = argument
            shown[name] = f"--{name.lower()}"
    wants_json = environ.get("LOG_FORMAT", "").strip().lower() == "json"
    # Greet only if both streams are terminals: a redirected log must contain the line `listening`.
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
                "for an example, see sentifyd-edge serve --help; to try it without an account, run "
                "sentifyd-edge sandbox and follow its output"
            )
        return print_problems(*lines)

    def greet(port: int) -> None:
        from edge_service.server.welcome import welcome

        text, entries = welcome(settings, port, advice(environ))
        print_note(*text, copied=tuple(entries))

    startup.run(settings, sockets, environ, greet if for_people else None)
    return 0
