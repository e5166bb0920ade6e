"""Find the pages of a site that any generator has built, and the avatar for each of them."""

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
from mkdocs_sentifyd.site.config_file import SiteConfig, SiteError
from mkdocs_sentifyd.site.front_matter import PageError, read_front_matter
from mkdocs_sentifyd.site.selection import Selection
from mkdocs_sentifyd.tags.embed import Embed

__all__ = [
    *("TEMPLATES", "BuiltSite", "Progress", "count_of_pages", "is_page", "page_files", "read_file"),
    "require_site",
]

Progress = Callable[[int, int], object]
"""Called with the number of processed pages and the number of all pages."""
_SUFFIXES = (".html", ".htm")
# File names of sources in MkDocs, Hugo and Sphinx.
_SOURCE_SUFFIXES = (".md", ".rst", ".markdown", ".mdown", ".mkdn", ".mkd")
# Pages that themes create without a source.
TEMPLATES = {"404.html", "search.html"}
_MAY_REDIRECT = re.compile(r"http-equiv\s*=\s*[\"']?refresh", re.IGNORECASE)
_TOP = frozenset({"html", "head", "body"})
# In characters. Redirects have their tag near the beginning of the page.
HEAD_SIZE = 4096


def page_files(site_dir: Path) -> list[str]:
    """Return the sorted paths of the HTML files below a folder, with `/` as separator.

    Symbolic links are skipped: their target is another page, or it is outside of the site.
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


def require_site(site_dir: Path) -> None:
    """Raise a `SiteError` if the folder of a built site does not exist."""
    if not site_dir.is_dir():
        raise SiteError(f"{site_dir} is not a folder: build the site first")


def count_of_pages(number: int) -> str:
    """Return a number of pages in words, such as `1 page`."""
    return f"{number} page" if number == 1 else f"{number} pages"


def read_file(path: str) -> bytes:
    """Return the content of a file."""
    with open(path, "rb", buffering=0) as stream:
        return stream.readall()


def is_page(html: str) -> bool:
    """Whether a text is a page for readers: not a fragment, not a redirect, not UTF-16."""
    if not is_whole_page(html) or "\0" in html[:HEAD_SIZE]:
        return False
    return not (_MAY_REDIRECT.search(html, 0, HEAD_SIZE) and _redirects(html))


def _redirects(html: str) -> bool:
    for tag in tags(html, {"meta", "noscript", "body"}):
        if tag.name == "body":
            return False
        # To the tokenizer, the content of `noscript` is text, as to a browser with scripts.
        end = html.find("</", tag.end)
        if tag.name == "noscript" and not tag.is_end and _redirects(html[tag.end : end]):
            return True
        attributes = tag.attributes()
        is_refresh = attributes.get("http-equiv", "").strip().lower() == "refresh"
        # Without a URL, the refresh reloads the same page.
        if is_refresh and "url" in attributes.get("content", "").lower():
            return True
    return False


def _language(html: str) -> str:
    """Return the language that a page declares, or ""."""
    top = next(tags(html, _TOP), None)
    if top is None or top.name != "html":
        return ""
    return top.attributes().get("lang", "").strip()


class BuiltSite:
    """The avatars of a built site.

    Args:
        config: the configuration that `read_config` returns.
        options: the plugin's options in it.
    """

    def __init__(self, config: SiteConfig, options: SentifydConfig) -> None:
        self._config = config
        self._sources = set(_files(config.docs_dir))
        self._root = urlsplit(config.site_url or "/").path.rstrip("/") + "/"
        self._selection = Selection(options)
        self._folder_files: dict[str, dict[str, Any]] = {}
        self._paths: set[str] = set()

    def embed(self, path: str, html: str) -> Embed | None:
        """Return what a page should have.

        Args:
            path: path of the page below the site's folder, with `/` as separator.
            html: text of the page; only ASCII characters matter.

        Returns:
            The tags, or `None` for a page without an avatar.

        Raises:
            PageError: the options in its front matter are invalid.
        """
        language = _language(html)
        names = _with_suffixes(chain(_names(path), _translations(path, language)))
        source = next((name for name in names if name in self._sources), None)
        if source is not None:
            self._paths.add(source)
            avatar = self._selection.page([source], self._front_matter(source))
        elif path.rpartition("/")[2] in TEMPLATES:
            self._paths.add(path)
            avatar = self._selection.template(path)
        else:
            # Match the patterns against every possible name of its source, and its own path.
            sources = [*_with_suffixes(_names(path)), path]
            self._paths.update(sources)
            avatar = self._selection.page(sources, [])
        return avatar.embed(language, self.root(path)) if avatar else None

    def configured(self) -> Iterator[Embed]:
        """Yield what pages may have, from configuration and sources alone; some come repeatedly.

        Raises:
            PageError: the options in the front matter of a source are invalid.
        """
        for avatar in self._selection.configured():
            yield avatar.embed("", "")
        for source, front_matter in self._unmatched_sources().items():
            try:
                # Reading it again raises the error that says what is wrong.
                values = self._front_matter(source) if front_matter is None else front_matter
                own = self._selection.page([source], values)
            except PageError as error:
                raise PageError(f"{source}: {error}") from None
            if own:
                yield own.embed("", "")

    def root(self, path: str) -> str:
        """Return the relative path from a page to the root of the site: empty, or ending in `/`."""
        # A server shows 404.html at any URL, so its links must begin at the root of the host.
        return self._root if path.rpartition("/")[2] == "404.html" else "../" * path.count("/")

    def unused(self) -> list[str]:
        """Return warnings about settings without a page; call it after `embed` for every page."""
        unmatched = self._unmatched_sources()
        paths = self._paths.union(unmatched)
        lines = list(self._selection.unused(paths, self._config.docs_dir.name))
        lines += [
            f"{source}: its page was not found, so its front matter is ignored: name the page in "
            "include or exclude"
            for source, front_matter in unmatched.items()
            if front_matter is None or front_matter
        ]
        return lines

    def _unmatched_sources(self) -> dict[str, list[object] | None]:
        """Map sources without a known page to their front matter, or `None` if it is unreadable."""
        found: dict[str, list[object] | None] = {}
        for source in sorted(self._sources - self._paths):
            if source.endswith(_SOURCE_SUFFIXES):
                try:
                    found[source] = self._front_matter(source)
                except PageError:
                    found[source] = None
        return found

    def _front_matter(self, source: str) -> list[object]:
        """Return the `sentifyd` values of the folders, outermost first, and of the page."""
        own: dict[str, Any] = {}
        content = read_file(f"{self._config.docs_dir}/{source}")
        if b"sentifyd" in content:
            own = read_front_matter(content.decode("utf-8-sig", "replace"))
        every = (*self._folder_front_matter(source), own)
        return [data["sentifyd"] for data in every if "sentifyd" in data]

    def _folder_front_matter(self, source: str) -> Iterator[dict[str, Any]]:
        """Yield the files of Material's meta plugin that apply to a source, outermost first."""
        if not self._config.meta_file:
            return
        parts = source.split("/")[:-1]
        for depth in range(len(parts) + 1):
            name = "/".join([*parts[:depth], self._config.meta_file])
            if name in self._sources:
                if name not in self._folder_files:
                    self._folder_files[name] = self._read_folder_file(name)
                yield self._folder_files[name]

    def _read_folder_file(self, name: str) -> dict[str, Any]:
        file = self._config.docs_dir / name
        try:
            with file.open("rb") as stream:
                data = yaml_load(stream)
        except Exception:  # noqa: BLE001 - the YAML library raises many kinds
            raise PageError(f"{name} cannot be read: fix its YAML") from None
        if not isinstance(data or {}, dict):
            raise PageError(f"{name} must contain a mapping")
        return dict(data or {})


def _files(folder: Path) -> Iterator[str]:
    for root, _, names in os.walk(folder, followlinks=True):
        prefix = Path(root).relative_to(folder).as_posix() + "/"
        for name in names:
            yield (prefix + name).removeprefix("./")


def _names(path: str) -> Iterator[str]:
    """Yield the possible names of a page's source, without suffix and the most likely first."""
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
    """Yield the possible names of a translated source: in a folder, or with a language suffix.

    The path of a page in the site's main language may have neither.
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
