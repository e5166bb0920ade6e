"""`mkdocs-sentifyd`: the plugin's work on a site that something else built."""

from __future__ import annotations

import argparse
import importlib.metadata
import sys
from collections.abc import Sequence
from pathlib import Path

from mkdocs_sentifyd.static_site import StaticSiteError, inject_site

__all__ = ["main"]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command.

    Args:
        arguments: the command line; the process' own when not given.

    Returns:
        The exit status: 0, or 2 when something must be mended first (one line on stderr).
    """
    options = _parser().parse_args(arguments)
    try:
        report = inject_site(options.site_dir, options.config_file)
    except StaticSiteError as error:
        print(f"mkdocs-sentifyd: {error}", file=sys.stderr)  # noqa: T201 - the command line
        return 2
    for advice in report.advice:
        print(f"mkdocs-sentifyd: {advice}", file=sys.stderr)  # noqa: T201
    print(f"{report.changed} of {report.pages} pages changed in {options.site_dir}")  # noqa: T201
    return 0


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
    inject.add_argument("site_dir", type=Path, metavar="SITE_DIR", help="the built site")
    inject.add_argument("--config-file", type=Path, default=Path("mkdocs.yml"), help="(mkdocs.yml)")
    return parser
