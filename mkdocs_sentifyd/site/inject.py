"""Put avatars into the pages of a site that is already built."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mkdocs_sentifyd.markup.insert import has_asset, inject, inject_runtime
from mkdocs_sentifyd.site.config_file import SiteError, read_config
from mkdocs_sentifyd.site.front_matter import PageError
from mkdocs_sentifyd.site.pages import BuiltSite, Progress, is_page, page_files, read_file
from mkdocs_sentifyd.site.record import Record, configuration_of, is_listed
from mkdocs_sentifyd.tags.assets import install

__all__ = ["Report", "inject_site"]

WRITERS = 2
# Limits the number of pages that wait in memory to be written.
MAX_PENDING = 64


@dataclass(slots=True)
class Report:
    """The result of `inject_site`.

    Attributes:
        pages: number of HTML files.
        changed: number of changed files.
        warnings: problems that authors should fix, one line each.
        skipped: pages that were not changed because of a mistake, one line each.
        has_avatars: whether any page has an avatar.
        has_scripts: whether any page loads scripts of the browser runtime.
    """

    pages: int = 0
    changed: int = 0
    warnings: list[str] = field(default_factory=list)
    skipped: list[str] = field(default_factory=list)
    has_avatars: bool = False
    has_scripts: bool = False


def inject_site(site_dir: Path, config_file: Path, progress: Progress = lambda *_: None) -> Report:
    """Put avatars into the chosen pages of a built site. Running it again changes nothing.

    It does not change redirects, fragments, symbolic links, and files in UTF-16.

    Args:
        site_dir: folder of the built site.
        config_file: an mkdocs.yml with a `plugins: - sentifyd:` section. Front matter is read from
            the sources in its `docs_dir`.
        progress: called after each page.

    Raises:
        SiteError: a folder, a file or an option is missing or invalid.
    """
    if not site_dir.is_dir():
        raise SiteError(f"{site_dir} is not a folder: build the site first")
    config = read_config(config_file)
    files = page_files(site_dir)
    report = Report(pages=len(files), warnings=list(config.warnings))
    if config.options is None:
        return report
    site = BuiltSite(config, config.options)
    old = Record.read(site_dir)
    if old and old.configuration != configuration_of(config.options):
        old = None
    # MkDocs knows more about the pages that it built than their HTML shows.
    built = old if old and old.builder == "mkdocs" else None
    record = built or Record(configuration_of(config.options), "inject")
    # Writing takes as long as everything else, so threads write while the next pages are read.
    with ThreadPoolExecutor(WRITERS) as pool:
        writes: deque[Future[None]] = deque()
        for number, path in enumerate(files):
            file = f"{site_dir}/{path}"
            try:
                # Everything that matters here is ASCII in most encodings; surrogateescape keeps
                # other bytes.
                before = read_file(file).decode("utf-8", "surrogateescape")
            except OSError as error:
                raise SiteError(f"{file}: {error.strerror}") from None
            if built and path in built:
                report.has_avatars |= built.settings(path) is not None
                report.has_scripts |= has_asset(before)
            elif is_page(before):
                after = _injected(path, before, site, report, record, old)
                if after != before:
                    report.changed += 1
                    content = after.encode("utf-8", "surrogateescape")
                    writes.append(pool.submit(_replace, file, content))
            while len(writes) > MAX_PENDING:
                writes.popleft().result()
            progress(number, len(files))
        for write in writes:
            write.result()
    try:
        record.write(site_dir)
        if report.has_avatars or report.has_scripts:
            install(site_dir, with_scripts=report.has_scripts)
    except OSError as error:
        raise SiteError(f"{error.filename}: {error.strerror}") from None
    report.warnings += site.unused()
    return report


def _injected(
    path: str, before: str, site: BuiltSite, report: Report, record: Record, old: Record | None
) -> str:
    """Return the new text of a page, and note in the record what it has."""
    try:
        embed = site.embed(path, before)
    except PageError as error:
        report.skipped.append(f"{path}: {error}")
        return before
    settings: Mapping[str, Any] | None = None
    if embed is None:
        after = inject_runtime(before, site.root(path))
        report.has_scripts |= after != before or has_asset(before)
    else:
        page = inject(before, embed)
        after, settings = page.html, page.settings
        report.has_avatars = True
        report.warnings += [f"{path}: {warning}" for warning in page.warnings]
        report.has_scripts |= page.has_scripts
        if after == before and old and path in old:
            settings = old.settings(path)
    if embed is None or settings is not None:
        record.add(path, settings, listed=is_listed(before))
    return after


def _replace(file: str, content: bytes) -> None:
    """Write a temporary file and rename it, so that nobody reads a half-written page."""
    folder, name = os.path.split(file)
    # The name does not end in .html, so another run ignores it if this run is killed.
    temporary = f"{folder}/.{name}.{os.getpid()}"
    try:
        stream = open(temporary, "xb")  # noqa: SIM115 - closed before it is renamed
        try:
            with stream:
                stream.write(content)
            os.chmod(temporary, os.stat(file).st_mode)
            os.replace(temporary, file)
        except BaseException:
            os.unlink(temporary)
            raise
    except OSError as error:
        raise SiteError(f"{file}: {error.strerror}") from None
