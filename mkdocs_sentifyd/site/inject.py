"""Put avatars into the pages of a site that is already built, and remove them."""

from __future__ import annotations

import os
import shutil
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from mkdocs_sentifyd.markup.insert import has_asset, inject, inject_runtime
from mkdocs_sentifyd.site.config_file import SiteError, read_config
from mkdocs_sentifyd.site.front_matter import PageError
from mkdocs_sentifyd.site.insertions import FILE as INSERTED_FILE
from mkdocs_sentifyd.site.insertions import Insertions
from mkdocs_sentifyd.site.pages import (
    BuiltSite,
    Progress,
    is_page,
    page_files,
    read_file,
    require_site,
)
from mkdocs_sentifyd.site.record import FILE, Record, configuration_of, is_listed
from mkdocs_sentifyd.tags.assets import install

__all__ = ["Report", "inject_site", "remove_from_site"]

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

    After a change of the options, it replaces what it inserted before. It does not change
    redirects, fragments, symbolic links, files in UTF-16, and pages that the plugin has built.

    Args:
        site_dir: folder of the built site.
        config_file: an mkdocs.yml with a `plugins: - sentifyd:` section. Front matter is read from
            the sources in its `docs_dir`.
        progress: called after each page.

    Raises:
        SiteError: a folder, a file or an option is missing or invalid, or the plugin has built the
            site with other options.
    """
    require_site(site_dir)
    config = read_config(config_file)
    if config.options is None:
        return Report(pages=len(page_files(site_dir)), warnings=list(config.warnings))
    site = BuiltSite(config, config.options)
    configuration = configuration_of(config.options)
    old = Record.read(site_dir)
    is_same = old is None or old.configuration == configuration
    if old and old.builder == "mkdocs" and not is_same:
        raise SiteError(
            f"the plugin has built {site_dir} with another configuration: build the site again"
        )
    # MkDocs knows more about the pages that it built than their HTML shows.
    built = old if old and old.builder == "mkdocs" else None
    record = built or Record(configuration, "inject")
    run = _Run(site, record, old if is_same else None, site_dir)

    def change(path: str, found: str) -> str:
        before = run.earlier.original(path, found)
        if before is None and built and path in built:
            run.report.has_avatars |= built.settings(path) is not None
            run.report.has_scripts |= has_asset(found)
            return found
        if not is_page(found):
            return found
        if before is None and path in run.earlier and not is_same and has_asset(found):
            run.report.skipped.append(
                f"{path}: was changed after `inject`, which cannot replace its avatar: build the "
                "site again"
            )
            run.inserted.keep(path, run.earlier)
            return found
        return run.inject(path, found if before is None else before)

    report = run.report
    report.warnings += config.warnings
    _change_pages(site_dir, report, change, progress)
    try:
        record.write(site_dir)
        run.inserted.write(site_dir)
        if report.has_avatars or report.has_scripts:
            install(site_dir, with_scripts=report.has_scripts)
    except OSError as error:
        raise SiteError(f"{error.filename}: {error.strerror}") from None
    if not built:
        report.warnings += site.unused()
    return report


def remove_from_site(site_dir: Path, progress: Progress = lambda *_: None) -> Report:
    """Remove from the pages of a site what `inject_site` has inserted, and the files it added.

    Pages that the plugin has built do not change.

    Args:
        site_dir: folder of the built site.
        progress: called after each page.

    Raises:
        SiteError: a folder or a file is missing or invalid.
    """
    require_site(site_dir)
    report = Report()
    record, inserted = Record.read(site_dir), Insertions.read(site_dir)

    def change(path: str, found: str) -> str:
        if path not in inserted:
            return found
        before = inserted.original(path, found)
        if before is None and has_asset(found):
            report.skipped.append(
                f"{path}: was changed after `inject`, which cannot remove its avatar: build the "
                "site again"
            )
        if record:
            record.discard(path)
        return found if before is None else before

    _change_pages(site_dir, report, change, progress)
    try:
        (site_dir / INSERTED_FILE).unlink(missing_ok=True)
        if record and record.builder == "mkdocs":
            record.write(site_dir)
        elif record and not report.skipped:
            shutil.rmtree(site_dir / Path(FILE).parent)
    except OSError as error:
        raise SiteError(f"{error.filename}: {error.strerror}") from None
    return report


class _Run:
    """One run of `inject_site`.

    Args:
        site: the avatars of the site.
        record: gets what each page has.
        old: the record of an earlier run with the same options.
        site_dir: folder of the site.
    """

    def __init__(self, site: BuiltSite, record: Record, old: Record | None, site_dir: Path) -> None:
        self.report = Report()
        self.earlier = Insertions.read(site_dir)
        self.inserted = Insertions()
        self._site = site
        self._record = record
        self._old = old

    def inject(self, path: str, before: str) -> str:
        """Return the new text of a page, and note what it has."""
        report = self.report
        try:
            embed = self._site.embed(path, before)
        except PageError as error:
            report.skipped.append(f"{path}: {error}")
            return before
        if embed is None:
            page = inject_runtime(before, self._site.root(path))
            report.has_scripts |= has_asset(before)
        else:
            page = inject(before, embed)
            report.has_avatars = True
            report.warnings += [f"{path}: {warning}" for warning in page.warnings]
        report.has_scripts |= page.has_scripts
        settings = page.settings
        if embed and page.html == before and self._old and path in self._old:
            settings = self._old.settings(path)
        if embed is None or settings is not None:
            self._record.add(path, settings, listed=is_listed(before))
        if page.inserted:
            self.inserted.add(path, page.html, page.inserted)
        elif has_asset(before):
            self.inserted.keep(path, self.earlier)
        return page.html


def _change_pages(
    site_dir: Path, report: Report, change: Callable[[str, str], str], progress: Progress
) -> None:
    """Give each page to a function, and write what it returns."""
    files = page_files(site_dir)
    report.pages = len(files)
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
            after = change(path, before)
            if after != before:
                report.changed += 1
                content = after.encode("utf-8", "surrogateescape")
                writes.append(pool.submit(_replace, file, content))
            while len(writes) > MAX_PENDING:
                writes.popleft().result()
            progress(number, len(files))
        for write in writes:
            write.result()


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
