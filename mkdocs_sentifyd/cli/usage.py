"""The layout of a command's help."""

from __future__ import annotations

import argparse
import re
import textwrap
from collections.abc import Iterable, Mapping
from pathlib import Path

__all__ = ["STOPPED", "HelpFormatter", "add_command", "epilog"]

STOPPED = {
    2: "it failed: one line on standard error gives the reason",
    130: "a signal stopped it; run it again to finish",
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
    commands: argparse._SubParsersAction[argparse.ArgumentParser],
    name: str,
    *,
    summary: str,
    description: str,
    examples: Iterable[str],
    statuses: Mapping[int, str],
    is_site_optional: bool = False,
) -> argparse.ArgumentParser:
    """Add a command that works on a built site.

    Args:
        commands: the program's commands.
        name: name of the command.
        summary: one line for the list of commands.
        description: text of the command's own help.
        examples: command lines.
        statuses: the meanings of the exit statuses 0 and 1.
        is_site_optional: whether the command also works before the site is built.
    """
    command = commands.add_parser(
        name,
        help=summary,
        description=" ".join(description.splitlines()),
        epilog=epilog(*examples, statuses={**statuses, **STOPPED}),
        formatter_class=HelpFormatter,
    )
    command.add_argument(
        "site_dir",
        type=Path,
        nargs="?" if is_site_optional else None,
        metavar="SITE_DIR",
        help="the built site",
    )
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
