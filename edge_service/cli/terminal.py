"""Output of the commands: results on standard output, everything else on standard error.

At a terminal, lines of text are broken between words. Elsewhere, and for what readers copy or
programs read, every line stays whole.
"""

from __future__ import annotations

import os
import re
import sys
import textwrap
from typing import TextIO

__all__ = ["print_note", "print_problems", "print_result", "print_text"]

# What stands before the text of a line: an indent, then a mark of a list or a verdict.
_LEAD = re.compile(r" *(?:- |\d+\. |(?:ok|FAIL) +)?")


def print_result(*lines: str) -> None:
    """Print a result, with its lines as they are."""
    print(*lines, sep="\n", flush=True)  # noqa: T201 - this is the command line


def print_text(*lines: str) -> None:
    """Print a result that people read."""
    print_result(*_fitted(lines, sys.stdout))


def print_note(*lines: str, copied: tuple[str, ...] = ()) -> None:
    """Print for a person at the terminal, separate from the result.

    Args:
        lines: text.
        copied: further lines, which stay as they are.
    """
    print(*_fitted(lines, sys.stderr), *copied, sep="\n", file=sys.stderr, flush=True)  # noqa: T201 - the same


def print_problems(*problems: str) -> int:
    """Print one line for each problem, and return the exit status 2."""
    print_note(*(f"sentifyd-edge: {problem}" for problem in problems))
    return 2


def _fitted(lines: tuple[str, ...], stream: TextIO) -> list[str]:
    """The lines, broken between words if the stream is a terminal that is not as wide."""
    try:
        width = os.get_terminal_size(stream.fileno()).columns
    except OSError:
        return [*lines]
    # Some terminals do not know their width.
    return [part for line in lines for part in _parts(line, width or len(line))]


def _parts(line: str, width: int) -> list[str]:
    if len(line) <= width:
        return [line]
    lead = _LEAD.match(line)
    indent = len(lead[0]) if lead else 0
    return textwrap.wrap(
        line,
        width,
        subsequent_indent=" " * (indent or 2),
        # A URL that is broken cannot be opened.
        break_long_words=False,
        break_on_hyphens=False,
    )
