"""`sentifyd-edge doctor`: find out why there are no tokens."""

from __future__ import annotations

import argparse
import os

from edge_service.cli.parsing import Group, add_command, epilog
from edge_service.cli.terminal import complain, say

__all__ = ["add_parser", "run"]


def add_parser(group: Group) -> argparse.ArgumentParser:
    """Add the command to the group."""
    parser = add_command(
        group,
        "doctor",
        "find out why there are no tokens",
        "Read the variables that serve reads, log each avatar in to Sentifyd once as the\n"
        "service would, and tell what came back and how to mend it. Redis, the issuer's keys\n"
        "and the certificates are tried too where they are set, and the clock is compared.\n"
        "No key, token or value is printed.",
        epilog(
            "AVATAR_API_KEY_FILE=key.txt ALLOWED_ORIGINS=https://docs.example.com "
            "sentifyd-edge doctor",
            "sentifyd-edge doctor --json",
            statuses={
                0: "all is well",
                1: "there is something to mend",
                2: "the settings are wrong: a line for each mistake, on standard error or as JSON",
                130: "Ctrl-C ended it",
            },
        ),
    )
    parser.add_argument("--json", action="store_true", help="print the verdicts as JSON")
    return parser


def run(options: argparse.Namespace) -> int:
    """Run the command; returns its exit status."""
    from edge_service.doctor.checks import examine, refuse
    from edge_service.settings import Settings, SettingsError
    from edge_service.settings.environment import advice

    try:
        settings = Settings.from_env()
    except SettingsError as error:
        lines = [*error.problems, *advice(os.environ)]
        if not options.json:
            return complain(*lines)
        refuse(lines, say)
        return 2
    return examine(settings, os.environ, say, as_json=options.json)
