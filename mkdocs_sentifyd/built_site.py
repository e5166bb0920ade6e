"""The pages of a site that is already built, by whatever generator, and the avatars they want."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator
from itertools import chain
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from mkdocs.utils import meta
from mkdocs.utils.yaml import yaml_load

from mkdocs_sentifyd.config import SentifydConfig
from mkdocs_sentifyd.embed import Embed
from mkdocs_sentifyd.overrides import merged
from mkdocs_sentifyd.scan import is_whole_page
from mkdocs_sentifyd.selection import Selection
from mkdocs_sentifyd.site_config import SiteConfig, SiteError

__all__ = ["BuiltSite", "is_page", "page_files", "read_file"]

_SUFFIXES = (".html", ".htm")
# Where generators keep the source of a page: MkDocs and Hugo, Sphinx.
_SOURCE_SUFFIXES = (".md", ".rst")
_REDIRECT = re.compile(r"<meta[^>]+http-equiv=[\"']?refresh", re.IGNORECASE)
_LANGUAGE = re.compile(
    r"<html\s(?:[^>]*?\s)?lang\s*=\s*[\"']?([A-Za-z]{2,3}\b[A-Za-z0-9_-]*)", re.IGNORECASE
)
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
    if not is_whole_page(html) or "\0" in html:
        return False
    return _REDIRECT.search(html, 0, HEAD_SIZE) is None


class BuiltSite:
    """The avatars of a built site.

    Args:
        config: what mkdocs.yml says.
        options: the plugin's options in it.
    """

    def __init__(self, config: SiteConfig, options: SentifydConfig) -> None:
        self._config = config
        self._docs_dir = str(config.docs_dir)
        self._sources = set(_files(config.docs_dir))
        self._selection = Selection(options)
        self._paths: set[str] = set()

    def embed(self, path: str, html: str) -> Embed | None:
        """What a page ought to carry.

        Args:
            path: of the page below the site's folder, with `/` between its parts.
            html: its text, of which only the ASCII counts.

        Returns:
            The tags, or `None` for a page without an avatar.

        Raises:
            FrontMatterError: the front matter of its source cannot be used.
            SiteError: a file that holds front matter cannot be read.
        """
        lang = _LANGUAGE.search(html, 0, HEAD_SIZE)
        language = lang[1] if lang else ""
        root = "../" * path.count("/")
        if path.rpartition("/")[2] == "404.html":
            self._paths.add(path)
            # It is shown at any address, so its links begin at the root of the host.
            root = urlsplit(self._config.site_url or "/").path.rstrip("/") + "/"
            avatar = self._selection.template(path)
        else:
            names = _with_suffixes(chain(_names(path), _translations(path, language)))
            source = next((name for name in names if name in self._sources), None)
            # Where there is no source, a pattern may mean any of its names, the page's own too.
            sources = [source] if source else [*_with_suffixes(_names(path)), path]
            self._paths.update(sources)
            avatar = self._selection.page(sources, self._front_matter(source) if source else {})
        return avatar.embed(language, root) if avatar else None

    def take_paths(self) -> set[str]:
        """The names under which a pattern may have meant the pages since the last call."""
        paths, self._paths = self._paths, set()
        return paths

    def unused(self, paths: set[str]) -> list[str]:
        """What the options say of pages that are not there.

        Args:
            paths: what `take_paths` has returned for all pages.
        """
        sources = {name for name in self._sources if name.endswith(_SOURCE_SUFFIXES)}
        return list(self._selection.unused(paths | sources))

    def _front_matter(self, source: str) -> dict[str, Any]:
        """What the page's source says of the avatar, over what its folders say."""
        own: dict[str, Any] = {}
        content = read_file(f"{self._docs_dir}/{source}")
        if b"sentifyd" in content:
            _, own = meta.get_data(content.decode("utf-8-sig", "replace"))
        found: dict[str, Any] = {}
        for data in (*self._folder_matter(source), own):
            found = merged(found, {"sentifyd": data["sentifyd"]} if "sentifyd" in data else {})
        return found

    def _folder_matter(self, source: str) -> Iterator[dict[str, Any]]:
        """What Material's meta plugin gives to all pages of a folder, the outermost first."""
        if not self._config.meta_file:
            return
        parts = source.split("/")[:-1]
        for depth in range(len(parts) + 1):
            name = "/".join([*parts[:depth], self._config.meta_file])
            if name in self._sources:
                yield self._read_matter(name)

    def _read_matter(self, name: str) -> dict[str, Any]:
        file = self._config.docs_dir / name
        try:
            with file.open("rb") as stream:
                data = yaml_load(stream)
        except Exception:  # noqa: BLE001 - the YAML library raises many kinds
            raise SiteError(f"{file} cannot be read: mend its YAML") from None
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
