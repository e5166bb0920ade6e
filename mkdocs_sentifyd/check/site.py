"""Checking a built site: every page parsed, every file searched for the key."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from bs4.exceptions import ParserRejectedMarkup

from mkdocs_sentifyd.api_keys import find_named_key
from mkdocs_sentifyd.check.findings import Finding, Severity, finding
from mkdocs_sentifyd.check.page import CheckedPage
from mkdocs_sentifyd.site.config_file import SiteConfig, SiteError
from mkdocs_sentifyd.site.front_matter import PageError
from mkdocs_sentifyd.site.leaks import leaking_files, site_files
from mkdocs_sentifyd.site.pages import BuiltSite, Progress, is_page, page_files, read_file

__all__ = ["SiteCheck", "check_site"]

# With what the page would have to want for it to be right.
_CHOICES = {
    "loader-missing": False,
    "element-missing": False,
    "settings-missing": False,
    "unexpected-avatar": True,
}
MAX_TEXT_SIZE = 16 << 20


@dataclass(slots=True)
class SiteCheck:
    """What was looked at, and what was found.

    Attributes:
        pages: how many pages there are.
        avatars: how many of them ought to carry an avatar.
        findings: what to fix.
    """

    pages: int = 0
    avatars: int = 0
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
        config: what is needed of mkdocs.yml.
        keys: API keys that must not be anywhere in the site.
        progress: called before each page.

    Raises:
        SiteError: the folder or a file that holds front matter cannot be read.
    """
    if not site_dir.is_dir():
        raise SiteError(f"{site_dir} is not a folder: build the site first")
    result = SiteCheck()
    site = BuiltSite(config, config.options) if config.options is not None else None
    files = page_files(site_dir)
    for number, path in enumerate(files):
        progress(number, len(files))
        html = read_file(f"{site_dir}/{path}").decode("utf-8", "replace")
        if not is_page(html):
            continue
        result.pages += 1
        try:
            page = CheckedPage(site_dir, path, html)
            embed = site.embed(path, html) if site else None
        except ParserRejectedMarkup:
            result.findings.append(finding("page-unreadable", path))
            continue
        except PageError as error:
            result.findings.append(finding("front-matter", path, problem=error))
            continue
        result.avatars += embed is not None
        result.findings += page.without_avatar() if embed is None else page.with_avatar(embed)
    if site:
        _doubt(result.findings, site)
        result.findings += [finding("unused", "mkdocs.yml", problem=line) for line in site.unused()]
    if config.options is not None and not result.avatars:
        result.findings.append(finding("no-avatar", str(site_dir)))
    result.findings += _keys(site_dir, keys, config)
    return result


def _doubt(findings: list[Finding], site: BuiltSite) -> None:
    """Turn errors into warnings where the unknown source of a page may explain them.

    A blog gives its posts addresses of its own, and plugins make pages without any file.
    """
    choices = site.choices_without_page()
    for index, found in enumerate(findings):
        choice = _CHOICES.get(found.code)
        if choice in choices and found.where in site.without_source:
            findings[index] = replace(
                found, severity=Severity.WARNING, what=f"{found.what} (its source is not known)"
            )


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
    """The text of a file, without the tags that highlighting puts between name and value."""
    with file.open("rb") as stream:
        content = stream.read(MAX_TEXT_SIZE)
    if b"\0" in content[:1024]:
        return ""
    text = content.decode("utf-8", "replace")
    return re.sub(r"</?(?:span|code|a|b|i|em|strong)\b[^>]*>", "", text)
