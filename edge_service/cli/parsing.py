"""Shared code of the commands' parsers: help in sections, and types of arguments."""

from __future__ import annotations

import argparse
import re
import textwrap
from collections.abc import Mapping
from pathlib import Path
from typing import TypeAlias

__all__ = [
    "STATUSES",
    "Group",
    "HelpFormatter",
    "add_command",
    "add_env_file",
    "add_token_life",
    "epilog",
    "port",
]

# argparse has no public name for this class, which is generic in type stubs only.
Group: TypeAlias = "argparse._SubParsersAction[argparse.ArgumentParser]"  # noqa: SLF001
STATUSES = {
    0: "stopped by a signal or Ctrl-C",
    2: "something must be fixed first: one line for each mistake, on standard error",
    130: "Ctrl-C before it was ready",
}


class HelpFormatter(argparse.RawDescriptionHelpFormatter):
    """Breaks text between words at the terminal's width; examples stay whole, to be copied."""

    def _fill_text(self, text: str, width: int, indent: str) -> str:
        title, parts = "", []
        for line in text.splitlines():
            title = line if line.endswith(":") and line[0] != " " else title
            if len(line) <= width or title == "examples:":
                parts.append(indent + line)
            else:
                # A second column continues in its column.
                column = re.match(r" *\S+ {2,}|", line)
                parts += textwrap.wrap(
                    line,
                    width,
                    initial_indent=indent,
                    subsequent_indent=indent + " " * len(column[0] if column else ""),
                    break_long_words=False,
                    break_on_hyphens=False,
                )
        return "\n".join(parts)


def add_command(
    group: Group, name: str, summary: str, description: str, epilog: str
) -> argparse.ArgumentParser:
    """Add a command, and return its parser.

    Args:
        group: the group of all commands.
        name: its name on the command line.
        summary: its line in the list of commands.
        description: what it does.
        epilog: from `epilog`.
    """
    return group.add_parser(
        name,
        help=summary,
        description=" ".join(description.splitlines()),
        epilog=epilog,
        formatter_class=HelpFormatter,
    )


def epilog(
    *examples: str, statuses: Mapping[int, str], variables: Mapping[str, str] | None = None
) -> str:
    """The end of a help text: examples, environment variables and exit statuses, in sections."""
    sections = {"examples": list(examples)}
    if variables:
        width = max(map(len, variables))
        sections["environment"] = [f"{name:{width}}  {text}" for name, text in variables.items()]
    sections["exit status"] = [f"{number:<3}  {text}" for number, text in statuses.items()]
    return "\n\n".join(
        "\n".join([f"{title}:", *(f"  {line}" for line in lines)])
        for title, lines in sections.items()
    )


def add_env_file(parser: argparse.ArgumentParser) -> None:
    """Add `--env-file`."""
    parser.add_argument(
        "--env-file",
        type=Path,
        metavar="PATH",
        help="a file of variables, one NAME=VALUE in each line; those of the process win",
    )


def add_token_life(parser: argparse.ArgumentParser) -> None:
    """Add `--token-life`."""
    parser.add_argument(
        "--token-life",
        type=_seconds,
        default=30,
        metavar="SECONDS",
        help="lifetime of access tokens in seconds, 1 to 3600 (30)",
    )


def port(text: str) -> int:
    """A TCP port, or 0 for any free one."""
    return _whole_number(text, 0, 65535)


def _seconds(text: str) -> int:
    return _whole_number(text, 1, 3600)


def _whole_number(text: str, least: int, most: int) -> int:
    if not text.isascii() or not text.isdigit() or not least <= int(text) <= most:
        raise argparse.ArgumentTypeError(f"must be a whole number from {least} to {most}")
    return int(text)
