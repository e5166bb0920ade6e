"""`sentifyd-edge preview`: run sandbox and token service for a site under development."""

from __future__ import annotations

import argparse

from edge_service.cli.parsing import STATUSES, Group, add_command, epilog
from edge_service.cli.terminal import print_note, print_problems, print_result

__all__ = ["add_parser", "run"]


def add_parser(group: Group) -> argparse.ArgumentParser:
    """Add the command to the group."""
    parser = add_command(
        group,
        "preview",
        "run sandbox and token service for a site under development",
        "Run a sandbox and a token service on two free ports of 127.0.0.1, for a site that is\n"
        "served on this machine. The first line on standard output is JSON with their URLs.",
        epilog(
            "sentifyd-edge preview",
            "sentifyd-edge preview --origin http://127.0.0.1:8000 --origin http://localhost:8000",
            statuses=STATUSES,
        ),
    )
    parser.add_argument(
        "--origin",
        action="append",
        metavar="URL",
        help="origin whose pages get tokens; may be repeated (http://127.0.0.1:8000 and "
        "http://localhost:8000)",
    )
    parser.add_argument(
        "--with-parent",
        action="store_true",
        help="stop when standard input is closed, that is, with the program that started it",
    )
    return parser


def run(options: argparse.Namespace) -> int:
    """Run the command; returns its exit status."""
    from edge_service.sandbox.preview import run_preview
    from edge_service.server.serving import AddressUnavailable
    from edge_service.settings import urls

    listed = ",".join(options.origin or ("http://127.0.0.1:8000", "http://localhost:8000"))
    if "*" in listed:
        return print_problems(
            "--origin contains *: list each origin, such as http://127.0.0.1:8000"
        )
    try:
        origins = urls.origins(listed, allow_any=False)
    except ValueError as error:
        return print_problems(f"--origin {error}")

    def announce(addresses: str) -> None:
        print_result(addresses)
        print_note(f"A Sentifyd sandbox for {', '.join(sorted(origins))}. Stop with Ctrl-C.")

    try:
        run_preview(origins, announce, with_parent=options.with_parent)
    except AddressUnavailable as error:
        return print_problems(str(error))
    return 0
