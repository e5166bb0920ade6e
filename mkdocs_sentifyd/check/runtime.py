"""Check the settings for the browser runtime on a page."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from bs4 import Tag

from mkdocs_sentifyd.check.findings import Finding, finding
from mkdocs_sentifyd.tags.embed import Embed

__all__ = ["is_core", "read_settings", "runtime_findings"]

_CORE = re.compile(r"(?:^|/)assets/sentifyd/[0-9a-f]{12}/core\.js$")


def is_core(script: Tag) -> bool:
    """Whether a script tag loads the core of the runtime."""
    return _CORE.search(str(script.get("src") or "").strip()) is not None


def read_settings(meta: Tag) -> dict[str, Any]:
    """Return a page's settings for the runtime, or `{}` if they are not a JSON object."""
    try:
        settings = json.loads(str(meta.get("content") or ""))
    except (ValueError, RecursionError):
        return {}
    return settings if isinstance(settings, dict) else {}


def runtime_findings(
    path: str, metas: Sequence[Tag], cores: Sequence[Tag], embed: Embed, *, handles_typing: bool
) -> Iterator[Finding]:
    """Compare a page's settings, except for the element's attributes, with the configuration.

    Args:
        path: path of the page below the site's folder.
        metas: its `<meta name="sentifyd">` tags.
        cores: its script tags that load the core of the runtime.
        embed: the tags that it should have.
        handles_typing: whether its theme reacts to keys that are typed into the avatar.
    """
    for name, tags in (("settings", metas), ("runtime", cores)):
        if not tags:
            yield finding(f"{name}-missing", path)
        elif len(tags) > 1:
            yield finding(f"{name}-repeated", path, count=len(tags))
    if metas:
        found = read_settings(metas[0])
        wanted = embed.runtime_settings(handles_typing=handles_typing)
        for name in _differing(found, wanted):
            yield finding("settings-differ", path, setting=name)


def _differing(found: Mapping[str, Any], wanted: Mapping[str, Any]) -> Iterator[str]:
    # An author's element may have attributes of its own, and the page a loader of its own.
    own = {"attributes", "avatar", "endpoint", "identity", "place"}
    if found.get("loader") is None:
        own.add("loader")
    for name in sorted((found.keys() | wanted.keys()) - own):
        if found.get(name) != wanted.get(name):
            yield name
