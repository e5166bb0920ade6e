"""`mkdocs-sentifyd inject`: put the avatar into a built site."""

from __future__ import annotations

import argparse

from mkdocs_sentifyd.cli.console import progress_bar, report
from mkdocs_sentifyd.cli.usage import add_command
from mkdocs_sentifyd.site.inject import inject_site, remove_from_site
from mkdocs_sentifyd.site.pages import count_of_pages

__all__ = ["add_parser"]


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command to the program."""
    command = add_command(
        commands,
        "inject",
        summary="put the avatar into a built site",
        description="Put the avatar into the pages of a site that is already built, with the\n"
        "options in the sentifyd section of mkdocs.yml. Running it again changes nothing; after\n"
        "a change of the options, it replaces what it inserted.",
        examples=(
            "zensical build && mkdocs-sentifyd inject site",
            "mkdocs-sentifyd inject public --config-file docs/mkdocs.yml",
            "mkdocs-sentifyd inject site --remove",
        ),
        statuses={
            0: "every page is correct",
            1: "a page was skipped, because of a mistake in its front matter or a later change",
        },
    )
    command.add_argument(
        "--remove",
        action="store_true",
        help="remove what this command has inserted, so that every page is as it was before",
    )
    command.set_defaults(run=_run)


def _run(options: argparse.Namespace) -> int:
    with progress_bar() as progress:
        if options.remove:
            done = remove_from_site(options.site_dir, progress)
        else:
            done = inject_site(options.site_dir, options.config_file, progress)
    for line in (*done.warnings, *done.skipped):
        report(line)
    pages = count_of_pages(done.pages)
    print(f"{done.changed} of {pages} changed in {options.site_dir}")  # noqa: T201
    return 1 if done.skipped else 0
