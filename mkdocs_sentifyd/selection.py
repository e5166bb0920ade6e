"""Which page gets an avatar."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from mkdocs_sentifyd.config import SentifydConfig

__all__ = ["FrontMatterError", "is_selected"]


class FrontMatterError(ValueError):
    """A page's front matter cannot be used; the text says how to mend it."""


def is_selected(sources: Sequence[str], meta: Mapping[str, Any], config: SentifydConfig) -> bool:
    """Whether a page gets an avatar: by front matter, else by `exclude`, else by `include`.

    Args:
        sources: path of the page's source below `docs_dir`, with `/` between its parts; several,
            where it is not known which of them it is.
        meta: the page's front matter.
        config: the plugin's options.

    Raises:
        FrontMatterError: `sentifyd` in the front matter is neither `true` nor `false`.
    """
    switch = meta.get("sentifyd")
    if isinstance(switch, bool):
        return switch
    if switch is not None:
        raise FrontMatterError("`sentifyd` in the front matter must be true or false")
    if config.exclude is not None and any(map(config.exclude.match_file, sources)):
        return False
    return config.include is None or any(map(config.include.match_file, sources))
