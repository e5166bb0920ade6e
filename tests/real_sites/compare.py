"""Compare a site that was built with the plugin to the same site without it.

What the plugin may add is written down here again, and removed from the pages; no code of the
plugin is used. All else must be the same, byte for byte.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import unquote

from tests.support.sites import LOADER

ADDED = "assets/sentifyd/"
_VALUE = r'"[^"<>]*"'
_FOLDER = rf'"[./a-z0-9_-]*{ADDED}[0-9a-f]{{12}}/'
_SHEET = rf'<link rel="stylesheet" href={_FOLDER}[a-z]+\.css"(?: media="print")?>\n'
_SCRIPT = rf'<script src={_FOLDER}[a-z_]+\.js" type="module"></script>\n'
_PRELOAD = rf'<link rel="modulepreload" href={_FOLDER}[a-z_]+\.js">\n'
_STATIC = rf'<script src="{re.escape(LOADER)}" defer></script>\n(?:{_SHEET})+(?:{_SCRIPT})?'
_RUNTIME = rf'<meta name="sentifyd" content={_VALUE}>\n(?:{_PRELOAD})*{_SCRIPT}(?:{_SHEET})+'
_ELEMENT = re.compile(rf"<sentifyd-bot(?: [a-z_-]+={_VALUE})+></sentifyd-bot>\n")
_HEAD = re.compile(f"(?:(?P<static>{_STATIC})|(?P<runtime>{_RUNTIME}))(?=</head>)")


def differences(without: Path, with_plugin: Path) -> Iterator[str]:
    """Yield how two builds of a site differ, apart from complete avatars; one line each."""
    before, after = _files(without), _files(with_plugin)
    yield from (f"{name}: is missing" for name in sorted(before.keys() - after.keys()))
    added = sorted(after.keys() - before.keys())
    yield from (f"{name}: was added" for name in added if not name.startswith(ADDED))
    for name in sorted(before.keys() & after.keys()):
        old, new = before[name].read_bytes(), after[name].read_bytes()
        if old == new:
            continue
        if not name.endswith(".html"):
            yield f"{name}: differs"
        elif b"sentifyd" in old.lower():
            yield f"{name}: mentions Sentifyd without the plugin"
        elif (rest := _without_avatar(new.decode())) is None:
            yield f"{name}: does not have one avatar with all its tags"
        elif rest.encode() != old:
            yield f"{name}: differs beside the avatar"


def changed(without: Path, with_plugin: Path) -> set[str]:
    """Return the pages that differ."""
    return {
        file.relative_to(without).as_posix()
        for file in without.rglob("*.html")
        if file.read_bytes() != (with_plugin / file.relative_to(without)).read_bytes()
    }


def searchable(site: Path) -> set[str]:
    """Return the pages of a built site that a reader finds with the search, and that are there."""
    index = json.loads((site / "search" / "search_index.json").read_bytes())
    paths = {unquote(entry["location"].partition("#")[0]) for entry in index["docs"]}
    pages = {path if path.endswith(".html") else f"{path}index.html" for path in paths}
    # Some plugins delete a page after it was built.
    return {page for page in pages if (site / page).is_file()}


def _without_avatar(html: str) -> str | None:
    """Remove the tags of the only avatar; `None` if they are incomplete or repeated."""
    match = _HEAD.search(html)
    if match is None:
        return None
    rest = html[: match.start()] + html[match.end() :]
    if match["static"]:
        elements = list(_ELEMENT.finditer(rest))
        if len(elements) != 1:
            return None
        (element,) = elements
        rest = rest[: element.start()] + rest[element.end() :]
    return None if "sentifyd" in rest.lower() else rest


def _files(folder: Path) -> dict[str, Path]:
    return {
        file.relative_to(folder).as_posix(): file for file in folder.rglob("*") if file.is_file()
    }
