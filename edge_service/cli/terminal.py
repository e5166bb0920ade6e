"""What the commands print: results on standard output, everything else on standard error."""

from __future__ import annotations

import sys

__all__ = ["complain", "note", "say"]


def say(*lines: str) -> None:
    """Print a result."""
    print(*lines, sep="\n", flush=True)  # noqa: T201 - this is the command line


def note(*lines: str) -> None:
    """Print for the person at the terminal, and not for a program that reads the result."""
    print(*lines, sep="\n", file=sys.stderr, flush=True)  # noqa: T201 - the same


def complain(*problems: str) -> int:
    """Print what must be fixed, a line each; returns the exit status for that."""
    note(*(f"sentifyd-edge: {problem}" for problem in problems))
    return 2
