"""What `inject` has inserted into pages, so that it can be removed again."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

from mkdocs_sentifyd.site.config_file import SiteError

__all__ = ["FILE", "Insertions"]

FILE = "assets/sentifyd/inserted.json"

Ranges = tuple[tuple[int, int], ...]


class Insertions:
    """Where the insertions of each page are.

    Everybody can read the file, so it has a hash in place of each path.
    """

    def __init__(self) -> None:
        self._pages: dict[str, tuple[str, Ranges]] = {}

    @classmethod
    def read(cls, site_dir: Path) -> Insertions:
        """Read those of an earlier run; there are none without the file.

        Raises:
            SiteError: the file is malformed.
            OSError: the file cannot be read.
        """
        found = cls()
        try:
            content = (site_dir / FILE).read_bytes()
        except (FileNotFoundError, NotADirectoryError):
            return found
        try:
            for key, (digest, ranges) in json.loads(content).items():
                places = tuple((int(start), int(length)) for start, length in ranges)
                found._pages[key] = (str(digest), places)
        except (ValueError, TypeError, AttributeError, RecursionError):
            raise SiteError(f"{FILE} is malformed: build the site again") from None
        return found

    def __contains__(self, path: str) -> bool:
        return _hash(path) in self._pages

    def add(self, path: str, html: str, ranges: Ranges) -> None:
        """Note where the insertions of a page are.

        Args:
            path: path of the page below the site's folder, with `/` as separator.
            html: the page with them.
            ranges: start and length of each in `html`, ascending.
        """
        self._pages[_hash(path)] = (_hash(html), ranges)

    def keep(self, path: str, earlier: Insertions) -> None:
        """Keep what an earlier run noted of a page, which may have been changed since.

        Args:
            path: as in `add`.
            earlier: what was noted.
        """
        if path in earlier:
            self._pages[_hash(path)] = earlier._pages[_hash(path)]

    def original(self, path: str, html: str) -> str | None:
        """Return a page without its insertions; `None` if it has none or was changed after them.

        Args:
            path: as in `add`.
            html: the page.
        """
        digest, ranges = self._pages.get(_hash(path), ("", ()))
        if digest != _hash(html):
            return None
        pieces, position = [], 0
        for start, length in ranges:
            pieces.append(html[position:start])
            position = start + length
        return "".join([*pieces, html[position:]])

    def write(self, site_dir: Path) -> None:
        """Write the file.

        Raises:
            OSError: the file cannot be written.
        """
        file = site_dir / FILE
        file.parent.mkdir(parents=True, exist_ok=True)
        text = json.dumps(dict(sorted(self._pages.items())), separators=(",", ":"))
        file.write_text(f"{text}\n", encoding="utf-8")


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()[:32]
