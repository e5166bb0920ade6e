"""`sentifyd-edge serve`: serve the token endpoint."""

from __future__ import annotations

import argparse
import os
import sys

from edge_service.cli.parsing import STATUSES, Group, add_command, add_env_file, epilog
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
        "lines. SIGTERM and Ctrl-C shut it down gracefully; SIGHUP reads all files again.",
        epilog(
            "AVATAR_API_KEY_FILE=key.txt ALLOWED_ORIGINS=https://docs.example.com "
            "sentifyd-edge serve",
            "AVATARS_FILE=avatars.toml sentifyd-edge serve --host 0.0.0.0 --port 8080",
            "sentifyd-edge serve --env-file /etc/sentifyd/sentifyd-edge.env",
            variables={one.file_name or one.name: one.summary for one in declared() if one.summary},
            statuses=STATUSES,
        ),
    )
    parser.add_argument("--host", help=f"address to listen on (HOST, {Variables.HOST.default})")
    # Validated together with the variables, so that all mistakes are reported at once.
    parser.add_argument(
        "--port", help=f"port to listen on, 0 for any free one (PORT, {Variables.PORT.default})"
    )
    add_env_file(parser)
    parser.add_argument(
        "--watch",
        action="store_true",
        help="read all files again when one changes, as SIGHUP does; for Kubernetes",
    )
    return parser


def run(options: argparse.Namespace) -> int:
    """Run the command; returns its exit status."""
    from edge_service.server import startup
    from edge_service.settings import SettingsError
    from edge_service.settings.env_file import Source
    from edge_service.settings.environment import advice

    process, shown = dict(os.environ), {}
    for name, argument in (("HOST", options.host), ("PORT", options.port)):
        if argument is not None:
            process[name] = argument
            shown[name] = f"--{name.lower()}"
    defaults = {"LOG_FORMAT": "console"} if sys.stdout.isatty() else {}
    source = Source(process, options.env_file, shown, defaults)
    loaded = startup.Loaded(source)
    try:
        sockets = startup.prepare(loaded)
    except SettingsError as error:
        lines = [*error.problems, *advice(loaded.environ)]
        if sys.stderr.isatty() and any(
            line.startswith("AVATAR_API_KEY is not set") for line in lines
        ):
            lines.append(
                "for an example, see sentifyd-edge serve --help; to try it without an account, run "
                "sentifyd-edge sandbox and follow its output"
            )
        return print_problems(*lines)

    if options.watch and not loaded.files:
        for sock in sockets:
            sock.close()
        return print_problems(
            "--watch finds no file to watch: give --env-file, or name a file in a variable such as "
            "AVATAR_API_KEY_FILE"
        )

    def greet(port: int) -> None:
        from edge_service.server.welcome import welcome

        text, entries = welcome(loaded.settings, port, advice(loaded.environ))
        print_note(*text, copied=tuple(entries))

    # Greet only if both streams are terminals: a redirected log must contain the line `listening`.
    for_people = sys.stderr.isatty() and sys.stdout.isatty()
    for_people = for_people and loaded.environ["LOG_FORMAT"].strip().lower() != "json"
    startup.run(loaded, sockets, source, greet if for_people else None, watch=options.watch)
    return 0
