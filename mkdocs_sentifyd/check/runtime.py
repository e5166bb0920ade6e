"""Checking the settings that a page has for the browser runtime."""

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
    """Whether a script tag brings the runtime."""
    return _CORE.search(str(script.get("src") or "").strip()) is not None


def read_settings(meta: Tag) -> dict[str, Any]:
    """A page's settings for the runtime; empty if they are not a mapping in JSON."""
    try:
        settings = json.loads(str(meta.get("content") or ""))
    except ValueError:
        return {}
    return settings if isinstance(settings, dict) else {}


def runtime_findings(
    path: str, metas: Sequence[Tag], cores: Sequence[Tag], embed: Embed, *, takes_keys: bool
) -> Iterator[Finding]:
    """Compare a page's settings, but for the element's attributes, with the configuration.

    Args:
        path: of the page below the site's folder.
        metas: its `<meta name="sentifyd">`.
        cores: its script tags that bring the runtime.
        embed: what it ought to carry.
        takes_keys: whether its theme acts on keys that are typed into the avatar.
    """
    for name, tags in (("settings", metas), ("runtime", cores)):
        if not tags:
            yield finding(f"{name}-missing", path)
        elif len(tags) > 1:
            yield finding(f"{name}-repeated", path, count=len(tags))
    if metas:
        found = read_settings(metas[0])
        wanted = embed.runtime_settings(takes_keys=takes_keys)
        for name in _differing(found, wanted):
            yield finding("settings-differ", path, setting=name)


def _differing(found: Mapping[str, Any], wanted: Mapping[str, Any]) -> Iterator[str]:
    # An author's element may have its own attributes, and its page its own loader.
    own = {"attributes", "avatar", "endpoint", "identity", "place"}
    if found.get("loader") is None:
        own.add("loader")
    for name in sorted((found.keys() | wanted.keys()) - own):
        if found.get(name) != wanted.get(name):
            yield name
