"""Tags into a site that is already built."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from mkdocs_sentifyd.built_site import BuiltSite, is_page, page_files, read_file
from mkdocs_sentifyd.inject import inject
from mkdocs_sentifyd.selection import FrontMatterError
from mkdocs_sentifyd.site_config import SiteError, read_config

__all__ = ["Report", "Track", "inject_site"]

Track = Callable[[Sequence[str]], Iterable[str]]
"""Passes on what it is given, and may show how far it has come."""


@dataclass(slots=True)
class Report:
    """What was done to a site.

    Attributes:
        pages: how many HTML files it has.
        changed: how many of them were changed.
        advice: what authors should mend, a line each.
        left: pages that a mistake kept as they are, a line each.
    """

    pages: int = 0
    changed: int = 0
    advice: list[str] = field(default_factory=list)
    left: list[str] = field(default_factory=list)


def inject_site(site_dir: Path, config_file: Path, track: Track = iter) -> Report:
    """Give the chosen pages of a built site their avatar; run again, it changes nothing.

    Redirects, fragments, links and files that are not text in an ASCII-compatible encoding stay as
    they are.

    Args:
        site_dir: the folder of the built site.
        config_file: an mkdocs.yml with a `plugins: - sentifyd:` section; its `docs_dir` is where
            front matter is looked for.
        track: shows progress over the paths of the pages.

    Raises:
        SiteError: a folder, a file or an option is missing or wrong.
    """
    if not site_dir.is_dir():
        raise SiteError(f"{site_dir} is not a folder: build the site first")
    config = read_config(config_file)
    files = page_files(site_dir)
    report = Report(pages=len(files), advice=list(config.warnings))
    if config.options is None:
        return report
    site = BuiltSite(config, config.options)
    for path in track(files):
        file = os.path.join(site_dir, path)
        try:
            _inject_page(file, path, site, report)
        except OSError as error:
            raise SiteError(f"{file}: {error.strerror}") from None
    report.advice += site.unused()
    return report


def _inject_page(file: str, path: str, site: BuiltSite, report: Report) -> None:
    # One character a byte: what matters in a page is ASCII, whatever its encoding, and so are the
    # tags; all else comes back as it was.
    before = read_file(file).decode("latin-1")
    if not is_page(before):
        return
    try:
        embed = site.embed(path, before)
    except FrontMatterError as error:
        report.left.append(f"{path}: {error}")
        return
    if embed is None:
        return
    page = inject(before, embed)
    report.advice += [f"{path}: {advice}" for advice in page.advice]
    if page.html != before:
        _replace(file, page.html.encode("latin-1"))
        report.changed += 1


def _replace(file: str, content: bytes) -> None:
    """Write beside the file and rename, so that no reader ever sees half a page."""
    folder, name = os.path.split(file)
    # Hidden, and not a page: another run leaves it alone, whatever becomes of this one.
    beside = f"{folder}/.{name}.{os.getpid()}"
    try:
        with open(beside, "xb", buffering=0) as stream:
            stream.write(content)
        os.chmod(beside, os.stat(file).st_mode)
        os.replace(beside, file)
    except BaseException:
        with suppress(FileNotFoundError):
            os.unlink(beside)
        raise
