"""Tags into a site that is already built."""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from mkdocs_sentifyd.built_site import BuiltSite, is_page, page_files, read_file
from mkdocs_sentifyd.inject import inject
from mkdocs_sentifyd.selection import FrontMatterError
from mkdocs_sentifyd.site_config import SiteError, read_config

__all__ = ["Progress", "Report", "inject_site"]

Progress = Callable[[int, int], object]
"""Is told how many pages are done, and of how many."""
BATCH = 50
# A process of its own has to earn its start.
PAGES_PER_PROCESS = 500


@dataclass(slots=True)
class Report:
    """What was done to a site.

    Attributes:
        pages: how many HTML files it has.
        changed: how many of them were changed.
        advice: what authors should mend, a line each.
        left: pages that a mistake kept as they are, a line each.
        paths: all names under which a pattern may mean one of the pages.
    """

    pages: int = 0
    changed: int = 0
    advice: list[str] = field(default_factory=list)
    left: list[str] = field(default_factory=list)
    paths: set[str] = field(default_factory=set)

    def add(self, part: Report) -> None:
        """Take over what was done to some of the pages."""
        self.changed += part.changed
        self.advice += part.advice
        self.left += part.left
        self.paths |= part.paths


def inject_site(site_dir: Path, config_file: Path, progress: Progress = lambda *_: None) -> Report:
    """Give the chosen pages of a built site their avatar; run again, it changes nothing.

    Redirects, fragments, links and files that are not text in an ASCII-compatible encoding stay as
    they are. A large site is shared among processes, where the system can fork them.

    Args:
        site_dir: the folder of the built site.
        config_file: an mkdocs.yml with a `plugins: - sentifyd:` section; its `docs_dir` is where
            front matter is looked for.
        progress: told from time to time.

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
    work = _Work(str(site_dir), BuiltSite(config, config.options))
    done = 0
    for part in _parts(work, files):
        report.add(part)
        done = min(done + BATCH, len(files))
        progress(done, len(files))
    report.advice += work.site.unused(report.paths)
    return report


@dataclass(frozen=True, slots=True)
class _Work:
    site_dir: str
    site: BuiltSite

    def __call__(self, paths: list[str]) -> Report:
        """Do a part of the pages."""
        report = Report()
        for path in paths:
            file = f"{self.site_dir}/{path}"
            try:
                _inject_page(file, path, self.site, report)
            except OSError as error:
                raise SiteError(f"{file}: {error.strerror}") from None
        report.paths = self.site.take_paths()
        return report


def _parts(work: _Work, files: list[str]) -> Iterator[Report]:
    batches = [files[start : start + BATCH] for start in range(0, len(files), BATCH)]
    processes = min(len(files) // PAGES_PER_PROCESS, _processors())
    if processes < 2 or "fork" not in multiprocessing.get_all_start_methods():
        yield from map(work, batches)
        return
    context = multiprocessing.get_context("fork")
    with context.Pool(processes, _start_process, [work]) as pool:
        yield from pool.imap(_work_of_process, batches)


def _processors() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


_process_work: _Work


def _start_process(work: _Work) -> None:
    """Leave it to the first process to be stopped, and go without leaving anything behind."""
    global _process_work
    _process_work = work
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))


def _work_of_process(paths: list[str]) -> Report:
    return _process_work(paths)


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
