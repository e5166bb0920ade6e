"""Tags into a site that is already built."""

from __future__ import annotations

import os
from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from mkdocs_sentifyd.markup.insert import has_asset, inject, inject_script
from mkdocs_sentifyd.site.config_file import SiteError, read_config
from mkdocs_sentifyd.site.front_matter import PageError
from mkdocs_sentifyd.site.pages import BuiltSite, Progress, is_page, page_files, read_file
from mkdocs_sentifyd.tags.assets import install

__all__ = ["Report", "inject_site"]

WRITERS = 2
# What waits to be written is in memory.
MAX_PENDING = 64


@dataclass(slots=True)
class Report:
    """What was done to a site.

    Attributes:
        pages: how many HTML files it has.
        changed: how many of them were changed.
        advice: what authors should fix, one line for each problem.
        left: pages that a mistake kept as they are, a line each.
        has_avatars: whether a page has one.
        has_scripts: whether a page loads scripts of the browser runtime.
    """

    pages: int = 0
    changed: int = 0
    advice: list[str] = field(default_factory=list)
    left: list[str] = field(default_factory=list)
    has_avatars: bool = False
    has_scripts: bool = False


def inject_site(site_dir: Path, config_file: Path, progress: Progress = lambda *_: None) -> Report:
    """Give the chosen pages of a built site their avatar; run again, it changes nothing.

    Redirects, fragments, links and files that are not text in an ASCII-compatible encoding stay as
    they are.

    Args:
        site_dir: the folder of the built site.
        config_file: an mkdocs.yml with a `plugins: - sentifyd:` section; its `docs_dir` is where
            front matter is looked for.
        progress: called after each page.

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
    # The file system does its part meanwhile, which takes as long as all the rest.
    with ThreadPoolExecutor(WRITERS) as pool:
        writes: deque[Future[None]] = deque()
        for number, path in enumerate(files):
            file = f"{site_dir}/{path}"
            try:
                if (content := _injected(file, path, site, report)) is not None:
                    report.changed += 1
                    writes.append(pool.submit(_replace, file, content))
            except OSError as error:
                raise SiteError(f"{file}: {error.strerror}") from None
            while len(writes) > MAX_PENDING:
                writes.popleft().result()
            progress(number, len(files))
        for write in writes:
            write.result()
    if report.has_avatars or report.has_scripts:
        try:
            install(site_dir, with_scripts=report.has_scripts)
        except OSError as error:
            raise SiteError(f"{error.filename}: {error.strerror}") from None
    report.advice += site.unused()
    return report


def _injected(file: str, path: str, site: BuiltSite, report: Report) -> bytes | None:
    """What a page is to become, or `None` if it stays as it is."""
    # What matters in a page is ASCII, whatever its encoding, and so are the tags; all else comes
    # back as it was.
    before = read_file(file).decode("utf-8", "surrogateescape")
    if not is_page(before):
        return None
    try:
        embed = site.embed(path, before)
    except PageError as error:
        report.left.append(f"{path}: {error}")
        return None
    if embed is None:
        after = inject_script(before, site.root(path))
        report.has_scripts |= after != before or has_asset(before)
    else:
        page = inject(before, embed)
        after = page.html
        report.has_avatars = True
        report.advice += [f"{path}: {advice}" for advice in page.advice]
        report.has_scripts |= page.has_scripts
    return None if after == before else after.encode("utf-8", "surrogateescape")


def _replace(file: str, content: bytes) -> None:
    """Write beside the file and rename, so that no reader ever sees half a page."""
    folder, name = os.path.split(file)
    # Hidden, and not a page: another run leaves it alone, whatever becomes of this one.
    beside = f"{folder}/.{name}.{os.getpid()}"
    try:
        stream = open(beside, "xb")  # noqa: SIM115 - closed before it is renamed
        try:
            with stream:
                stream.write(content)
            os.chmod(beside, os.stat(file).st_mode)
            os.replace(beside, file)
        except BaseException:
            os.unlink(beside)
            raise
    except OSError as error:
        raise SiteError(f"{file}: {error.strerror}") from None
