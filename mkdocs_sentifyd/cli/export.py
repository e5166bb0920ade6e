"""`mkdocs-sentifyd export`: write the pages as documents for the training of an avatar."""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from mkdocs_sentifyd.cli.console import progress_bar, report
from mkdocs_sentifyd.cli.usage import add_command
from mkdocs_sentifyd.site.config_file import SiteError, read_config
from mkdocs_sentifyd.site.pages import count_of_pages

if TYPE_CHECKING:
    from mkdocs_sentifyd.export.site import Export

__all__ = ["add_parser"]

SHOWN_PAGES = 5


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command to the program."""
    command = add_command(
        commands,
        "export",
        summary="write the pages as documents to train an avatar",
        description="Write the pages that have an avatar, and that may be public, as llms.txt,\n"
        "llms-full.txt, at most five documents, and a table of questions and answers.\n"
        "Install it with: pip install 'mkdocs-sentifyd[export]'",
        examples=(
            "mkdocs build && mkdocs-sentifyd export site --output training",
            "mkdocs-sentifyd export site --output training --json",
        ),
        statuses={
            0: "the files are written",
            1: "the files are written, without a page that has what looks like an API key",
        },
    )
    command.set_defaults(run=_run)
    command.add_argument(
        "--output",
        type=Path,
        required=True,
        metavar="DIR",
        help="folder for the files; it is created if it is missing",
    )
    command.add_argument("--json", action="store_true", help="print the report as JSON")


def _run(options: argparse.Namespace) -> int:
    try:
        from mkdocs_sentifyd.export.files import write_files
        from mkdocs_sentifyd.export.pages import KEY
        from mkdocs_sentifyd.export.site import export_site
    except ImportError as error:
        raise SiteError(
            f"export needs the package {error.name}: pip install 'mkdocs-sentifyd[export]'"
        ) from None
    config = read_config(options.config_file)
    with progress_bar() as progress:
        done = export_site(options.site_dir, config, progress)
    write_files(options.output, done.files)
    for line in done.warnings:
        report(line)
    is_refused = KEY in done.left_out.values()
    if options.json:
        print(json.dumps(_report(done, is_refused), indent=2))  # noqa: T201 - the command line
    else:
        for line in _lines(done, options.output):
            print(line)  # noqa: T201 - the command line
    return 1 if is_refused else 0


def _report(done: Export, is_refused: bool) -> dict[str, object]:
    return {
        "ok": not is_refused,
        "pages": done.pages,
        "files": [{"name": name, "bytes": len(text.encode())} for name, text in done.files.items()],
        "left_out": [{"page": page, "why": why} for page, why in done.left_out.items()],
        "cut": done.cut,
    }


def _lines(done: Export, output: Path) -> Iterator[str]:
    """One line for each file, each reason to leave pages out, and each cut; then the sum."""
    for name, text in done.files.items():
        yield f"{output / name}: {len(text.encode()):,} bytes"
    for why in sorted(set(done.left_out.values())):
        pages = [page for page, reason in done.left_out.items() if reason == why]
        more = len(pages) - SHOWN_PAGES
        places = ", ".join(pages[:SHOWN_PAGES]) + (f" and {more} more" if more > 0 else "")
        yield f"left out ({why}): {places}"
    for line in done.cut:
        yield f"cut: {line}"
    yield f"{count_of_pages(done.pages)} exported, {len(done.left_out)} left out"
