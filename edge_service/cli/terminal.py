"""Output of the commands: results on standard output, everything else on standard error."""

from __future__ import annotations

import sys

__all__ = ["print_note", "print_problems", "print_result"]


def print_result(*lines: str) -> None:
    """Print a result."""
    print(*lines, sep="\n", flush=True)  # noqa: T201 - this is the command line


def print_note(*lines: str) -> None:
    """Print for a person at the terminal, separate from the result."""
    print(*lines, sep="\n", file=sys.stderr, flush=True)  # noqa: T201 - the same


def print_problems(*problems: str) -> int:
    """Print one line for each problem, and return the exit status 2."""
    print_note(*(f"sentifyd-edge: {problem}" for problem in problems))
    return 2
