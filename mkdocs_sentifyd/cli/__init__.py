"""The command `mkdocs-sentifyd`; each of its commands has a module."""

from __future__ import annotations

import argparse
import io
import os
import sys
from collections.abc import Callable, Sequence

from mkdocs_sentifyd.cli import check, csp, export, inject
from mkdocs_sentifyd.cli.completion import PrintCompletion
from mkdocs_sentifyd.cli.console import report, stoppable
from mkdocs_sentifyd.cli.usage import STOPPED, HelpFormatter, epilog
from mkdocs_sentifyd.site.config_file import SiteError

__all__ = ["main", "parser"]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command.

    Args:
        arguments: the arguments; by default those of the process.

    Returns:
        The exit status: 0 for success; 1 if `inject` or `export` skipped pages because of a mistake
        or `check` found errors; 2 if the command failed (one line on stderr gives the reason); 130
        if a signal stopped it.
    """
    options = parser().parse_args(arguments)
    run: Callable[[argparse.Namespace], int] = options.run
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            # A file name may contain bytes that the terminal's encoding cannot show.
            stream.reconfigure(errors="backslashreplace")
    try:
        with stoppable():
            return run(options)
    except SiteError as error:
        for line in str(error).splitlines():
            report(line)
        return 2
    except BrokenPipeError:
        # The reader of the output has gone. Without this, Python prints another error at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except OSError as error:
        report(f"{error.filename}: {error.strerror}" if error.filename else str(error.strerror))
        return 2
    except KeyboardInterrupt:
        report("stopped; run it again to finish")
        return 130


class _Version(argparse.Action):
    """Read the version only when requested: reading it takes as long as the rest of the start."""

    def __call__(self, parser: argparse.ArgumentParser, *_: object) -> None:
        from importlib.metadata import version

        print(f"{parser.prog} {version('mkdocs-sentifyd')}")  # noqa: T201 - the command line
        parser.exit()


def parser() -> argparse.ArgumentParser:
    """Return the command line's parser, also for documentation and completion."""
    whole = argparse.ArgumentParser(
        prog="mkdocs-sentifyd",
        description="Put a Sentifyd avatar on a static site, built by any generator.",
        epilog=epilog(
            "mkdocs-sentifyd inject --help",
            "mkdocs-sentifyd check --help",
            "mkdocs-sentifyd csp --help",
            "mkdocs-sentifyd export --help",
            statuses=STOPPED,
        ),
        formatter_class=HelpFormatter,
    )
    whole.add_argument("--version", action=_Version, nargs=0, help="show the version and exit")
    whole.add_argument(
        "--print-completion",
        action=PrintCompletion,
        choices=("bash", "zsh", "fish"),
        metavar="SHELL",
        help="print a script that completes this command in bash, zsh or fish, and exit",
    )
    commands = whole.add_subparsers(required=True, metavar="COMMAND", title="commands")
    for command in (inject, check, csp, export):
        command.add_parser(commands)
    return whole
