"""The pages of a site that is already built, by whatever generator, and the avatars they want."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Iterator
from itertools import chain
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from mkdocs.utils.yaml import yaml_load

from mkdocs_sentifyd.markup.tokenizer import is_whole_page, tags
from mkdocs_sentifyd.options.schema import SentifydConfig
from mkdocs_sentifyd.site.config_file import SiteConfig
from mkdocs_sentifyd.site.front_matter import PageError, read_front_matter
from mkdocs_sentifyd.site.selection import Selection
from mkdocs_sentifyd.tags.embed import Embed

__all__ = ["BuiltSite", "Progress", "is_page", "page_files", "read_file"]

Progress = Callable[[int, int], object]
"""Called with the number of pages that are done, and of all pages."""
_SUFFIXES = (".html", ".htm")
# Where generators keep the source of a page: MkDocs and Hugo, Sphinx.
_SOURCE_SUFFIXES = (".md", ".rst", ".markdown", ".mdown", ".mkdn", ".mkd")
# Pages that themes make without a source.
_TEMPLATES = {"404.html", "search.html"}
_MAY_REDIRECT = re.compile(r"http-equiv\s*=\s*[\"']?refresh", re.IGNORECASE)
_TOP = frozenset({"html", "head", "body"})
# What is looked for in a head stands near its beginning.
HEAD_SIZE = 4096


def page_files(site_dir: Path) -> list[str]:
    """Paths of the HTML files below a folder, with `/` between their parts, sorted.

    Links are left out: what they lead to is a page of its own, or none of the site.
    """
    return sorted(_html_files(str(site_dir), ""))


def _html_files(folder: str, prefix: str) -> Iterator[str]:
    with os.scandir(folder) as entries:
        for entry in entries:
            path = prefix + entry.name
            if entry.is_dir(follow_symlinks=False):
                yield from _html_files(entry.path, f"{path}/")
            elif path.lower().endswith(_SUFFIXES) and entry.is_file(follow_symlinks=False):
                yield path


def read_file(path: str) -> bytes:
    """The content of a file."""
    with open(path, "rb", buffering=0) as stream:
        return stream.readall()


def is_page(html: str) -> bool:
    """Whether a file is a page for readers: no fragment, no redirect, nothing in UTF-16."""
    if not is_whole_page(html) or "\0" in html[:HEAD_SIZE]:
        return False
    return not (_MAY_REDIRECT.search(html, 0, HEAD_SIZE) and _redirects(html))


def _redirects(html: str) -> bool:
    for tag in tags(html, {"meta", "body"}):
        if tag.name == "body":
            return False
        attributes = tag.attributes()
        is_refresh = attributes.get("http-equiv", "").strip().lower() == "refresh"
        # Without an address it is the same page that is loaded again.
        if is_refresh and "url" in attributes.get("content", "").lower():
            return True
    return False


def _language(html: str) -> str:
    """The language that a page declares."""
    top = next(tags(html, _TOP), None)
    if top is None or top.name != "html":
        return ""
    return top.attributes().get("lang", "").strip()


class BuiltSite:
    """The avatars of a built site.

    Args:
        config: what is needed of mkdocs.yml.
        options: the plugin's options in it.

    Attributes:
        without_source: paths of pages that were asked for, and of which no source is known.
    """

    def __init__(self, config: SiteConfig, options: SentifydConfig) -> None:
        self._config = config
        self._sources = set(_files(config.docs_dir))
        self._root = urlsplit(config.site_url or "/").path.rstrip("/") + "/"
        self._selection = Selection(options)
        self._matter: dict[str, dict[str, Any]] = {}
        self._paths: set[str] = set()
        self.without_source: set[str] = set()

    def embed(self, path: str, html: str) -> Embed | None:
        """What a page ought to carry.

        Args:
            path: of the page below the site's folder, with `/` between its parts.
            html: its text, of which only the ASCII counts.

        Returns:
            The tags, or `None` for a page without an avatar.

        Raises:
            PageError: what its source or its folders say cannot be used.
        """
        language = _language(html)
        names = _with_suffixes(chain(_names(path), _translations(path, language)))
        source = next((name for name in names if name in self._sources), None)
        if source is not None:
            self._paths.add(source)
            avatar = self._selection.page([source], self._fronts(source))
        elif path.rpartition("/")[2] in _TEMPLATES:
            self._paths.add(path)
            avatar = self._selection.template(path)
        else:
            # A pattern may mean any of the names that its source may have, or its own.
            self.without_source.add(path)
            sources = [*_with_suffixes(_names(path)), path]
            self._paths.update(sources)
            avatar = self._selection.page(sources, [])
        return avatar.embed(language, self.root(path)) if avatar else None

    def root(self, path: str) -> str:
        """The way from a page to the root of the site, empty or with a `/` at its end."""
        # It is shown at any address, so its links begin at the root of the host.
        return self._root if path.rpartition("/")[2] == "404.html" else "../" * path.count("/")

    def unused(self) -> list[str]:
        """Warnings about pages that do not exist; call it after `embed` for every page."""
        without_page = self._without_page()
        lines = list(self._selection.unused(self._paths.union(without_page)))
        lines += [
            f"{source}: no page was found for it, so its front matter counts for nothing: name its "
            "page in include or exclude"
            for source, fronts in without_page.items()
            if fronts is None or fronts
        ]
        return lines

    def choices_without_page(self) -> set[bool]:
        """`True` if a source without a page wants an avatar, `False` if one does not, or both."""
        found: set[bool] = set()
        for source, fronts in self._without_page().items():
            try:
                if fronts is None:
                    raise PageError
                found.add(self._selection.page([source], fronts) is not None)
            except PageError:
                # A source that cannot be read may want either.
                found |= {True, False}
        return found

    def _without_page(self) -> dict[str, list[object] | None]:
        """Sources that no page was found for, with what they say if it can be read."""
        found: dict[str, list[object] | None] = {}
        for source in sorted(self._sources - self._paths):
            if source.endswith(_SOURCE_SUFFIXES):
                try:
                    found[source] = self._fronts(source)
                except PageError:
                    found[source] = None
        return found

    def _fronts(self, source: str) -> list[object]:
        """What the page's folders and its source say of the avatar, the outermost first."""
        own: dict[str, Any] = {}
        content = read_file(f"{self._config.docs_dir}/{source}")
        if b"sentifyd" in content:
            own = read_front_matter(content.decode("utf-8-sig", "replace"))
        every = (*self._folder_matter(source), own)
        return [data["sentifyd"] for data in every if "sentifyd" in data]

    def _folder_matter(self, source: str) -> Iterator[dict[str, Any]]:
        """What Material's meta plugin gives to all pages of a folder, the outermost first."""
        if not self._config.meta_file:
            return
        parts = source.split("/")[:-1]
        for depth in range(len(parts) + 1):
            name = "/".join([*parts[:depth], self._config.meta_file])
            if name in self._sources:
                if name not in self._matter:
                    self._matter[name] = self._read_matter(name)
                yield self._matter[name]

    def _read_matter(self, name: str) -> dict[str, Any]:
        file = self._config.docs_dir / name
        try:
            with file.open("rb") as stream:
                data = yaml_load(stream)
        except Exception:  # noqa: BLE001 - the YAML library raises many kinds
            raise PageError(f"{name} cannot be read: mend its YAML") from None
        if not isinstance(data or {}, dict):
            raise PageError(f"{name} must hold a mapping")
        return dict(data or {})


