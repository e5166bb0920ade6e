"""`mkdocs-sentifyd check`: compare a built site with its configuration."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urljoin

from mkdocs.config.base import ValidationError

from mkdocs_sentifyd.api_keys import MIN_KEY_LENGTH, secret_keys
from mkdocs_sentifyd.cli.console import progress_bar
from mkdocs_sentifyd.cli.usage import add_command
from mkdocs_sentifyd.options.fields import TokenEndpoint
from mkdocs_sentifyd.site.config_file import SiteConfig, SiteError, read_config

__all__ = ["add_parser"]


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command to the program."""
    command = add_command(
        commands,
        "check",
        summary="check a built site, and its token endpoint",
        description="Compare every page of a built site with the sentifyd section of mkdocs.yml,\n"
        "search every file for the API key, and call the token endpoint as a browser would.\n"
        "Install it with: pip install 'mkdocs-sentifyd[check]'",
        examples=(
            "mkdocs build && mkdocs-sentifyd check site --endpoint",
            "mkdocs-sentifyd check site --endpoint --origin https://docs.example.com",
            "AVATAR_API_KEY_FILE=key.txt mkdocs-sentifyd check site --json",
        ),
        statuses={0: "no problems, or only warnings", 1: "at least one error"},
    )
    command.set_defaults(run=_run)
    command.add_argument(
        "--endpoint",
        nargs="?",
        const="",
        metavar="URL",
        help="also call this token endpoint; without a URL, the configured ones",
    )
    command.add_argument(
        "--origin", metavar="URL", help="origin of the site (default: the origin of site_url)"
    )
    command.add_argument(
        "--key-file",
        type=Path,
        metavar="FILE",
        help="file with the API key to search for, in addition to AVATAR_API_KEY and "
        "AVATAR_API_KEY_FILE",
    )
    command.add_argument("--json", action="store_true", help="print the findings as JSON")


def _run(options: argparse.Namespace) -> int:
    try:
        from mkdocs_sentifyd.check.endpoint import check_endpoint
        from mkdocs_sentifyd.check.report import print_json, print_report
        from mkdocs_sentifyd.check.site import check_site
    except ImportError as error:
        raise SiteError(
            f"check needs the package {error.name}: pip install 'mkdocs-sentifyd[check]'"
        ) from None
    config = read_config(options.config_file)
    keys = [*secret_keys(), *_key_of(options.key_file)]
    endpoints = _endpoints(options, config)
    origin = _origin(options, config) if endpoints else ""
    with progress_bar() as progress:
        result = check_site(options.site_dir, config, keys, progress)
    for url in endpoints:
        result.findings += check_endpoint(urljoin(origin, url), origin, keys)
    (print_json if options.json else print_report)(result)
    return 1 if any(finding.severity == "error" for finding in result.findings) else 0


def _key_of(file: Path | None) -> Iterator[str]:
    if file is not None:
        try:
            key = file.read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError):
            raise SiteError(f"{file} cannot be read: name a text file with the key") from None
        if len(key) < MIN_KEY_LENGTH:
            raise SiteError(f"{file} is too short to contain a key")
        yield key


def _endpoints(options: argparse.Namespace, config: SiteConfig) -> list[str]:
    """The endpoint from the command line, or all endpoints of the configuration."""
    if options.endpoint is None or config.options is None:
        return []
    if options.endpoint:
        try:
            return [str(TokenEndpoint().validate(options.endpoint))]
        except ValidationError as error:
            raise SiteError(f"--endpoint {error}") from None
    pages = [config.options, *(config.options.page(o.options) for o in config.options.overrides)]
    urls = dict.fromkeys(page.token_endpoint for page in pages)
    return [url for url in urls if url]


def _origin(options: argparse.Namespace, config: SiteConfig) -> str:
    from mkdocs_sentifyd.check.endpoint import origin_of

    try:
        return origin_of(options.origin or config.site_url)
    except ValueError:
        raise SiteError(
            "the site's origin is unknown: give it with --origin, such as "
            "https://docs.example.com, or set site_url in mkdocs.yml"
        ) from None
