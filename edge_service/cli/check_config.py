"""`sentifyd-edge check-config`: validate the settings of `serve`, without network and login."""

from __future__ import annotations

import argparse
import json
import os
from collections.abc import Iterator
from typing import TYPE_CHECKING

from edge_service.cli.parsing import Group, add_command, add_env_file, epilog
from edge_service.cli.terminal import print_note, print_problems, print_result

if TYPE_CHECKING:
    from edge_service.settings.env_file import Source

__all__ = ["add_parser", "run"]


def add_parser(group: Group) -> argparse.ArgumentParser:
    """Add the command to the group."""
    parser = add_command(
        group,
        "check-config",
        "validate the settings, without network and login",
        "Validate the variables of serve, and every file that they name, as serve does at its\n"
        "start. It opens no connection, makes no login, and prints no value. For workflows, init\n"
        "containers, and before a reload. doctor also tries the login, Redis and the issuer.",
        epilog(
            "sentifyd-edge check-config --env-file /etc/sentifyd/sentifyd-edge.env",
            "sentifyd-edge check-config --json",
            statuses={
                0: "the settings are valid",
                2: "they are not: one line for each mistake, on standard error or as JSON",
            },
        ),
    )
    add_env_file(parser)
    parser.add_argument("--json", action="store_true", help="print the verdicts as JSON")
    return parser


def run(options: argparse.Namespace) -> int:
    """Run the command; returns its exit status."""
    from edge_service.settings import Settings, SettingsError
    from edge_service.settings.env_file import Source
    from edge_service.settings.environment import advice

    source = Source(os.environ, options.env_file)
    environ: dict[str, str] = {}
    try:
        environ, shadowed = source.read()
        Settings.from_env(environ)
    except SettingsError as error:
        lines = [*error.problems, *advice(environ)]
        if options.json:
            fix = "fix the settings, and try again"
            print_result(_as_json([_verdict("settings-wrong", line, fix) for line in lines]))
            return 2
        return print_problems(*lines)
    notes = [*advice(environ), *_notes(source, shadowed)]
    if options.json:
        valid = _verdict("ok", "the settings are valid")
        print_result(_as_json([valid, *(_verdict("note", note) for note in notes)]))
    else:
        if notes:
            print_note(*(f"sentifyd-edge: {note}" for note in notes))
        print_result("the settings are valid")
    return 0


def _notes(source: Source, shadowed: list[str]) -> Iterator[str]:
    if source.is_exposed():
        yield f"--env-file: every user can read the secrets in {source.path}: run chmod 600 on it"
    for name in shadowed:
        yield f"{name} in the file has no effect, because the process has this variable too"


def _verdict(code: str, what: str, fix: str = "") -> dict[str, object]:
    return {"ok": not fix, "where": "settings", "code": code, "what": what, "fix": fix}


def _as_json(verdicts: list[dict[str, object]]) -> str:
    """In the form of `doctor`."""
    return json.dumps({"ok": all(v["ok"] for v in verdicts), "verdicts": verdicts}, indent=2)
