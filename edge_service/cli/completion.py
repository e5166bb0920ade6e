"""`--print-completion`: a script that completes the command line in a shell."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path

from edge_service.cli.terminal import print_problems, print_result

__all__ = ["PrintCompletion"]


class PrintCompletion(argparse.Action):
    """Print the script for the shell that the option names, and exit.

    The package shtab writes it; it is imported only here.
    """

    def __call__(
        self, parser: argparse.ArgumentParser, _: object, shell: object, *__: object
    ) -> None:
        """Print the script for `shell`, and exit with 0; with 2 if shtab is not installed."""
        try:
            import shtab
        except ImportError:
            parser.exit(
                print_problems(
                    "--print-completion needs shtab: run pip install 'mkdocs-sentifyd[completion]'"
                )
            )
        for command in _parsers(parser):
            for action in command._actions:  # noqa: SLF001 - argparse has no public name for it
                if action.type is Path:
                    kind = shtab.FILE if action.option_strings else shtab.DIRECTORY
                    action.complete = kind  # type: ignore[attr-defined]
        print_result(shtab.complete(parser, str(shell)))
        parser.exit()


def _parsers(whole: argparse.ArgumentParser) -> Iterator[argparse.ArgumentParser]:
    """The parser, and those of its commands, which a shell shows with their short descriptions."""
    yield whole
    for group in whole._actions:  # noqa: SLF001 - argparse has no public name for it
        if isinstance(group, argparse._SubParsersAction):  # noqa: SLF001 - the same
            for choice in group._choices_actions:  # noqa: SLF001 - the same
                command: argparse.ArgumentParser = group.choices[choice.dest]
                command.description = choice.help
                yield command
