"""`sentifyd-edge doctor`: find out why visitors get no tokens."""

from __future__ import annotations

import argparse
import os
from collections.abc import Mapping

from edge_service.cli.parsing import Group, add_command, add_env_file, epilog
from edge_service.cli.terminal import print_problems, print_result, print_text

__all__ = ["add_parser", "run"]


def add_parser(group: Group) -> argparse.ArgumentParser:
    """Add the command to the group."""
    parser = add_command(
        group,
        "doctor",
        "find out why visitors get no tokens",
        "Check the settings of serve, log each avatar in to Sentifyd once, and report problems\n"
        "and how to fix them. It also checks Redis, the issuer's key set and the certificates,\n"
        "if they are configured, and compares the clock. It prints no key, token or value.",
        epilog(
            "AVATAR_API_KEY_FILE=key.txt ALLOWED_ORIGINS=https://docs.example.com "
            "sentifyd-edge doctor",
            "sentifyd-edge doctor --json",
            statuses={
                0: "no problems",
                1: "problems were found",
                2: "the settings are invalid: one line for each mistake, on standard error or as "
                "JSON",
                130: "stopped by Ctrl-C",
            },
        ),
    )
    add_env_file(parser)
    parser.add_argument("--json", action="store_true", help="print the verdicts as JSON")
    return parser


def run(options: argparse.Namespace) -> int:
    """Run the command; returns its exit status."""
    from edge_service.doctor.checks import examine, refuse
    from edge_service.settings import Settings, SettingsError
    from edge_service.settings.env_file import Source
    from edge_service.settings.environment import advice

    environ: Mapping[str, str] = {}
    try:
        environ, _ = Source(os.environ, options.env_file).read()
        settings = Settings.from_env(environ)
    except SettingsError as error:
        lines = [*error.problems, *advice(environ)]
        if not options.json:
            return print_problems(*lines)
        refuse(lines, print_result)
        return 2
    output = print_result if options.json else print_text
    return examine(settings, environ, output, as_json=options.json)
