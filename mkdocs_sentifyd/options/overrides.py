"""Options for some pages only, laid over those of the site."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from mkdocs.config.base import BaseConfigOption, ValidationError

from mkdocs_sentifyd.components import OVERLAYS
from mkdocs_sentifyd.options.patterns import PathPatterns, Patterns

__all__ = ["Override", "Overrides", "merged"]


@dataclass(frozen=True, slots=True)
class Override:
    """Options for the pages that match.

    Attributes:
        match: patterns over source paths.
        options: what differs there, as written.
    """

    match: PathPatterns
    options: Mapping[str, Any]


class Overrides(BaseConfigOption[tuple[Override, ...]]):
    """A list of mappings, each with `match`.

    `SentifydConfig` checks the options in them.
    """

    def __init__(self) -> None:
        super().__init__()
        self.default = ()

    def run_validation(self, value: object) -> tuple[Override, ...]:
        """Return the overrides in the order in which they count."""
        if value is None:
            return ()
        if isinstance(value, tuple):
            return value
        if not isinstance(value, list):
            raise ValidationError("must be a list, each entry with 'match' and what differs there")
        return tuple(_override(number, entry) for number, entry in enumerate(value, start=1))


def merged(site: Mapping[str, Any], page: Mapping[str, Any]) -> dict[str, Any]:
    """Lay a page's options over others; of groups, the options that the page names.

    Args:
        site: options as written.
        page: options as written, which win; an empty one returns to its default.
    """
    result = dict(site)
    # Loader and spelling belong to a component, a public key to one avatar and one way in.
    if "component" in page and (page["component"] or "bot") != (site.get("component") or "bot"):
        result.pop("loader", None)
        result.pop("attribute_names", None)
        if result.get("display") in OVERLAYS:
            result.pop("display")
    is_other = "avatar_id" in page and str(page["avatar_id"]) != str(site.get("avatar_id"))
    if page.get("public_api_key"):
        result.pop("token_endpoint", None)
    elif page.get("token_endpoint") or is_other:
        result.pop("public_api_key", None)
    for name, value in page.items():
        before = result.get(name)
        if isinstance(value, Mapping) and isinstance(before, Mapping):
            result[name] = {**before, **value}
        else:
            result[name] = value
    return result


def _override(number: int, entry: object) -> Override:
    if not isinstance(entry, dict):
        raise ValidationError(f"entry {number} must be a mapping with 'match' and what differs")
    options = dict(entry)
    try:
        match = Patterns().run_validation(options.pop("match", None))
    except ValidationError as error:
        raise ValidationError(f"entry {number}: 'match' {error}") from None
    if match is None or not match.lines:
        raise ValidationError(f"entry {number} needs 'match': patterns of the pages that it is for")
    return Override(match, options)
