"""`mkdocs-sentifyd csp`: print the Content-Security-Policy of a site."""

from __future__ import annotations

import argparse

from mkdocs_sentifyd.cli.console import report
from mkdocs_sentifyd.cli.usage import add_command
from mkdocs_sentifyd.site.config_file import SiteError, read_config
from mkdocs_sentifyd.site.policy import policy

__all__ = ["add_parser"]

_HEADER_FILE = "/*\n  Content-Security-Policy: {}"
_FORMATS = {
    "generic": "Content-Security-Policy: {}",
    "nginx": 'add_header Content-Security-Policy "{}" always;',
    "netlify": _HEADER_FILE,
    "cloudflare": _HEADER_FILE,
}
# The longest policy, in characters: nginx reads 4,095 bytes of a parameter and its first quote,
# Cloudflare Pages 2,000 characters of a line.
_LIMITS = {"nginx": 4093, "cloudflare": 2000 - len(_HEADER_FILE.splitlines()[1].format(""))}


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command to the program."""
    command = add_command(
        commands,
        "csp",
        summary="print the Content-Security-Policy of a site",
        description="Print a Content-Security-Policy that allows a site and its avatars, and\n"
        "blocks everything else. It allows what mkdocs.yml and front matter name. With the built\n"
        "site, it allows what the pages use, and their inline scripts by their hashes.",
        examples=(
            "mkdocs-sentifyd csp",
            "mkdocs build && mkdocs-sentifyd csp site --format nginx > csp.conf",
            "mkdocs-sentifyd csp site --format netlify > _headers",
        ),
        statuses={0: "the policy is on standard output, and nothing else"},
        is_site_optional=True,
    )
    command.set_defaults(run=_run)
    command.add_argument(
        "--format",
        choices=tuple(_FORMATS),
        default="generic",
        metavar="FORMAT",
        help="generic (the header, the default), nginx (a directive), netlify or cloudflare (a "
        "file _headers for Netlify or Cloudflare Pages)",
    )


def _run(options: argparse.Namespace) -> int:
    config = read_config(options.config_file)
    text = policy(config, options.site_dir)
    limit = _LIMITS.get(options.format)
    if limit is not None and len(text) > limit:
        raise SiteError(
            f"the policy has {len(text)} characters, and {options.format} reads at most {limit}: "
            "print it with --format generic, and put it into a <meta> of the pages"
        )
    for line in config.warnings:
        report(line)
    print(_FORMATS[options.format].format(text))  # noqa: T201 - the command line
    return 0
