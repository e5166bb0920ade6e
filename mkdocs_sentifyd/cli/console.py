"""Shared by the commands: messages that fit a terminal, a progress bar, and a clean stop."""

from __future__ import annotations

import os
import signal
import sys
import textwrap
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, TextIO

from mkdocs_sentifyd.site.pages import Progress

if TYPE_CHECKING:
    from rich.progress import Progress as RichProgress

__all__ = ["fitted", "progress_bar", "report", "stoppable"]

MANY_PAGES = 200


def report(line: str) -> None:
    """Print a line on standard error."""
    text = fitted(f"mkdocs-sentifyd: {line}", sys.stderr)
    print(text, file=sys.stderr)  # noqa: T201 - the command line


def fitted(line: str, stream: TextIO) -> str:
    """The line, broken between words if the stream is a terminal that is not as wide."""
    try:
        width = os.get_terminal_size(stream.fileno()).columns
    except OSError:
        return line
    # Some terminals do not know their width.
    if not width or len(line) <= width:
        return line
    return textwrap.fill(
        line,
        width,
        subsequent_indent=" " * (len(line) - len(line.lstrip(" ->")) or 2),
        # A path or a URL that is broken cannot be copied.
        break_long_words=False,
        break_on_hyphens=False,
    )


@contextmanager
def stoppable() -> Iterator[None]:
    """Handle SIGTERM and SIGHUP like Ctrl-C, so that no half-written file remains."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    names = ("SIGINT", "SIGTERM", "SIGHUP")
    numbers = [getattr(signal, name) for name in names if hasattr(signal, name)]

    def stop(*_: object) -> None:
        # A second signal would interrupt the cleanup.
        for number in numbers:
            signal.signal(number, signal.SIG_IGN)
        raise KeyboardInterrupt

    before = {number: signal.signal(number, stop) for number in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def progress_bar() -> Iterator[Progress]:
    """Show a progress bar on a terminal for large sites, and remove it at the end."""
    bar = None

    def show(done: int, total: int) -> None:
        nonlocal bar
        if bar is None and total >= MANY_PAGES and sys.stderr.isatty():
            with suppress(ImportError):
                bar = _bar(total)
        if bar is not None:
            bar.update(bar.task_ids[0], completed=done)

    try:
        yield show
    finally:
        if bar is not None:
            bar.stop()


def _bar(total: int) -> RichProgress:
    from rich.console import Console
    from rich.progress import Progress as RichProgress

    bar = RichProgress(console=Console(stderr=True), transient=True)
    bar.add_task("Pages", total=total)
    bar.start()
    return bar
