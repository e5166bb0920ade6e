"""Check the settings for the browser runtime on a page."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from typing import Any

from bs4 import Tag

from mkdocs_sentifyd.check.expected import Expected
from mkdocs_sentifyd.check.findings import Finding, finding
from mkdocs_sentifyd.tags.recorded import recorded

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
    path: str, metas: Sequence[Tag], cores: Sequence[Tag], expected: Expected
) -> Iterator[Finding]:
    """Compare a page's settings, except for the element's attributes, with those it should have.

    Args:
        path: path of the page below the site's folder.
        metas: its `<meta name="sentifyd">` tags.
        cores: its script tags that load the core of the runtime.
        expected: what it should have.
    """
    for name, tags in (("settings", metas), ("runtime", cores)):
        if not tags:
            yield finding(f"{name}-missing", path)
        elif len(tags) > 1:
            yield finding(f"{name}-repeated", path, count=len(tags))
    if metas:
        found, wanted = recorded(read_settings(metas[0])), expected.settings
        # The style belongs to the attributes.
        for name in sorted((found.keys() | wanted.keys()) - {"attributes", "style"}):
            if found.get(name) != wanted.get(name):
                yield finding("settings-differ", path, setting=name)
