"""The form of a command's help."""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Mapping
from pathlib import Path

__all__ = ["STOPPED", "add_command", "epilog"]

STOPPED = {
    2: "it could not go on: one line on standard error says why",
    130: "a signal stopped it; running it again does the rest",
}


def add_command(
    commands: argparse._SubParsersAction[argparse.ArgumentParser],
    name: str,
    *,
    summary: str,
    description: str,
    examples: Iterable[str],
    statuses: Mapping[int, str],
) -> argparse.ArgumentParser:
    """Add a command that works on a built site.

    Args:
        commands: those of the program.
        name: of the command.
        summary: one line for the list of commands.
        description: for its own help.
        examples: command lines.
        statuses: what 0 and 1 mean as exit status.
    """
    command = commands.add_parser(
        name,
        help=summary,
        description=description,
        epilog=epilog(*examples, statuses={**statuses, **STOPPED}),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    command.add_argument("site_dir", type=Path, metavar="SITE_DIR", help="the built site")
    command.add_argument(
        "--config-file",
        type=Path,
        default=Path("mkdocs.yml"),
        metavar="FILE",
        help="the configuration with the sentifyd section (mkdocs.yml)",
    )
    return command


def epilog(*examples: str, statuses: Mapping[int, str]) -> str:
    """Examples and exit statuses, as sections of a title and indented lines."""
    lines = [f"{number:<3}  {text}" for number, text in statuses.items()]
    return "\n".join(["examples:", *_indented(examples), "", "exit status:", *_indented(lines)])


def _indented(lines: Iterable[str]) -> list[str]:
    return [f"  {line}" for line in lines]
