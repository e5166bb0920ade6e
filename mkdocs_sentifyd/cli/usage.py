"""The layout of a command's help."""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Mapping
from pathlib import Path

__all__ = ["STOPPED", "add_command", "epilog"]

STOPPED = {
    2: "it failed: one line on standard error gives the reason",
    130: "a signal stopped it; run it again to finish",
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
        commands: the program's commands.
        name: name of the command.
        summary: one line for the list of commands.
        description: text of the command's own help.
        examples: command lines.
        statuses: the meanings of the exit statuses 0 and 1.
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
    """Format examples and exit statuses as sections with a title and indented lines."""
    lines = [f"{number:<3}  {text}" for number, text in statuses.items()]
    return "\n".join(["examples:", *_indented(examples), "", "exit status:", *_indented(lines)])


def _indented(lines: Iterable[str]) -> list[str]:
    return [f"  {line}" for line in lines]
