"""The record of a build, `assets/sentifyd/pages.json`: which page has which avatar."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote

from mkdocs_sentifyd.markup.tokenizer import tags
from mkdocs_sentifyd.options.schema import SentifydConfig
from mkdocs_sentifyd.site.config_file import SiteError
from mkdocs_sentifyd.tags.recorded import digest

__all__ = ["FILE", "Record", "configuration_of", "is_listed"]

FILE = "assets/sentifyd/pages.json"
VERSION = 1
_HASH = "sha256:"
_MAY_BE_UNLISTED = re.compile("noindex|encryptcontent|mkdocs-encrypted", re.IGNORECASE)

Settings = Mapping[str, Any]


def configuration_of(options: SentifydConfig) -> str:
    """Return a hash of the options that the author set."""
    return digest({name: value for name, value in options.given.items() if name != "enabled"})


def is_listed(html: str) -> bool:
    """Whether a page may be named in public: it is not encrypted, and robots may index it."""
    if not _MAY_BE_UNLISTED.search(html):
        return True
    for tag in tags(html, {"meta", "div"}):
        attributes = tag.attributes()
        if tag.name == "meta":
            is_robots = attributes.get("name", "").strip().lower() in ("robots", "googlebot")
            if is_robots and "noindex" in attributes.get("content", "").lower():
                return False
        elif "encrypted" in attributes.get("id", ""):
            return False
    return True


class Record:
    """Which page has which avatar.

    Everybody can read the file. So it has no source paths, no scripts and no CSS, and a page that
    is not listed has a hash in place of its URL.

    Args:
        configuration: hash of the plugin's options; see `configuration_of`.
        builder: `mkdocs` if the plugin makes the record, or `inject`.

    Attributes:
        configuration: hash of the plugin's options; see `configuration_of`.
        builder: `mkdocs` if the plugin made the record, or `inject`.
    """

    def __init__(self, configuration: str, builder: str) -> None:
        self.configuration = configuration
        self.builder = builder
        self._settings: list[Settings] = []
        self._indexes: dict[str, int] = {}
        self._pages: dict[str, int | None] = {}

    @classmethod
    def read(cls, site_dir: Path) -> Record | None:
        """Read the record of a built site; `None` if it has none.

        Raises:
            SiteError: the file is malformed.
            OSError: the file cannot be read.
        """
        try:
            content = (site_dir / FILE).read_bytes()
        except (FileNotFoundError, NotADirectoryError):
            return None
        try:
            data = json.loads(content)
            if data["version"] != VERSION:
                raise SiteError(
                    f"{FILE} has format {data['version']}, and this release reads {VERSION}: build "
                    "the site with the release that checks it"
                )
            record = cls(str(data["configuration"]), str(data["builder"]))
            record._settings = [dict(entry) for entry in data["settings"]]
            record._indexes = {json.dumps(s): index for index, s in enumerate(record._settings)}
            record._pages = dict(data["pages"])
            if not {None, *range(len(record._settings))}.issuperset(record._pages.values()):
                raise ValueError
        except (ValueError, KeyError, TypeError, RecursionError):
            raise SiteError(f"{FILE} is malformed: build the site again") from None
        return record

    def __contains__(self, path: str) -> bool:
        """Whether the plugin has seen a page; `path` as in `add`."""
        return any(key in self._pages for key in _keys(path))

    def add(self, path: str, settings: Settings | None, *, listed: bool) -> None:
        """Note what a page has.

        Args:
            path: path of its file below the site's folder, with `/` as separator.
            settings: what the page has, without scripts and CSS; `None` without an avatar.
            listed: whether its URL may be public.
        """
        url, hashed = _keys(path)
        self._pages[url if listed else hashed] = None if settings is None else self._index(settings)

    def discard(self, path: str) -> None:
        """Forget a page; `path` as in `add`."""
        for key in _keys(path):
            self._pages.pop(key, None)

    def settings(self, path: str) -> Settings | None:
        """Return what a page has, or `None` for a page without an avatar; `path` as in `add`."""
        index = next(self._pages[key] for key in _keys(path) if key in self._pages)
        return None if index is None else self._settings[index]

    def url(self, path: str) -> str | None:
        """Return a page's URL, relative to the site's root; `path` as in `add`.

        `None` means that the page is not in the record, or that its URL may not be public.
        """
        url, _ = _keys(path)
        return url if url in self._pages else None

    def keep(self, old: Record | None) -> int:
        """Keep the pages of an earlier build that this one did not build.

        Args:
            old: the record of the earlier build.

        Returns:
            How many of these pages were built with another configuration. Then the record has that
            configuration.
        """
        if old is None:
            return 0
        kept = old._pages.keys() - self._pages.keys()  # noqa: SLF001 - another of this class
        for key in kept:
            index = old._pages[key]  # noqa: SLF001
            settings = None if index is None else old._settings[index]  # noqa: SLF001
            self._pages[key] = None if settings is None else self._index(settings)
        if not kept or old.configuration == self.configuration:
            return 0
        self.configuration = old.configuration
        return len(kept)

    def write(self, site_dir: Path) -> None:
        """Write the file. It does not depend on the order in which the pages were added.

        Raises:
            OSError: the file cannot be written.
        """
        pages = dict(sorted(self._pages.items()))
        used = list(dict.fromkeys(index for index in pages.values() if index is not None))
        numbers = {index: number for number, index in enumerate(used)}
        data = {
            "version": VERSION,
            "configuration": self.configuration,
            "builder": self.builder,
            "settings": [self._settings[index] for index in used],
            "pages": {
                key: None if index is None else numbers[index] for key, index in pages.items()
            },
        }
        file = site_dir / FILE
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps(data, separators=(",", ":")) + "\n", encoding="utf-8")

    def _index(self, settings: Settings) -> int:
        text = json.dumps(settings)
        if text not in self._indexes:
            self._indexes[text] = len(self._settings)
            self._settings.append(settings)
        return self._indexes[text]


def _keys(path: str) -> tuple[str, str]:
    """Return a page's URL, relative to the site's root, and its hash."""
    folder, _, name = path.rpartition("/")
    url = quote(path if name != "index.html" else folder and f"{folder}/")
    return url, f"{_HASH}{hashlib.sha256(url.encode()).hexdigest()[:16]}"
