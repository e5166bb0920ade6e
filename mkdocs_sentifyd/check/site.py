"""Check a built site: parse every page, and search every file for the API key."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from mkdocs_sentifyd.api_keys import find_named_key
from mkdocs_sentifyd.check.expected import Expectations
from mkdocs_sentifyd.check.findings import Finding, finding
from mkdocs_sentifyd.check.page import CheckedPage
from mkdocs_sentifyd.site.config_file import SiteConfig
from mkdocs_sentifyd.site.leaks import leaking_files, site_files
from mkdocs_sentifyd.site.notes import notes
from mkdocs_sentifyd.site.pages import Progress, is_page, page_files, read_file, require_site
from mkdocs_sentifyd.site.record import FILE, Record, configuration_of

__all__ = ["SiteCheck", "check_site"]

# In bytes.
MAX_TEXT_SIZE = 16 << 20


@dataclass(slots=True)
class SiteCheck:
    """The result of a check.

    Attributes:
        pages: number of pages that the plugin or `inject` has seen.
        avatars: number of pages that should have an avatar.
        others: number of other HTML pages, such as copied files.
        findings: the problems.
    """

    pages: int = 0
    avatars: int = 0
    others: int = 0
    findings: list[Finding] = field(default_factory=list)


def check_site(
    site_dir: Path,
    config: SiteConfig,
    keys: Sequence[str],
    progress: Progress = lambda *_: None,
) -> SiteCheck:
    """Compare a built site with its configuration.

    Args:
        site_dir: folder of the built site.
        config: the configuration that `read_config` returns.
        keys: API keys that must not appear anywhere in the site.
        progress: called before each page.

    Raises:
        SiteError: the folder is missing.
        OSError: a file cannot be read.
    """
    require_site(site_dir)
    result = SiteCheck()
    record = Record.read(site_dir)
    expectations = None
    # A site for offline use has neither a record nor avatars.
    options = None if record is None and config.is_offline else config.options
    if options and record is None:
        result.findings.append(finding("record-missing", str(site_dir), file=FILE))
    elif options and record:
        if record.configuration != configuration_of(options):
            result.findings.append(finding("other-configuration", FILE))
        expectations = Expectations(options)
    files = page_files(site_dir)
    for number, path in enumerate(files):
        progress(number, len(files))
        html = read_file(f"{site_dir}/{path}").decode("utf-8", "replace")
        if not is_page(html):
            continue
        if options and (record is None or path not in record):
            result.others += 1
            continue
        result.pages += 1
        settings = record.settings(path) if expectations and record else None
        page = CheckedPage(site_dir, path, html)
        if expectations is None or settings is None:
            result.findings += page.check_without_avatar()
        else:
            result.avatars += 1
            result.findings += page.check_with_avatar(expectations.of(settings))
    if record and options and not result.avatars:
        result.findings.append(finding("no-avatar", str(site_dir)))
    if config.options is not None:
        found = notes(config.options, site_dir)
        result.findings += [finding(note.code, note.where, **note.values) for note in found]
    result.findings += _keys(site_dir, keys, config)
    return result


def _keys(site_dir: Path, keys: Sequence[str], config: SiteConfig) -> Iterator[Finding]:
    leaks = leaking_files(site_dir, keys)
    for path in leaks:
        yield finding("key-in-site", path)
    public = (config.options.public_api_key if config.options else None) or ""
    if public:
        yield finding("public-key", "mkdocs.yml")
    for file in site_files(site_dir):
        path = os.fsencode(file.relative_to(site_dir).as_posix()).decode("utf-8", "replace")
        if path not in leaks and find_named_key(_text(file), public):
            yield finding("key-like", path)


def _text(file: Path) -> str:
    """The text of a file, without the tags that syntax highlighting puts between name and value."""
    with file.open("rb") as stream:
        content = stream.read(MAX_TEXT_SIZE)
    if b"\0" in content[:1024]:
        return ""
    text = content.decode("utf-8", "replace")
    return re.sub(r"</?(?:span|code|a|b|i|em|strong)\b[^>]*>", "", text)
