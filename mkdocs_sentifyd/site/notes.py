"""Valid options that may be intended, but often are not."""

from __future__ import annotations

import difflib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from mkdocs_sentifyd.options.schema import SentifydConfig

__all__ = ["NOTES", "Note", "notes"]

NOTES = {
    "endpoint-without-path": (
        "has no path",
        "the token service of this project answers on {url}/request_tokens",
    ),
    "endpoint-other-path": (
        "has the path {path}",
        "the token service of this project answers on /request_tokens",
    ),
    "actions-without-search": (
        "the site has no search index, so the avatar finds no pages",
        "enable the search plugin",
    ),
    "avatars-share-endpoint": (
        "has another avatar_id, but the token_endpoint of {other}, and an API key belongs to one "
        "avatar",
        "set the token_endpoint of this avatar too, such as {url}/{avatar}",
    ),
}
"""What is unusual, and how to change it; `{name}` in a text is replaced by a value."""
_ROUTE = "request_tokens"
# Below it, two words are similar by chance.
_SIMILAR = 0.8
# Where the generators put it, from the root of the site.
_SEARCH_INDEXES = ("search/search_index.json", "search.json")


class Note(NamedTuple):
    """Something unusual in the options.

    Attributes:
        code: a key of `NOTES`.
        where: the option, or the entry of `overrides`.
        values: the values for the `{name}`s in the texts.
    """

    code: str
    where: str
    values: dict[str, Any]

    def __str__(self) -> str:
        what, fix = NOTES[self.code]
        return f"{self.where}: {what.format_map(self.values)}: {fix.format_map(self.values)}"


def notes(options: SentifydConfig, site_dir: Path) -> Iterator[Note]:
    """Yield what is unusual.

    Args:
        options: the plugin's options.
        site_dir: folder of the built site.
    """
    avatars: dict[str, tuple[str, str]] = {}
    pages = [("the site", options)] + [
        (f"overrides, entry {number}", options.page(override.options))
        for number, override in enumerate(options.overrides, start=1)
    ]
    for where, page in pages:
        url = page.token_endpoint
        if not url:
            continue
        is_known = url in avatars
        other, avatar = avatars.setdefault(url, (where, page.avatar_id))
        if not is_known:
            place = "" if page is options else f"{where}, "
            yield from _unusual_path(url, f"{place}token_endpoint")
        elif avatar != page.avatar_id:
            values = {"other": other, "url": url.partition("?")[0], "avatar": page.avatar_id}
            yield Note("avatars-share-endpoint", where, values)
    if options.actions and not any((site_dir / name).is_file() for name in _SEARCH_INDEXES):
        yield Note("actions-without-search", "actions", {})


def _unusual_path(url: str, where: str) -> Iterator[Note]:
    path = urlsplit(url).path
    segments = path.lower().split("/")
    if not path.strip("/"):
        yield Note("endpoint-without-path", where, {"url": url.partition("?")[0].rstrip("/")})
    elif _ROUTE not in path.split("/") and difflib.get_close_matches(
        _ROUTE, segments, n=1, cutoff=_SIMILAR
    ):
        yield Note("endpoint-other-path", where, {"path": path})
