"""`mkdocs-sentifyd`: the plugin's work on a built site, and a check of it; one module a command."""

from __future__ import annotations

import argparse
import io
import os
import sys
from collections.abc import Callable, Sequence

from mkdocs_sentifyd.cli import check, inject
from mkdocs_sentifyd.cli.console import report, stoppable
from mkdocs_sentifyd.cli.usage import STOPPED, epilog
from mkdocs_sentifyd.site.config_file import SiteError

__all__ = ["main", "parser"]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command.

    Args:
        arguments: the command line; the process' own when not given.

    Returns:
        The exit status: 0; 1 when pages were left as they were, or a check found something; 2 when
        it could not go on (one line on stderr); 130 when it was stopped.
    """
    options = parser().parse_args(arguments)
    run: Callable[[argparse.Namespace], int] = options.run
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            # The name of a file may not be valid text.
            stream.reconfigure(errors="backslashreplace")
    try:
        with stoppable():
            return run(options)
    except SiteError as error:
        report(str(error))
        return 2
    except BrokenPipeError:
        # Nobody reads the output any more. Python would complain once more at the end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except OSError as error:
        report(f"{error.filename}: {error.strerror}" if error.filename else str(error.strerror))
        return 2
    except KeyboardInterrupt:
        report("stopped; running it again does the rest")
        return 130


class _Version(argparse.Action):
    """Read the version only when it is asked for: it takes as long as the rest of the start."""

    def __call__(self, parser: argparse.ArgumentParser, *_: object) -> None:
        from importlib.metadata import version

        print(f"{parser.prog} {version('mkdocs-sentifyd')}")  # noqa: T201 - the command line
        parser.exit()


def parser() -> argparse.ArgumentParser:
    """The parser of the command line, for documentation and completion."""
    whole = argparse.ArgumentParser(
        prog="mkdocs-sentifyd",
        description="A Sentifyd avatar on a static site, whatever generator has built it.",
        epilog=epilog(
            "mkdocs-sentifyd inject --help",
            "mkdocs-sentifyd check --help",
            statuses=STOPPED,
        ),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    whole.add_argument("--version", action=_Version, nargs=0, help="show the version and exit")
    commands = whole.add_subparsers(required=True, metavar="COMMAND", title="commands")
    for command in (inject, check):
        command.add_parser(commands)
    return whole
