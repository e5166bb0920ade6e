"""`sentifyd-edge demo`: show a documentation site with an avatar."""

from __future__ import annotations

import argparse
from pathlib import Path

from edge_service.cli.parsing import STATUSES, Group, add_command, add_token_life, epilog
from edge_service.cli.terminal import print_problems, print_text

__all__ = ["add_parser", "run"]


def add_parser(group: Group) -> argparse.ArgumentParser:
    """Add the command to the group."""
    parser = add_command(
        group,
        "demo",
        "show a documentation site with an avatar",
        "Build a documentation site, and serve it with a token endpoint and a sandbox on three\n"
        "ports of 127.0.0.1.",
        epilog(
            "sentifyd-edge demo",
            "SITE_PORT=8001 sentifyd-edge demo --token-life 30 "
            "--config-file example_docs/mkdocs.yml",
            variables={
                "SITE_PORT": "port of the site (8000)",
                "EDGE_PORT": "port of the token endpoint (8080)",
                "SANDBOX_PORT": "port of the sandbox (8090)",
            },
            statuses=STATUSES,
        ),
    )
    parser.add_argument(
        "--config-file",
        type=Path,
        metavar="FILE",
        help="the site (example_docs/mkdocs.yml)",
    )
    add_token_life(parser)
    return parser


def run(options: argparse.Namespace) -> int:
    """Run the command; returns its exit status."""
    from edge_service.sandbox.demo import EXAMPLE, DemoError, run_demo

    try:
        run_demo(options.config_file or EXAMPLE, options.token_life, print_text)
    except DemoError as error:
        return print_problems(str(error))
    return 0
