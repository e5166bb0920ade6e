"""What the record of a build says about a page's avatar: its settings without scripts and CSS."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

__all__ = ["digest", "recorded"]


def digest(value: object) -> str:
    """Return a short hash of a value; its text stands for what JSON cannot express."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def recorded(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return the settings of a page for the record.

    Args:
        settings: the settings for the runtime, as `Embed.runtime_settings` returns them.

    Returns:
        The same settings, with a hash in place of the loader and of the element's style.
    """
    loader, attributes = settings.get("loader"), settings.get("attributes")
    style = attributes.get("style") if isinstance(attributes, Mapping) else None
    return {
        **_without_style(settings),
        "loader": loader and digest(loader),
        "style": style and digest(style),
    }


def _without_style(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Leave out the styles of the element and of the launcher."""
    return {
        name: {key: item for key, item in value.items() if key != "style"}
        if isinstance(value, Mapping)
        else value
        for name, value in settings.items()
    }
