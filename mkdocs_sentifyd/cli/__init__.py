"""`mkdocs-sentifyd`: the plugin's work on a built site, and a check of it."""

from __future__ import annotations

import argparse
import io
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from mkdocs.config.base import ValidationError

from mkdocs_sentifyd.api_keys import MIN_KEY_LENGTH, secret_keys
from mkdocs_sentifyd.options.fields import TokenEndpoint
from mkdocs_sentifyd.site.config_file import SiteConfig, SiteError, read_config
from mkdocs_sentifyd.site.inject import inject_site
from mkdocs_sentifyd.site.pages import Progress

if TYPE_CHECKING:
    from rich.progress import Progress as RichProgress

__all__ = ["main", "parser"]

MANY_PAGES = 200
_STOPPED = {
    2: "it could not go on: one line on standard error says why",
    130: "a signal stopped it; running it again does the rest",
}


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
            # Names of files need not be text.
            stream.reconfigure(errors="backslashreplace")
    try:
        with _stoppable():
            return run(options)
    except SiteError as error:
        _tell(str(error))
        return 2
    except BrokenPipeError:
        # Whoever read the output has gone. Python would complain once more at the end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except OSError as error:
        _tell(f"{error.filename}: {error.strerror}" if error.filename else str(error.strerror))
        return 2
    except KeyboardInterrupt:
        _tell("stopped; running it again does the rest")
        return 130


@contextmanager
def _stoppable() -> Iterator[None]:
    """Let other signals stop it as Ctrl-C does, so that no half-done file stays behind."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    names = ("SIGINT", "SIGTERM", "SIGHUP")
    numbers = [getattr(signal, name) for name in names if hasattr(signal, name)]

    def stop(*_: object) -> None:
        # A second one would not wait for the files that are being written.
        for number in numbers:
            signal.signal(number, signal.SIG_IGN)
        raise KeyboardInterrupt

    before = {number: signal.signal(number, stop) for number in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _inject(options: argparse.Namespace) -> int:
    with _progress() as progress:
        report = inject_site(options.site_dir, options.config_file, progress)
    for line in (*report.advice, *report.left):
        _tell(line)
    print(f"{report.changed} of {report.pages} pages changed in {options.site_dir}")  # noqa: T201
    return 1 if report.left else 0


def _check(options: argparse.Namespace) -> int:
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
    with _progress() as progress:
        check = check_site(options.site_dir, config, keys, progress)
    for url in endpoints:
        check.findings += check_endpoint(url, origin, keys)
    (print_json if options.json else print_report)(check)
    return 1 if any(finding.severity == "error" for finding in check.findings) else 0


def _key_of(file: Path | None) -> Iterator[str]:
    if file is not None:
        try:
            key = file.read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError):
            raise SiteError(f"{file} cannot be read: name a file that holds the key") from None
        if len(key) < MIN_KEY_LENGTH:
            raise SiteError(f"{file} holds too little to be a key")
        yield key


def _endpoints(options: argparse.Namespace, config: SiteConfig) -> list[str]:
    """The endpoint that the command line names, or all that the configuration does."""
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
            "the endpoint is called from the site's origin: name it with --origin, such as "
            "https://docs.example.com, or set site_url in mkdocs.yml"
        ) from None


def _tell(line: str) -> None:
    print(f"mkdocs-sentifyd: {line}", file=sys.stderr)  # noqa: T201 - the command line


@contextmanager
def _progress() -> Iterator[Progress]:
    """Show a bar to a person who has to wait; it is gone when all is done."""
    bar = None

    def show(done: int, total: int) -> None:
        nonlocal bar
        if bar is None and total >= MANY_PAGES and sys.stderr.isatty():
            with suppress(ImportError):
                bar = _bar(total)
        if bar is not None:
            bar.update(bar.task_ids[0], completed=done)

    try:
        yield show
    finally:
        if bar is not None:
            bar.stop()


def _bar(total: int) -> RichProgress:
    from rich.console import Console
    from rich.progress import Progress as RichProgress

    bar = RichProgress(console=Console(stderr=True), transient=True)
    bar.add_task("Pages", total=total)
    bar.start()
    return bar


class _Version(argparse.Action):
    """Reading the version costs as much as all else at the start, so only who asks pays for it."""

    def __call__(self, parser: argparse.ArgumentParser, *_: object) -> None:
        from importlib.metadata import version

        print(f"{parser.prog} {version('mkdocs-sentifyd')}")  # noqa: T201 - the command line
        parser.exit()


def parser() -> argparse.ArgumentParser:
    """The parser of the command line, for whoever documents or completes it."""
    whole = argparse.ArgumentParser(
        prog="mkdocs-sentifyd",
        description="A Sentifyd avatar on a static site, whatever generator has built it.",
        epilog=_epilog(
            "mkdocs-sentifyd inject --help",
            "mkdocs-sentifyd check --help",
            statuses=_STOPPED,
        ),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    whole.add_argument("--version", action=_Version, nargs=0, help="show the version and exit")
    commands = whole.add_subparsers(required=True, metavar="COMMAND", title="commands")
    inject = commands.add_parser(
        "inject",
        help="put the avatar into a built site",
        description="Put the avatar into the pages of a site that is already built, by the\n"
        "options in the sentifyd section of mkdocs.yml. Running it again changes nothing.",
        epilog=_epilog(
            "zensical build && mkdocs-sentifyd inject site",
            "mkdocs-sentifyd inject public --config-file docs/mkdocs.yml",
            statuses={
                0: "every page is as it should be",
                1: "a mistake in front matter kept a page as it was",
                **_STOPPED,
            },
        ),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    inject.set_defaults(run=_inject)
    check = commands.add_parser(
        "check",
        help="check a built site, and its token endpoint",
        description="Compare every page of a built site with the sentifyd section of mkdocs.yml,\n"
        "search every file for the API key, and call the token endpoint as a browser would.\n"
        "It needs pip install 'mkdocs-sentifyd[check]'.",
        epilog=_epilog(
            "mkdocs build && mkdocs-sentifyd check site --endpoint",
            "mkdocs-sentifyd check site --endpoint --origin https://docs.example.com",
            "AVATAR_API_KEY_FILE=key.txt mkdocs-sentifyd check site --json",
            statuses={0: "nothing to mend, or warnings only", 1: "an error to mend", **_STOPPED},
        ),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    check.set_defaults(run=_check)
    for command in (inject, check):
        command.add_argument("site_dir", type=Path, metavar="SITE_DIR", help="the built site")
        command.add_argument(
            "--config-file",
            type=Path,
            default=Path("mkdocs.yml"),
            metavar="FILE",
            help="the configuration with the sentifyd section (mkdocs.yml)",
        )
    check.add_argument(
        "--endpoint",
        nargs="?",
        const="",
        metavar="URL",
        help="also call this token endpoint; without a URL, those of the configuration",
    )
    check.add_argument(
        "--origin", metavar="URL", help="origin that the site is served from (that of site_url)"
    )
    check.add_argument(
        "--key-file",
        type=Path,
        metavar="FILE",
        help="holds the API key to search for (AVATAR_API_KEY and AVATAR_API_KEY_FILE count too)",
    )
    check.add_argument("--json", action="store_true", help="print the findings as JSON")
    return whole


def _epilog(*examples: str, statuses: Mapping[int, str]) -> str:
    """Sections of a title and indented lines."""
    lines = [f"{number:<3}  {text}" for number, text in statuses.items()]
    return "\n".join(["examples:", *_indented(examples), "", "exit status:", *_indented(lines)])


def _indented(lines: Iterable[str]) -> list[str]:
    return [f"  {line}" for line in lines]
