"""`mkdocs-sentifyd`: the plugin's work on a site that something else built."""

from __future__ import annotations

import argparse
import importlib.metadata
import sys
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from mkdocs_sentifyd.site_config import SiteError
from mkdocs_sentifyd.static_site import inject_site

__all__ = ["main"]

MANY_PAGES = 200


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command.

    Args:
        arguments: the command line; the process' own when not given.

    Returns:
        The exit status: 0; 1 when pages were left as they were, or a check found something; 2 when
        something must be mended before anything can be done (one line on stderr).
    """
    options = _parser().parse_args(arguments)
    run: Callable[[argparse.Namespace], int] = options.run
    try:
        return run(options)
    except SiteError as error:
        _tell(str(error))
        return 2


def _inject(options: argparse.Namespace) -> int:
    report = inject_site(options.site_dir, options.config_file, _track)
    for line in (*report.advice, *report.left):
        _tell(line)
    print(f"{report.changed} of {report.pages} pages changed in {options.site_dir}")  # noqa: T201
    return 1 if report.left else 0


def _tell(line: str) -> None:
    print(f"mkdocs-sentifyd: {line}", file=sys.stderr)  # noqa: T201 - the command line


def _track(pages: Sequence[str]) -> Iterable[str]:
    """Show a progress bar to a person who has to wait."""
    if len(pages) < MANY_PAGES or not sys.stderr.isatty():
        return pages
    try:
        from rich.console import Console
        from rich.progress import track
    except ImportError:
        return pages
    return track(pages, "Pages", console=Console(stderr=True), transient=True)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="mkdocs-sentifyd", description="A Sentifyd avatar on a static site."
    )
    version = importlib.metadata.version("mkdocs-sentifyd")
    parser.add_argument("--version", action="version", version=f"%(prog)s {version}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    inject = commands.add_parser(
        "inject",
        help="put the avatar into a built site",
        description="Put the avatar into the pages of a site that is already built, by the "
        "options in the sentifyd section of mkdocs.yml. Running it again changes nothing.",
        epilog="zensical build && mkdocs-sentifyd inject site",
    )
    inject.set_defaults(run=_inject)
    inject.add_argument("site_dir", type=Path, metavar="SITE_DIR", help="the built site")
    inject.add_argument("--config-file", type=Path, default=Path("mkdocs.yml"), help="(mkdocs.yml)")
    return parser