def _files(folder: Path) -> Iterator[str]:
    for root, _, names in os.walk(folder, followlinks=True):
        prefix = Path(root).relative_to(folder).as_posix() + "/"
        for name in names:
            yield (prefix + name).removeprefix("./")


def _names(path: str) -> Iterator[str]:
    """Names that the source of a page may have, the likeliest first."""
    stem = path.rpartition(".")[0]
    yield stem
    folder, _, name = stem.rpartition("/")
    if name == "index":
        prefix = f"{folder}/" if folder else ""
        yield f"{prefix}README"
        yield f"{prefix}_index"
        if folder:
            yield folder


def _translations(path: str, language: str) -> Iterator[str]:
    """Names that it may have beside other languages: below a folder, or with a suffix.

    The site's own language may be without either in what was built.
    """
    if not language:
        return
    if path.lower().startswith(f"{language.lower()}/"):
        folder, _, path = path.partition("/")
        yield from (f"{name}.{folder}" for name in _names(path))
        yield from _names(path)
    else:
        yield from (f"{name}.{language}" for name in _names(path))
        yield from (f"{language}/{name}" for name in _names(path))


def _with_suffixes(names: Iterable[str]) -> Iterator[str]:
    return (name + suffix for name in names for suffix in _SOURCE_SUFFIXES)
