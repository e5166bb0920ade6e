"""The command line `sentifyd-edge`; each command has its own module."""

from __future__ import annotations

import argparse
import importlib.metadata
import importlib.util
import os
import sys
from collections.abc import Callable, Sequence

from edge_service.cli import check_config, demo, doctor, keygen, preview, sandbox, serve
from edge_service.cli.completion import PrintCompletion
from edge_service.cli.parsing import STATUSES, HelpFormatter, epilog
from edge_service.cli.terminal import print_problems

__all__ = ["main", "parser"]

# In the order of the help.
_COMMANDS = (serve, check_config, doctor, keygen, sandbox, preview, demo)
_EXTRA = (
    *("starlette", "uvicorn", "aiohttp", "certifi", "structlog", "joserfc"),
    *("websockets", "limits", "cryptography", "prometheus_client"),
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command.

    Args:
        arguments: the command line; the process' own when not given.

    Returns:
        The exit status: 0; 1 if `doctor` found problems, or the output pipe was closed; 2 if
        something must be fixed first (one line for each mistake on stderr); 130 after Ctrl-C.
    """
    options = parser().parse_args(arguments)
    missing = [name for name in _EXTRA if importlib.util.find_spec(name) is None]
    if missing:
        return print_problems(
            f"needs {', '.join(missing)}: run pip install 'mkdocs-sentifyd[service]'"
        )
    run: Callable[[argparse.Namespace], int] = options.run
    try:
        return run(options)
    except ImportError as error:
        if error.name is None or error.name.partition(".")[0] != "uvicorn":
            raise
        return print_problems(str(error))
    except BrokenPipeError:
        # Without this, Python would report the closed pipe once more at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except KeyboardInterrupt:
        # Only before the service listens; after that it handles the signal itself.
        return 130


def parser() -> argparse.ArgumentParser:
    """The parser of the command line; documentation and completion use it too.

    The parsed options have an attribute `run`, which takes the options and returns the exit status.
    """
    whole = argparse.ArgumentParser(
        prog="sentifyd-edge",
        description="A token endpoint for Sentifyd avatars, and a sandbox to try it with.",
        epilog=epilog(
            "sentifyd-edge serve --help",
            "sentifyd-edge sandbox",
            statuses=STATUSES,
        ),
        formatter_class=HelpFormatter,
    )
    version = importlib.metadata.version("mkdocs-sentifyd")
    whole.add_argument(
        "--version",
        action="version",
        version=f"%(prog)s {version}",
        help="show the version and exit",
    )
    whole.add_argument(
        "--print-completion",
        action=PrintCompletion,
        choices=("bash", "zsh", "fish"),
        metavar="SHELL",
        help="print a script that completes this command in bash, zsh or fish, and exit",
    )
    group = whole.add_subparsers(required=True, metavar="COMMAND", title="commands")
    for command in _COMMANDS:
        command.add_parser(group).set_defaults(run=command.run)
    return whole
